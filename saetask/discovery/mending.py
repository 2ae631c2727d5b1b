"""Notes made of confirmed discoveries: chosen on the discovery half, tried on the other half."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from saetask.annotation.base import Annotation, Annotator, Placement, annotate
from saetask.annotation.fixed_notes import GENERIC, neutral_note
from saetask.annotation.generated_notes import NoteSubject, generate_notes
from saetask.data.evaluated_items import EvaluatedItem
from saetask.data.prompts import Prompt
from saetask.discovery.asking import AskedPrompt, ask_right
from saetask.discovery.discovery_notes import CandidateNote, candidate_notes
from saetask.errors import UserError
from saetask.inference.client import ModelClient
from saetask.utils.progress import PlannedStage, job
from saetask.utils.statistics import Comparison, compare

MOST_PROMPTS = 60
"""Maximum number of prompts on which notes are compared."""
FEWEST_PROMPTS = 5
"""Minimum number of prompts in each half; fewer show nothing."""
ORIGINAL, MENDED = "original", "mended"
N_ARMS = 5
CHOOSING, TRYING = "notes on discoveries", "mended prompts"
"""Stages, as the progress calls them."""


class Slice(NamedTuple):
    """The prompts in which a discovered concept is present."""

    id: str
    name: str
    """The concept's name, in plain words."""
    items: Sequence[EvaluatedItem]
    about: Sequence[NoteSubject]
    """What notes on each prompt are about: the concept in it."""
    about_another: Sequence[NoteSubject]
    """A concept that is not present, in its place."""
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
    """The note, with the concept's name; `{words}` stands for the words on which it fires. Where
    the annotator writes one for each prompt, that of one of them."""
    placement: Placement
    annotator: str
    """Name of what wrote the note."""
    n_chosen_on: int
    n: int
    """Number of prompts that it was tried on."""
    arms: dict[str, ArmAnswers]
    accuracy_in_log: float | None = None
    """Share of right answers that the log has to these prompts; None where it has no scores."""
    n_without_target: int = 0
    """Number of prompts of that half that took no part, since no right answer is known."""


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


def mend(
    client: ModelClient, slices: Sequence[Slice], annotators: Sequence[Annotator], seed: int = 0
) -> list[Mending]:
    """Chooses a note for each discovery on its half, and compares it with controls on the other.

    All discoveries are asked together, in two stages.

    Args:
        client: The model that is asked; the original prompts are asked anew, too.
        slices: The discoveries' prompts; those without a target are left out.
        annotators: Write the notes, for which an earlier one is taken where two are as good.
        seed: Seed of the draw of prompts to choose on, and of the bootstrap.

    Returns:
        The comparisons, less those where one of the halves has fewer than `FEWEST_PROMPTS` prompts.

    Raises:
        UserError: A language model that writes notes can not be reached.
    """
    planned = [_planned(found, seed) for found in slices]
    planned = [
        each for each in planned if min(len(each.chosen_on), len(each.tried_on)) >= FEWEST_PROMPTS
    ]
    candidates = [
        candidate_notes(annotators, [each.found.about[i] for i in each.chosen_on])
        for each in planned
    ]
    n_trials = sum(len(c) * len(each.chosen_on) for c, each in zip(candidates, planned))
    n_tried = sum(N_ARMS * len(each.tried_on) for each in planned)
    with job([PlannedStage(CHOOSING, n_trials), PlannedStage(TRYING, n_tried)]):
        chosen = _chosen(client, planned, candidates)
        return _tried(client, planned, chosen, seed)


class _Planned(NamedTuple):
    """A discovery whose note is chosen on some of its prompts and tried on others."""

    found: Slice
    chosen_on: list[int]
    tried_on: list[int]


def _planned(found: Slice, seed: int) -> _Planned:
    scored = np.array([item.target is not None for item in found.items], dtype=bool)
    chosen_on = np.flatnonzero(scored & ~found.confirmation)
    if len(chosen_on) > MOST_PROMPTS:
        generator = np.random.default_rng(seed)
        chosen_on = np.sort(generator.choice(chosen_on, MOST_PROMPTS, replace=False))
    tried_on = np.flatnonzero(scored & found.confirmation)
    return _Planned(found, chosen_on.tolist(), tried_on.tolist())


def _chosen(
    client: ModelClient, planned: Sequence[_Planned], candidates: Sequence[list[CandidateNote]]
) -> list[CandidateNote]:
    """Returns the note of each discovery with which most of its prompts are answered rightly."""
    asked = [
        _noted(each.found.items[i], candidate.note(each.found.about[i]))
        for each, offered in zip(planned, candidates)
        for candidate in offered
        for i in each.chosen_on
    ]
    right, start, chosen = ask_right(client, asked, CHOOSING), 0, []
    for each, offered in zip(planned, candidates):
        end = start + len(offered) * len(each.chosen_on)
        accuracies = right[start:end].reshape(len(offered), -1).mean(axis=1)
        chosen.append(offered[int(accuracies.argmax())])
        start = end
    return chosen


def _tried(
    client: ModelClient, planned: Sequence[_Planned], chosen: Sequence[CandidateNote], seed: int
) -> list[Mending]:
    """Returns what the chosen notes do on the confirmation half, beside their controls."""
    for each, candidate in zip(planned, chosen):
        subjects = [
            about[i]
            for about in (each.found.about, each.found.about_another)
            for i in each.tried_on
        ]
        generate_notes(candidate.annotator, subjects)
    arms = [_arms(each, candidate) for each, candidate in zip(planned, chosen)]
    asked = [prompt for by_arm in arms for prompts in by_arm.values() for prompt in prompts]
    right, start, mendings = ask_right(client, asked, TRYING), 0, []
    for each, candidate, by_arm in zip(planned, chosen, arms):
        end = start + len(by_arm) * len(each.tried_on)
        answers = dict(zip(by_arm, right[start:end].reshape(len(by_arm), -1)))
        mendings.append(_mending(each, candidate, answers, seed))
        start = end
    return mendings


def _arms(each: _Planned, candidate: CandidateNote) -> dict[str, list[AskedPrompt]]:
    """Returns the prompts of the confirmation half in every arm."""
    found, arms = each.found, dict[str, list[AskedPrompt]]()
    for i in each.tried_on:
        note = candidate.note(found.about[i])
        notes = {
            ORIGINAL: None,
            MENDED: note,
            "placebo": note and neutral_note(note),
            "generic": GENERIC.notes[0],
            "other-concept": candidate.note(found.about_another[i]),
        }
        for arm, written in notes.items():
            arms.setdefault(arm, []).append(_noted(found.items[i], written))
    return arms


def _mending(
    each: _Planned, candidate: CandidateNote, answers: dict[str, np.ndarray], seed: int
) -> Mending:
    groups = [each.found.items[i].group for i in each.tried_on]
    compared = {name: _compared(answers, name, groups, seed) for name in answers}
    shown = candidate.shown([each.found.about[i] for i in each.chosen_on])
    assert shown is not None  # it was chosen among what there is
    n_chosen_on, n = len(each.chosen_on), len(each.tried_on)
    identity = (each.found.id, each.found.name, shown.text, shown.placement)
    scores = [each.found.items[i].correct for i in each.tried_on]
    known = [score for score in scores if score is not None]
    in_log = float(np.mean(known)) if known else None
    n_without = sum(
        item.target is None
        for item, is_half in zip(each.found.items, each.found.confirmation)
        if is_half
    )
    return Mending(*identity, candidate.annotator.name, n_chosen_on, n, compared, in_log, n_without)


def _compared(
    by_arm: dict[str, np.ndarray], name: str, groups: Sequence[str], seed: int
) -> ArmAnswers:
    right, original, mended = by_arm[name], by_arm[ORIGINAL], by_arm[MENDED]
    return ArmAnswers(
        float(right.mean()),
        None if name == ORIGINAL else compare(original, right, groups, seed),
        None if name == MENDED else compare(right, mended, groups, seed),
    )


def _noted(item: EvaluatedItem, note: Annotation | None) -> AskedPrompt:
    """Returns an item's prompt with a note; without one where its annotator wrote none."""
    assert isinstance(item.prompt, Prompt)  # see `check_mendable`
    return AskedPrompt(item, item.prompt if note is None else annotate(item.prompt, note))
