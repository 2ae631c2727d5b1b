"""Mending of all confirmed discoveries of a log, by the model that was read."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from saetask.data.evaluated_items import EvaluatedItem
from saetask.data.prompts import Prompt
from saetask.discovery import mending
from saetask.discovery.documents import FiringToken, Mended
from saetask.discovery.mended import mended_documents
from saetask.discovery.mending import Mending, Slice, mend
from saetask.discovery.result import DiscoveryResult
from saetask.discovery.shown_prompts import firing_tokens
from saetask.errors import UserError
from saetask.inference.client import ModelClient
from saetask.inference.requests import GenerateRequest, tokenise

if TYPE_CHECKING:
    from saetask.models.loading import Model
    from saetask.saes.loading import SAE

NOTE_TOKENS = 60
"""Room for a note, in tokens."""
_WORD = re.compile(r"\w+(?:['’]\w+)*")


def mend_discoveries(
    result: DiscoveryResult, model: "Model", sae: "SAE[Any]", journal: Path | None = None
) -> list[Mended]:
    """Tries a note on each confirmed discovery; see `mend`.

    Args:
        result: A discovery in a log whose prompts can be asked again (`check_mendable`).
        model: The model that is asked.
        sae: The SAE of the discovery's concepts.
        journal: A file that answers are kept in; None keeps none.

    Returns:
        A document for each discovery with enough prompts in both halves that have room for a note.
    """
    client = ModelClient(model, journal)
    confirmed = [i for i, row in enumerate(result.rows) if row.confirmed]
    is_confirmation = np.zeros(len(result.items), dtype=bool)
    is_confirmation[result.halves.confirmation] = True
    mendings: list[Mending] = []
    for number in confirmed:
        found = _slice(result, number, is_confirmation, model, sae)
        if tried := mend(client, found, _other_name(result, number)):
            mendings.append(tried)
    return mended_documents(mendings)


def _slice(
    result: DiscoveryResult,
    number: int,
    is_confirmation: np.ndarray,
    model: "Model",
    sae: "SAE[Any]",
) -> Slice:
    row, concept = result.rows[number], result.hypotheses[number].concept
    assert concept is not None
    present = np.flatnonzero(result.presence[:, number]).tolist()
    places = [i for i in present if fits(model, result.items[i])]
    wanted = [(i, concept, row.threshold) for i in places]
    tokens = firing_tokens(model, sae, result.reading.rendered, wanted)
    words = [fired_words(result.reading.texts[i], fired) for i, fired in zip(places, tokens)]
    items = [result.items[i] for i in places]
    return Slice(row.concept, concept.name, items, words, is_confirmation[places])


def fits(model: "Model", item: EvaluatedItem) -> bool:
    """Returns whether a prompt, with a note and an answer, has room in the model's context."""
    assert isinstance(item.prompt, Prompt)  # see `check_mendable`
    try:
        tokenise(model, GenerateRequest(item.prompt, NOTE_TOKENS + mending.MAX_NEW_TOKENS))
    except UserError:
        return False
    return True


def fired_words(text: str, tokens: Sequence[FiringToken]) -> list[str]:
    """Returns the words of a text on which tokens fire, strongest first, each once."""
    found: dict[str, None] = {}
    words = list(_WORD.finditer(text))
    for token in sorted(tokens, key=lambda token: -token.activation):
        for word in words:
            if word.start() < token.end and token.start < word.end():
                found[word.group()] = None
    return list(found)


def _other_name(result: DiscoveryResult, number: int) -> str:
    """Returns the name of another hypothesis, the least present in the discovery's prompts."""
    present = result.presence[result.presence[:, number]]
    shares = present.mean(axis=0) if len(present) else np.zeros(result.presence.shape[1])
    others = [i for i in np.argsort(shares, kind="stable").tolist() if i != number]
    named = [result.hypotheses[i].concept for i in others]
    return next((c.name for c in named if c is not None), "the weather")
