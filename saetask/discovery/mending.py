"""Notes made of confirmed discoveries: chosen on the discovery half, tried on the other half."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from saetask.annotation.base import Annotation, Placement, annotate
from saetask.annotation.fixed_notes import GENERIC, neutral_note
from saetask.data.answer_matching import matches_target
from saetask.data.evaluated_items import EvaluatedItem
from saetask.data.prompts import Prompt
from saetask.errors import UserError
from saetask.inference.client import ModelClient
from saetask.inference.ranking import likeliest
from saetask.inference.requests import GenerateRequest, RankRequest
from saetask.utils.statistics import Comparison, compare

PLACES: tuple[Placement, ...] = ("end", "start")
MAX_NEW_TOKENS = 200
"""Room for an answer that is written freely, in tokens."""
MOST_PROMPTS = 60
"""Maximum number of prompts on which note templates are compared."""
FEWEST_PROMPTS = 5
"""Minimum number of prompts in each half; fewer show nothing."""
MOST_WORDS = 3
"""Maximum number of words that a note quotes from the prompt."""
ORIGINAL, MENDED = "original", "mended"


class Slice(NamedTuple):
    """The prompts in which a discovered concept is present."""

    id: str
    name: str
    """The concept's name, in plain words."""
    items: Sequence[EvaluatedItem]
    words: Sequence[Sequence[str]]
    """Of each item: the words of its prompt on which the concept fires, strongest first."""
    confirmation: np.ndarray
    """Which of the items belong to the confirmation half, `[n_items]`, bool."""


class ArmAnswers(NamedTuple):
    """How prompts with one kind of note were answered."""

    accuracy: float
    against_original: Comparison | None
    """None for the original prompts."""
    mended_against: Comparison | None
    """The mended prompts, compared with these; None for themselves."""


class Mending(NamedTuple):
    """What a note made of a discovery does to prompts that took no part in choosing it."""

    id: str
    name: str
    template: str
    """The note, with the concept's name; `{words}` stands for the words on which it fires."""
    placement: Placement
    n_chosen_on: int
    n: int
    """Number of prompts that it was tried on."""
    arms: dict[str, ArmAnswers]


def note_templates(name: str) -> list[Annotation]:
    """Returns notes on a concept, in a fixed order of texts and places; `{words}` is left open."""
    texts = (
        f"(Note: this is about {name}; take that into account.)",
        f"(Note: mind what is said about {name}, here {{words}}.)",
        "(Note: consider what {words} mean here before you answer.)",
    )
    return [Annotation(text, place, "discovery") for text in texts for place in PLACES]


def check_mendable(items: Sequence[EvaluatedItem]) -> None:
    """Checks that a log's prompts can be asked again, and the answers scored.

    Raises:
        UserError: A prompt is running text, or no right answers are known.
    """
    if any(isinstance(item.prompt, str) for item in items):
        raise UserError(
            "--mend asks prompts as chats, and the log's are running text; give a log with "
            "messages (of inspect_ai, or a column of chats), or --as-chat."
        )
    if all(item.target is None for item in items):
        raise UserError(
            "--mend scores answers anew, and the log has no right answers (targets); name the "
            "field that has them."
        )


def mend(client: ModelClient, found: Slice, other_name: str, seed: int = 0) -> Mending | None:
    """Chooses a note for a discovery on its half, and compares it with controls on the other.

    Args:
        client: The model that is asked; the original prompts are asked anew, too.
        found: The discovery's prompts; those without a target are left out.
        other_name: Name of a concept that is not present in them.
        seed: Seed of the draw of prompts to choose on, and of the bootstrap.

    Returns:
        The comparison; None where one of the halves has fewer than `FEWEST_PROMPTS` prompts.
    """
    scored = np.array([item.target is not None for item in found.items], dtype=bool)
    chosen_on = np.flatnonzero(scored & ~found.confirmation).tolist()
    tried_on = np.flatnonzero(scored & found.confirmation).tolist()
    if min(len(chosen_on), len(tried_on)) < FEWEST_PROMPTS:
        return None
    if len(chosen_on) > MOST_PROMPTS:
        generator = np.random.default_rng(seed)
        chosen_on = sorted(generator.choice(chosen_on, MOST_PROMPTS, replace=False).tolist())
    templates = note_templates(found.name)
    trials = [_noted(found, chosen_on, template) for template in templates]
    right = _ask(client, [each for trial in trials for each in trial], "notes on discoveries")
    best = int(right.reshape(len(templates), -1).mean(axis=1).argmax())
    arms = {
        ORIGINAL: _noted(found, tried_on, None),
        MENDED: _noted(found, tried_on, templates[best]),
        "placebo": _noted(found, tried_on, neutral_note(templates[best])),
        "generic": _noted(found, tried_on, GENERIC.notes[0]),
        "other-concept": _noted(found, tried_on, note_templates(other_name)[best]),
    }
    answers = _ask(client, [each for arm in arms.values() for each in arm], "mended prompts")
    by_arm = dict(zip(arms, answers.reshape(len(arms), -1)))
    groups = [found.items[i].group for i in tried_on]
    compared = {name: _compared(by_arm, name, groups, seed) for name in arms}
    text, place, _ = templates[best]
    return Mending(found.id, found.name, text, place, len(chosen_on), len(tried_on), compared)


def _compared(
    by_arm: dict[str, np.ndarray], name: str, groups: Sequence[str], seed: int
) -> ArmAnswers:
    right, original, mended = by_arm[name], by_arm[ORIGINAL], by_arm[MENDED]
    return ArmAnswers(
        float(right.mean()),
        None if name == ORIGINAL else compare(original, right, groups, seed),
        None if name == MENDED else compare(right, mended, groups, seed),
    )


class _Asked(NamedTuple):
    """An item, and its prompt with or without a note."""

    item: EvaluatedItem
    prompt: Prompt


def _noted(found: Slice, indices: Sequence[int], note: Annotation | None) -> list[_Asked]:
    """Returns prompts of a slice with a note, its words filled in."""
    asked = []
    for i in indices:
        item, prompt = found.items[i], found.items[i].prompt
        assert isinstance(prompt, Prompt)  # see `check_mendable`
        if note is not None:
            words = ", ".join(f"“{word}”" for word in found.words[i][:MOST_WORDS]) or "its words"
            prompt = annotate(prompt, note._replace(text=note.text.replace("{words}", words)))
        asked.append(_Asked(item, prompt))
    return asked


def _ask(client: ModelClient, asked: Sequence[_Asked], title: str) -> np.ndarray:
    """Returns whether each prompt is answered rightly, `[n]`, bool."""
    right = np.zeros(len(asked), dtype=bool)
    ranked = [i for i, each in enumerate(asked) if each.item.choices]
    requests = [
        RankRequest(asked[i].prompt, asked[i].item.choices, asked[i].item.id) for i in ranked
    ]
    for i, response in zip(ranked, client.rank(requests, title)):
        item = asked[i].item
        best = item.choices[likeliest(response.scores, item.choices, item.id)]
        right[i] = best.strip() == _target(item)
    written = [i for i, each in enumerate(asked) if not each.item.choices]
    outputs = client.generate(
        [GenerateRequest(asked[i].prompt, MAX_NEW_TOKENS, asked[i].item.id) for i in written], title
    )
    for i, output in zip(written, outputs):
        right[i] = matches_target(output, _target(asked[i].item))
    return right


def _target(item: EvaluatedItem) -> str:
    return (item.target or "").strip()
