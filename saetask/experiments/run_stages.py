"""Stages of a run that its progress counts with before they begin."""

from collections.abc import Collection, Sequence

from saetask.data.folds import Fold, all_samples, training_samples
from saetask.data.samples import Sample
from saetask.experiments.arms import Arm
from saetask.experiments.context import ExperimentContext
from saetask.experiments.note_selection import SMALLEST_PART
from saetask.utils.progress import PlannedStage

NOTE_TEMPLATES, BEST_TEMPLATES = 8, 2
"""Assumed number of requests for each sample that note templates are compared on, in the two stages
of the comparison; annotators tell the number of templates only when they see a finding."""
WRITTEN = 0.7
"""Assumed share of an arm's prompts that no other arm or fold has, as well."""
FOLD, GENERATED = 30.0, 8.0
"""Time of fitting a fold, and of generating an answer, relative to ranking a prompt's candidates.
Measured on the built-in tasks; they only set how soon the estimate is right."""


def run_stages(
    context: ExperimentContext,
    repetitions: Sequence[Sequence[Fold]],
    arms: Collection[Arm],
    generate: bool,
) -> list[PlannedStage]:
    """Returns the stages of a run, with the number of prompts expected in each.

    Args:
        context: The run's settings.
        repetitions: The folds of each repetition.
        arms: The arms to run.
        generate: Judge generated answers instead of ranked ones.
    """
    settings = context.settings
    stages = []
    for folds in repetitions:
        samples = all_samples(folds)
        asked = [s for s in samples if s.candidates and not s.auxiliary]
        drawn = min(settings.note_samples, len(training_samples(folds)))
        written = int(WRITTEN * len(arms) * len(_written(folds, settings.calibration_samples)))
        stages += [
            PlannedStage("read prompts", len(samples), 0.5),
            PlannedStage("original prompts", len(asked)),
            PlannedStage("note templates", NOTE_TEMPLATES * drawn),
        ]
        if drawn > SMALLEST_PART:
            stages.append(PlannedStage("best note templates", BEST_TEMPLATES * drawn))
        stages += [
            PlannedStage("fit detectors", len(folds), FOLD),
            PlannedStage("arms", written),
        ]
        if generate:
            tested = len(arms) * sum(len(fold.test) for fold in folds)
            stages.append(PlannedStage("arms: generate", tested, GENERATED))
        n_second = min(settings.second_question_samples, len(asked))
        asked_twice = sum(arm.spec.asks_second_question for arm in arms)
        stages.append(PlannedStage("second question", asked_twice * n_second))
    return stages


def _written(folds: Sequence[Fold], n_calibration: int) -> list[Sample]:
    """Returns about as many samples as an arm writes: tested ones, and those calibrated on."""
    tested = [sample for fold in folds for sample in fold.test]
    trained = [s for s in training_samples(folds) if s not in set(tested)]
    return [*tested, *trained[:n_calibration]]
