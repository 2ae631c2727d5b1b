"""`slices.jsonl` of a discovery: each hypothesis with all prompts in which it is present."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from saetask.data.evaluated_items import EvaluatedItem
from saetask.discovery.documents import Controls, Discovery, DiscoverySummary
from saetask.discovery.prompt_text import content_of
from saetask.discovery.sentences import discovery_sentence
from saetask.discovery.splitting import Halves
from saetask.report.documents import Document, Number, Share, Text

if TYPE_CHECKING:
    from jaxtyping import Bool, Float32, Float64

SLICES = "slices.jsonl"


class SlicePrompt(Document):
    """A prompt of a slice."""

    id: Text
    """Id of the item in its log."""
    text: Text
    """The last message of the chat, or the running text, as a whole."""
    output: Text
    """What the model answered."""
    half: Literal["discovery", "confirmation"]
    """Whether it was of those that hypotheses were chosen on, or of those that tested them."""
    presence: Number
    """The strongest activation on a token, on the scale of the slice's `threshold`, and above."""
    failure: Share
    """1 for a wrong answer, 0 for a right one, or a score or disagreement between."""


class Slice(Discovery):
    """A row of `slices.jsonl`: a hypothesis that was tested, and all prompts that have it."""

    sentence: Text
    """The figures of the confirmation half, in words."""
    by: Literal["correctness", "disagreement"]
    """What stands for failure."""
    log_failure: Share
    """Mean failure of all prompts of the log."""
    controls: Controls
    """What the same search finds by other means; the same in every row."""
    prompts: list[SlicePrompt]
    """All prompts of the log in which it is present, of both halves, in the order of the log."""


def make_slice(
    summary: DiscoverySummary,
    found: Discovery,
    items: Sequence[EvaluatedItem],
    failures: "Float64[np.ndarray, ' n']",
    halves: Halves,
    presence: "Bool[np.ndarray, ' n']",
    strength: "Float32[np.ndarray, ' n']",
) -> Slice:
    """Returns the slice of a hypothesis.

    Args:
        summary: The discovery's summary.
        found: The hypothesis with its figures.
        items: The items of the log that have a score.
        failures: Failure of each item.
        halves: Indices of the items of both halves.
        presence: In which items the hypothesis is present.
        strength: How strongly it is present in each item.
    """
    confirming = set(halves.confirmation.tolist())
    return Slice(
        **dict(found),
        sentence=discovery_sentence(found, summary.by),
        by=summary.by,
        log_failure=summary.failure_rate,
        controls=summary.controls,
        prompts=[
            SlicePrompt(
                id=items[i].id,
                text=content_of(items[i].prompt),
                output=items[i].output,
                half="confirmation" if i in confirming else "discovery",
                presence=float(strength[i]),
                failure=float(failures[i]),
            )
            for i in np.flatnonzero(presence).tolist()
        ],
    )


def write_slices(folder: Path, slices: Sequence[Slice]) -> None:
    """Writes `slices.jsonl` into a discovery folder."""
    from saetask.utils.files import json_text, write_text

    write_text(folder / SLICES, "".join(json_text(each.to_json()) + "\n" for each in slices))
