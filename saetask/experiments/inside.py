"""What notes change inside the model, by probes that were fitted on prompts without notes.

A probe for the right reading is fitted on training samples at every layer, and through the SAE at
its own, and read in tested prompts under each kind of note. A note that is understood changes what
is read at the target or, at the latest, where the answer begins; one that is obeyed may change the
answer alone. Right readings are used to fit on training samples, and to score.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from saetask.annotation.base import Placement
from saetask.data.prompts import Prompt
from saetask.data.rendering import RenderedPrompt
from saetask.data.samples import Sample
from saetask.experiments.control_detectors import OWN
from saetask.experiments.evidence_arms import EVIDENCE
from saetask.experiments.fold import FoldState
from saetask.experiments.obedience import stated_reading, two_sided
from saetask.experiments.scoring import SampleResult
from saetask.report.arms import CONTRARY
from saetask.report.understanding import (
    RIGHT_NOTE,
    UNANNOTATED,
    WRONG_NOTE,
    Inside,
    LayerFigures,
    NoteFigures,
)
from saetask.saes.extraction import rendered_prompts
from saetask.saes.layers import PlaceActivations, layer_hooks, read_places
from saetask.utils.progress import stage
from saetask.utils.statistics import holm, mean_interval

PLACES = ("target", "answer")
SAE_READER = "SAE"
BEFORE: tuple[Placement, ...] = ("start", "system")
"""Placements of notes that stand before the text."""
RAW_STRENGTH, FEATURE_STRENGTH = 0.003, 0.03
"""Inverse strengths C of the L2 penalties: the middle ones of those that detectors choose among."""
ARM_KINDS = {"shuffled": "other", EVIDENCE: "evidence", "oracle": "oracle"}
"""Kinds of notes by the arm that writes them, beside those that depend on what is stated."""


class NotedPrompt(NamedTuple):
    """A tested sample under one kind of note."""

    sample: Sample
    fold: int
    prompt: Prompt
    reading: str
    """What the note states or, where it states nothing, the right reading."""
    before: bool
    """Whether the note stands before the text."""


class Readings(NamedTuple):
    """What the probes of all readers read in some prompts at one place."""

    log_odds: np.ndarray
    """Of each prompt's `reading`, in nats, `[prompt, reader]`."""
    right: np.ndarray
    """Whether the most probable reading is the right one, bool `[prompt, reader]`."""


def measure_inside(
    states: Sequence[FoldState], results: Sequence[SampleResult], seed: int
) -> list[Inside]:
    """Returns what is read inside under each kind of note, at each place.

    Args:
        states: The fitted folds; prompts are read through the first one's SAE.
        results: Of all arms.
        seed: Seed of resamples and flips.
    """
    context = states[0].context
    model, sae = context.model, context.sae
    notes = noted_prompts(results)
    answered_right = {row.sample: row.raw_score.correct for row in results if row.arm == "original"}
    samples = list(
        dict.fromkeys(s for state in states for s in (*state.fold.train, *state.fold.test))
    )
    known = [s for s in samples if s.gold_reading is not None]
    place_of = {sample: number for number, sample in enumerate(known)}
    n_noted = sum(len(rows) for kind, rows in notes.items() if kind != UNANNOTATED)
    with stage("read layers", len(known) + n_noted) as advance:
        own = _read(states, [sample.prompt for sample in known], advance)
        probes = _fit_probes(states, own, place_of)
        read = {}
        for kind, rows in notes.items():
            if kind == UNANNOTATED:
                at = [place_of[row.sample] for row in rows]
                activations = [_chosen(each, at) for each in own]
            else:
                activations = _read(states, [row.prompt for row in rows], advance)
            read[kind] = [_apply(fitted, each, rows) for fitted, each in zip(probes, activations)]
    readers = [*layer_hooks(model, sae), SAE_READER]
    found = []
    for number, place in enumerate(PLACES):
        at_place = {kind: values[number] for kind, values in read.items()}
        unnoted = _apply_unnoted(notes, probes[number], own[number], place_of)
        annotated = [row for kind, rows in notes.items() if kind != UNANNOTATED for row in rows]
        before = (
            np.mean([row.before for row in annotated]) if place == "target" and annotated else 1
        )
        figures = {
            kind: _note_figures(rows, at_place[kind], unnoted.get(kind), answered_right, seed)
            for kind, rows in notes.items()
        }
        found.append(
            Inside(place=place, readers=readers, notes_before=float(before), notes=figures)
        )
    _correct(found)
    return found


def noted_prompts(results: Sequence[SampleResult]) -> dict[str, list[NotedPrompt]]:
    """Returns the tested prompts under each kind of note that was run; see `report.NOTE_KINDS`."""
    arms = {row.arm for row in results}
    placebo = "gated-placebo" if "gated-placebo" in arms else "placebo"
    notes: dict[str, dict[Sample, NotedPrompt]] = {
        kind: {} for kind in (UNANNOTATED, RIGHT_NOTE, WRONG_NOTE)
    }
    for row in results:
        sample, gold = row.sample, row.sample.gold_reading
        if gold is None:
            continue
        note, stated = row.written.annotation, stated_reading(row) or gold
        kind = {"original": UNANNOTATED, placebo: "placebo", **ARM_KINDS}.get(row.arm)
        if row.arm in (OWN, CONTRARY):
            kind = RIGHT_NOTE if stated == gold else WRONG_NOTE
        if kind is None or (note is None and kind != UNANNOTATED):
            continue
        before = note is not None and note.placement in BEFORE
        noted = NotedPrompt(sample, row.fold, row.written.prompt, stated, before)
        notes.setdefault(kind, {}).setdefault(sample, noted)
    return {kind: list(rows.values()) for kind, rows in notes.items() if rows}


def _read(
    states: Sequence[FoldState], prompts: Sequence[Prompt], advance: Callable[[int], object]
) -> list[PlaceActivations]:
    """Reads prompts at each place."""
    model, sae = states[0].context.model, states[0].context.sae
    rendered = rendered_prompts(model, sae, prompts)
    places = [[_tokens(each, place) for each in rendered] for place in PLACES]
    return read_places(model, sae, rendered, places, advance)


def _tokens(prompt: RenderedPrompt, place: str) -> list[int]:
    last = len(prompt.token_ids) - 1
    if place == "answer":
        return [last]
    return prompt.tokens_in(prompt.regions.get("target", prompt.regions["text"])) or [last]


def _chosen(activations: PlaceActivations, rows: Sequence[int]) -> PlaceActivations:
    features: Any = activations.features
    return PlaceActivations(activations.raw[:, rows], features[rows])


Probes = dict[int, list[Any]]
"""By fold: an estimator for each reader."""


def _fit_probes(
    states: Sequence[FoldState], own: Sequence[PlaceActivations], place_of: Mapping[Sample, int]
) -> list[Probes]:
    """Fits the probes of every fold and reader on its training samples, at each place."""
    probes: list[Probes] = [{} for _ in own]
    for state in states:
        train = [sample for sample in state.fold.train if sample in place_of]
        rows, labels = [place_of[s] for s in train], [s.gold_reading for s in train]
        for fitted, activations in zip(probes, own):
            chosen = _chosen(activations, rows)
            fitted[state.number] = [
                *(_make_probe(dense=True).fit(layer, labels) for layer in chosen.raw),
                _make_probe(dense=False).fit(chosen.features, labels),
            ]
    return probes


def _make_probe(dense: bool) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if dense:
        probe = LogisticRegression(C=RAW_STRENGTH, max_iter=300)
        return make_pipeline(StandardScaler(), probe)
    return LogisticRegression(C=FEATURE_STRENGTH, max_iter=300)


def _apply(probes: Probes, activations: PlaceActivations, rows: Sequence[NotedPrompt]) -> Readings:
    """Reads prompts by the probes of their own fold."""
    n_readers = len(activations.raw) + 1
    log_odds = np.zeros((len(rows), n_readers))
    right = np.zeros((len(rows), n_readers), dtype=bool)
    for fold, estimators in probes.items():
        at = [i for i, row in enumerate(rows) if row.fold == fold]
        if not at:
            continue
        chosen = _chosen(activations, at)
        for reader, estimator in enumerate(estimators):
            design = chosen.features if reader == len(chosen.raw) else chosen.raw[reader]
            probabilities, classes = estimator.predict_proba(design), list(estimator.classes_)
            for i, of_class in zip(at, probabilities):
                row = rows[i]
                right[i, reader] = classes[int(of_class.argmax())] == row.sample.gold_reading
                if row.reading in classes:  # else it was never right in the fit split
                    p = np.clip(of_class[classes.index(row.reading)], 1e-12, 1 - 1e-12)
                    log_odds[i, reader] = np.log(p) - np.log1p(-p)
    return Readings(log_odds, right)


def _apply_unnoted(
    notes: Mapping[str, Sequence[NotedPrompt]],
    probes: Probes,
    own: PlaceActivations,
    place_of: Mapping[Sample, int],
) -> dict[str, Readings]:
    """Returns by kind of note what is read in the same items without it."""
    return {
        kind: _apply(probes, _chosen(own, [place_of[row.sample] for row in rows]), rows)
        for kind, rows in notes.items()
        if kind != UNANNOTATED
    }


def _note_figures(
    rows: Sequence[NotedPrompt],
    read: Readings,
    without: Readings | None,
    answered_right: Mapping[Sample, bool],
    seed: int,
) -> NoteFigures:
    right = np.array([answered_right[row.sample] for row in rows], dtype=bool)
    every = np.ones(len(rows), dtype=bool)
    return NoteFigures.model_validate(
        {
            name: _layer_figures(rows, read, without, np.flatnonzero(chosen), seed)
            for name, chosen in (("every", every), ("right", right), ("wrong", ~right))
        }
    )


def _layer_figures(
    rows: Sequence[NotedPrompt],
    read: Readings,
    without: Readings | None,
    chosen: np.ndarray,
    seed: int,
) -> LayerFigures | None:
    if not len(chosen):
        return None
    groups = [rows[i].sample.group for i in chosen]
    right = read.right[chosen].astype(float)
    figures = LayerFigures(
        n=len(chosen),
        accuracy=right.mean(0).tolist(),
        accuracy_ci95=[mean_interval(column, groups, seed) for column in right.T],
    )
    if without is not None:
        shift = (read.log_odds - without.log_odds)[chosen]
        figures.shift = shift.mean(0).tolist()
        figures.shift_ci95 = [mean_interval(column, groups, seed) for column in shift.T]
        figures.p = two_sided(shift, groups, seed)
    return figures


def _correct(places: Sequence[Inside]) -> None:
    """Fills in the p-values that are corrected over all kinds of notes and places."""
    every = {
        f"{inside.place} {kind}": noted.every
        for inside in places
        for kind, noted in inside.notes.items()
    }
    tested = {name: min(each.p) for name, each in every.items() if each and each.p}
    for name, p in holm(tested).items():
        if (figures := every[name]) is not None:
            figures.holm_p = p
