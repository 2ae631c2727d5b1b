"""The fitted pipeline: the model's bias, a detector and a note template, learnt on one split."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from saetask.annotation.prompt_writer import NoteTemplate
from saetask.data.samples import Sample
from saetask.detection.base import Detector, DetectorInput, Finding
from saetask.detection.calibration import Calibration, tested_calibration
from saetask.errors import UserError
from saetask.experiments.context import ExperimentContext
from saetask.experiments.note_selection import NoteScores, choose_template
from saetask.experiments.observation import Observation, scored_item
from saetask.inference.ranking import likeliest
from saetask.utils.files import atomic_path, read_json, write_json

FIT, DETECTOR = "fit.json", "detector.safetensors"


@dataclass(frozen=True)
class FittedPipeline:
    """Everything that is learnt on a fit split; shared by experiments and sessions."""

    readings: Sequence[str]
    """The readings that the task distinguishes."""
    bias: Calibration
    """Of the answers to unannotated prompts."""
    note_bias: Calibration
    """Of the answers to prompts that state the right reading with the chosen template."""
    detector: Detector
    template: NoteTemplate
    raw_answers: Mapping[str, float]
    """Share of the raw answers to the fit split's prompts that stand for each reading."""
    findings: Mapping[Sample, Finding] = field(default_factory=dict)
    """In the fit split's own prompts, each judged with its group held out; not saved."""
    trained_on: Sequence[Observation] = ()
    """What the detector was trained on: the fit split's prompts whose right reading is known, then
    the auxiliary ones; not saved."""
    selection: Mapping[str, Any] = field(default_factory=dict)
    """What was chosen and how the alternatives scored, as in `summary.json`; not saved."""

    def input(self, observation: Observation) -> DetectorInput:
        """Returns the detector's input for an observation."""
        return observation.detector_input(self.bias, self.readings)

    def predict(self, observation: Observation) -> Finding:
        """Returns the finding in a prompt; for one that was trained on, the held-out one."""
        known = self.findings.get(observation.sample)
        return known or check_finding(
            self.detector, self.detector.detect(self.input(observation)), observation.sample
        )

    def fit_loss(self) -> float:
        """Returns the mean negative log-probability of the right readings, held out, in nats."""
        probabilities = [
            finding.probabilities.get(sample.gold_reading or "", 0.0)
            for sample, finding in self.findings.items()
        ]
        return float(-np.log(np.maximum(probabilities, 1e-9)).mean())


def fit_pipeline(
    context: ExperimentContext,
    train: Sequence[Observation],
    auxiliary: Sequence[Observation],
    note_scores: NoteScores,
    calibration: Sequence[Observation],
) -> FittedPipeline:
    """Fits bias, detector and note template.

    Args:
        context: Task and plugins.
        train: Observations of the fit split.
        auxiliary: More for the detector to train on, if it takes any.
        note_scores: Of note templates; the scores of this fit split's samples count.
        calibration: Observations of the fit split that the bias is fitted on.

    Raises:
        UserError: The detector can not be fitted on them, or its findings lack probabilities.
    """
    readings = context.task.readings
    bias = tested_calibration([scored_item(o.sample, o.response) for o in calibration])
    known = [o for o in train if o.sample.gold_reading is not None]
    detector = context.make_detector()
    takes_auxiliary = getattr(detector, "uses_auxiliary", False)
    trained_on = [*known, *(auxiliary if takes_auxiliary else ())]
    findings = detector.fit(
        [observation.detector_input(bias, readings) for observation in trained_on],
        [observation.sample.gold_reading or "" for observation in trained_on],
        [observation.sample.group for observation in trained_on],
    )
    _check_findings(detector, findings)
    for observation, finding in zip(trained_on, findings):
        check_finding(detector, finding, observation.sample)
    samples = [observation.sample for observation in train]
    choice = choose_template(note_scores, samples)
    template = note_scores.templates[choice.index]
    selection = {
        "n_fit": len(known),
        "n_borrowed": len(trained_on) - len(known),
        "annotator": template.annotator.name,
        "wording": template.number,
        "wordings": choice.losses,
        "answer_slope": bias.slope,
        "detector": detector.summary(),
        "silence": getattr(detector, "silence", None),
    }
    return FittedPipeline(
        readings,
        bias,
        tested_calibration(note_scores.of(choice.index, samples)),
        detector,
        template,
        raw_answer_shares(train),
        dict(zip((observation.sample for observation in known), findings)),
        trained_on,
        selection,
    )


def raw_answer_shares(observations: Sequence[Observation]) -> dict[str, float]:
    """Returns the share of raw answers that stand for each reading, of those that were ranked."""
    said = Counter(
        o.sample.readings[likeliest(o.response.scores, o.sample.texts, o.sample.id)]
        for o in observations
        if len(o.response.scores)
    )
    return {reading: n / said.total() for reading, n in said.most_common()}


def _check_findings(detector: Detector, findings: object) -> None:
    """Checks what a fit returned, whatever it is."""
    if not isinstance(findings, list | tuple) or not all(isinstance(f, Finding) for f in findings):
        shown = " ".join(repr(findings).split())
        raise UserError(
            f"Detector '{detector.name}': its method fit returned {shown:.60}, not a list of "
            "saetask.detection.Finding."
        )
    if not all(finding.probabilities for finding in findings):
        raise UserError(
            f"Detector '{detector.name}' returns findings without probabilities of the readings, "
            "which several arms are made from; fill in `probabilities` of each "
            "saetask.detection.Finding."
        )


def check_finding(detector: Detector, finding: Finding, sample: Sample) -> Finding:
    """Returns a detector's finding once its spans are checked.

    Raises:
        UserError: It is no finding, or a span is no part of the prompt; the detector and the item
            are named.
    """
    if not isinstance(finding, Finding):
        shown = " ".join(repr(finding).split())
        raise UserError(
            f"Detector '{detector.name}', item '{sample.id}': its method detect returned "
            f"{shown:.60}, not a saetask.detection.Finding."
        )
    length = len(sample.prompt.content)
    for misunderstanding in finding.misunderstandings:
        start, end = misunderstanding.span
        if not 0 <= start < end <= length:
            raise UserError(
                f"Detector '{detector.name}', item '{sample.id}': its finding's span is {start} to "
                f"{end}, which is not inside the content of {length} characters."
            )
    return finding


def save_pipeline(folder: Path, pipeline: FittedPipeline) -> None:
    """Writes a pipeline for sessions: `fit.json` and the detector's arrays."""
    from safetensors.numpy import save_file

    state = pipeline.detector.state_dict()
    arrays = {k: np.ascontiguousarray(v) for k, v in state.items() if isinstance(v, np.ndarray)}
    document = {
        "original": pipeline.bias._asdict(),
        "annotated": pipeline.note_bias._asdict(),
        "detector": {name: value for name, value in state.items() if name not in arrays},
        "annotator": pipeline.template.annotator.name,
        "wording": pipeline.template.number,
        "raw_answers": dict(pipeline.raw_answers),
    }
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        save_file(arrays, temporary / DETECTOR)
        write_json(temporary / FIT, document)


def load_pipeline(folder: Path, context: ExperimentContext) -> FittedPipeline | None:
    """Reads a saved pipeline; returns None where there is none or it is damaged."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    by_name = {annotator.name: annotator for annotator in context.annotators}
    try:
        document = read_json(folder / FIT)
        arrays = load_file(folder / DETECTOR)
        detector = context.make_detector()
        detector.load_state_dict({**document["detector"], **arrays})
        return FittedPipeline(
            context.task.readings,
            Calibration(**document["original"]),
            Calibration(**document["annotated"]),
            detector,
            NoteTemplate(by_name[document["annotator"]], document["wording"]),
            dict(document["raw_answers"]),
        )
    except (UserError, OSError, ValueError, KeyError, TypeError, SafetensorError):
        return None
