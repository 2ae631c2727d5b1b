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
WRITTEN = 0.4
"""Assumed share of an arm's prompts that no other arm or fold has, as well."""
FOLD, GENERATED = 30.0, 4.0
"""Time of fitting a fold, and of generating an answer, relative to ranking a prompt's candidates.
Measured on the built-in tasks; they only set how soon the estimate is right."""
WRITING_TEMPLATES = 4
"""Assumed number of note templates with which answers are generated, over all folds."""


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
    return [each for folds in repetitions for each in _repetition(context, folds, arms, generate)]


def _repetition(
    context: ExperimentContext, folds: Sequence[Fold], arms: Collection[Arm], generate: bool
) -> list[PlannedStage]:
    """Returns the stages of one repetition."""
    settings, samples = context.settings, all_samples(folds)
    asked = [s for s in samples if s.candidates and not s.auxiliary]
    drawn = min(settings.note_samples, len(training_samples(folds)))
    tested = (len(arms) - 1) * sum(len(fold.test) for fold in folds)
    written = len(arms) * len(_written(folds, settings.calibration_samples))
    stages = [
        PlannedStage("read prompts", len(samples)),
        PlannedStage("original prompts", len(asked)),
        PlannedStage("original prompts: generate", len(asked) * generate, GENERATED),
        PlannedStage("note templates", NOTE_TEMPLATES * drawn),
        PlannedStage("best note templates", BEST_TEMPLATES * drawn * (drawn > SMALLEST_PART)),
        PlannedStage(
            "best note templates: generate", WRITING_TEMPLATES * drawn * generate, GENERATED
        ),
        PlannedStage("fit detectors", len(folds), FOLD),
        PlannedStage("arms", int(WRITTEN * written) * (not generate)),
        PlannedStage("arms: generate", int(WRITTEN * tested) * generate, GENERATED),
    ]
    n_second = min(settings.second_question_samples, len(asked))
    asked_twice = sum(arm.spec.asks_second_question for arm in arms)
    second = PlannedStage("second question", asked_twice * n_second)
    return [*(stage for stage in stages if stage.units), second]


def _written(folds: Sequence[Fold], n_calibration: int) -> list[Sample]:
    """Returns about as many samples as an arm writes: tested ones, and those calibrated on."""
    tested = [sample for fold in folds for sample in fold.test]
    trained = [s for s in training_samples(folds) if s not in set(tested)]
    return [*tested, *trained[:n_calibration]]
