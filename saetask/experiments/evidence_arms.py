"""Arms whose notes name the concepts behind a finding, and not its reading.

Wording and place are chosen on the fit split, like those of other notes: training samples are
scored with the concepts that the fold's detector gives for their right reading. It was fitted on
these samples too, so both the choice and the offset see clearer evidence than tested prompts have.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from saetask.annotation.evidence_notes import EvidenceNotes
from saetask.annotation.prompt_writer import NoteTemplate, with_validated_concepts
from saetask.data.samples import Sample
from saetask.detection.base import Misunderstanding
from saetask.experiments.arm_prompts import Prompts, exchange_findings
from saetask.experiments.control_detectors import OWN
from saetask.experiments.fold import FoldState
from saetask.experiments.note_selection import choose_template, score_notes

EVIDENCE, SHUFFLED = "evidence", "evidence-shuffled"
NO_CONCEPTS = "No finding of the detector {} has a concept that a note may name."
"""Why these arms are left out."""
NOTES = EvidenceNotes()


def evidence(state: FoldState, samples: Sequence[Sample]) -> Prompts:
    """Writes the concepts behind saetask's own findings into the prompts that it picks."""
    named = named_findings(state)
    return _write(state, {sample: named.get(sample, []) for sample in samples})


def evidence_shuffled(state: FoldState, samples: Sequence[Sample]) -> Prompts:
    """Writes into each of these prompts the concepts of another one, of another group."""
    named = named_findings(state)
    picked = [sample for sample in samples if sample in named]
    exchanged = exchange_findings(named, picked, state.generator())
    return _write(state, {sample: exchanged.get(sample, []) for sample in samples})


def evidence_for_fit(state: FoldState, samples: Sequence[Sample]) -> Prompts:
    """Writes into every prompt the concepts for and against its right reading."""
    return _write(state, {sample: right_evidence(state, sample) for sample in samples})


def unwritable(states: Sequence[FoldState], arms: Collection[str]) -> dict[str, str]:
    """Returns those of these arms that would write no note in any fold, and why."""
    if any(named_findings(state) for state in states):
        return {}
    reason = NO_CONCEPTS.format(states[0].pipeline.detector.name)
    return {name: reason for name in (EVIDENCE, SHUFFLED) if name in arms}


def named_findings(state: FoldState) -> dict[Sample, list[Misunderstanding]]:
    """Returns saetask's own findings in test samples that have concepts for a note."""
    own = state.misunderstandings(OWN)
    return {sample: found for sample, found in own.items() if found and _has_note(state, found[0])}


def right_evidence(state: FoldState, sample: Sample) -> list[Misunderstanding]:
    """Returns the detector's evidence for the right reading of a sample; an empty list for none."""
    if sample.gold_reading is None or sample not in state.pipeline.findings:
        return []  # the detector was not fitted on its reading
    given = state.pipeline.input(state.observations[sample])
    explained = state.pipeline.detector.explain(given, sample.gold_reading)
    return [explained._replace(probability=1.0)]


def _write(state: FoldState, findings: Mapping[Sample, Sequence[Misunderstanding]]) -> Prompts:
    return state.write(findings, template=evidence_template(state))


def evidence_template(state: FoldState) -> NoteTemplate:
    """Returns the wording and place of these notes under which the fit split is answered best."""
    scores = score_notes(
        replace(state.context, annotators=[NOTES]),
        [state.fold.train],
        state.seed,
        lambda sample: right_evidence(state, sample),
        "evidence notes",
    )
    return scores.templates[choose_template(scores, state.fold.train).index]


def _has_note(state: FoldState, found: Misunderstanding) -> bool:
    unvalidated = state.context.feature_labels.unvalidated
    quotable = found if unvalidated else with_validated_concepts(found)
    return bool(NOTES.candidates(quotable, {}))
