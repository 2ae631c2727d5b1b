"""A fold's state: the pipeline and all detectors, fitted on its training samples."""

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from saetask.annotation.base import Annotation
from saetask.annotation.prompt_writer import ArmPrompt, NoteTemplate, make_prompt_annotator
from saetask.data.folds import Fold
from saetask.data.samples import Sample, draw
from saetask.detection.base import Finding, Misunderstanding
from saetask.errors import UserError
from saetask.experiments.context import ExperimentContext
from saetask.experiments.control_detectors import FoldDetectors, fit_detectors
from saetask.experiments.note_selection import NoteScores, choose_note
from saetask.experiments.observation import Observation
from saetask.experiments.pipeline import FittedPipeline, fit_pipeline
from saetask.experiments.steering import STEERING_ARMS, Steering, fit_steering
from saetask.saes.encoding import input_hook


@dataclass(frozen=True)
class FoldState:
    """State of a fitted fold, from which its arms write their prompts."""

    number: int
    fold: Fold
    context: ExperimentContext
    """With the SAE that did best on the fit split."""
    observations: Mapping[Sample, Observation]
    note_scores: NoteScores
    fixed_notes: Mapping[str, Annotation]
    """By arm: its note that the fit split chose."""
    pipeline: FittedPipeline
    detectors: FoldDetectors
    calibration: list[Sample]
    """Training samples on which every arm's calibration is fitted, whatever is found in them."""
    selection: Mapping[str, Any]
    """What was chosen on the fit split, as in `summary.json`."""
    seed: int
    _generator: np.random.Generator
    steering: Steering | None = None
    """How prompts are steered; None where no arm steers."""

    def generator(self) -> np.random.Generator:
        """Returns a new source of randomness; every arm gets the same one, whichever are run."""
        return copy.deepcopy(self._generator)

    def findings(self, detector: str) -> dict[Sample, Finding]:
        """Returns what a detector finds in the test samples.

        Raises:
            UserError: It was not fitted.
        """
        if detector not in self.detectors.findings:
            raise UserError(
                f"The arm '{detector}' needs a detector that was not fitted; leave it out."
            )
        return self.detectors.findings[detector]

    def misunderstandings(self, detector: str) -> dict[Sample, list[Misunderstanding]]:
        """Returns the misunderstandings that a detector finds in the test samples."""
        return {s: finding.misunderstandings for s, finding in self.findings(detector).items()}

    def write(
        self,
        findings: Mapping[Sample, Sequence[Misunderstanding]],
        labels_known: bool = True,
        template: NoteTemplate | None = None,
    ) -> dict[Sample, ArmPrompt]:
        """Writes findings into the samples' prompts.

        Args:
            findings: What to write, by sample; a sample without any keeps its prompt.
            labels_known: The features are the SAE's, so that their labels apply.
            template: The note template; None takes the chosen one.
        """
        labels = self.context.feature_labels if labels_known else None
        annotator = make_prompt_annotator(
            template or self.pipeline.template, labels, findings.values()
        )
        annotator.generate_notes(findings.values())
        return {sample: annotator.write(sample.prompt, ms) for sample, ms in findings.items()}


def fit_fold(
    contexts: Sequence[ExperimentContext],
    number: int,
    fold: Fold,
    observations: Sequence[Mapping[Sample, Observation]],
    note_scores: NoteScores,
    fixed_notes: Mapping[str, NoteScores],
    controls: Collection[str],
    seed: int,
) -> FoldState:
    """Fits a fold's pipeline, with the SAE that does best on the fit split, and its detectors.

    Args:
        contexts: One for each SAE that competes.
        number: The fold's number.
        fold: Its samples.
        observations: By context: of all samples.
        note_scores: Of the note templates.
        fixed_notes: Of each arm with notes that depend on no finding, their scores.
        controls: Names of the arms that are run; detectors of these are fitted.
        seed: Seed of the calibration samples and of the controls.

    Raises:
        UserError: The detector can not be fitted.
    """
    generator = np.random.default_rng([seed, number])
    calibration = draw(fold.train, contexts[0].settings.calibration_samples, generator)
    best, pipeline, selection = _best_pipeline(
        contexts, fold, observations, note_scores, calibration
    )
    context, observed = contexts[best], observations[best]
    detectors = fit_detectors(
        context,
        pipeline,
        [observed[sample] for sample in fold.test],
        controls,
        generator,
    )
    steering = None
    if not set(STEERING_ARMS).isdisjoint(controls):
        steering = fit_steering(
            context, pipeline, [observed[sample] for sample in fold.train], seed
        )
    return FoldState(
        number,
        fold,
        context,
        observed,
        note_scores,
        {arm: choose_note(scores, fold.train) for arm, scores in fixed_notes.items()},
        pipeline,
        detectors,
        calibration,
        selection,
        seed,
        generator,
        steering,
    )


def _best_pipeline(
    contexts: Sequence[ExperimentContext],
    fold: Fold,
    observations: Sequence[Mapping[Sample, Observation]],
    note_scores: NoteScores,
    calibration: Sequence[Sample],
) -> tuple[int, FittedPipeline, dict[str, Any]]:
    """Fits the pipeline with every SAE that competes.

    Returns:
        The number of the SAE with the smallest loss on the fit split, its pipeline, and what was
        chosen, as in `summary.json`.
    """
    pipelines = [
        fit_pipeline(
            context,
            [observed[sample] for sample in fold.train],
            [observed[sample] for sample in fold.auxiliary],
            note_scores,
            [observed[sample] for sample in calibration],
        )
        for context, observed in zip(contexts, observations)
    ]
    losses = [pipeline.fit_loss() for pipeline in pipelines]
    best = int(np.argmin(losses))
    hooks = [input_hook(each.sae) for each in contexts]
    tried = [{"hook_name": hook, "fit_loss": loss} for hook, loss in zip(hooks, losses)]
    return best, pipelines[best], {**pipelines[best].selection, "sae": best, "saes": tried}
