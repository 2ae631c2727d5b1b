"""The plan of a run, which is checked before a model is loaded, and the contexts made by it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from saetask.annotation.base import configured
from saetask.compute.executor import Executor
from saetask.data.answerability import check_candidates
from saetask.data.folds import Fold, all_samples
from saetask.detection.base import Detector
from saetask.dictionary.feature_labels import find_feature_labels
from saetask.experiments.config import RunConfig
from saetask.experiments.context import (
    ExperimentContext,
    ExperimentSettings,
    checked_context,
    endpoint_of,
    make_context,
    task_annotators,
    task_detector,
)
from saetask.experiments.known_concepts import find_known_concepts
from saetask.experiments.run_inputs import RunInputs
from saetask.inference.client import ModelClient
from saetask.plugins import PluginRegistry
from saetask.saes.compatibility import check_sae
from saetask.saes.loading import load_sae

if TYPE_CHECKING:
    from saetask.annotation.base import Annotator, WritingAnnotator
    from saetask.inference.endpoint import Endpoint
    from saetask.models.loading import Model
    from saetask.saes.loading import SAE


@dataclass(frozen=True)
class RunPlan:
    """What a run does, and with which plugins."""

    inputs: RunInputs
    annotators: "Sequence[Annotator | WritingAnnotator]"
    plugged: "Sequence[Annotator | WritingAnnotator]"
    """The annotators, and the one that writes the notes of the arm `self`, if it is named."""
    self_endpoint: "Endpoint | None"
    """The language model of that one."""
    repetitions: Sequence[Sequence[Fold]]
    """The folds of each seed."""
    make_detector: Callable[[], Detector]
    warnings: Sequence[str]
    """Lines to say once nothing refuses the run."""

    @property
    def config(self) -> RunConfig:
        """The run's config."""
        return self.inputs.config


def plan_run(inputs: RunInputs, plugins: PluginRegistry) -> RunPlan:
    """Returns the plan of a run.

    Raises:
        UserError: A plugin is unknown, a file does not fit, or there is too little to fit on.
    """
    config = inputs.config
    chosen = task_annotators(inputs.task, plugins, config.annotators)
    named = [config.self_writer] if config.self_writer else []
    writers = [plugins.get("annotator", name) for name in named]
    plugged = configured([*chosen, *writers], config.annotator_options)
    self_endpoint = endpoint_of(plugged[-1]) if writers else None
    repetitions = [inputs.folds(config.seed + number) for number in range(config.seeds)]
    warnings = _warning_of_candidates(inputs, repetitions[0])
    make_detector = _detector(inputs, repetitions[0], plugins)
    return RunPlan(
        inputs, plugged[: len(chosen)], plugged, self_endpoint, repetitions, make_detector, warnings
    )


def make_contexts(
    plan: RunPlan,
    model: "Model",
    sae: "SAE[Any]",
    client: ModelClient,
    executor: Executor,
    settings: ExperimentSettings,
) -> list[ExperimentContext]:
    """Returns the context of each SAE that competes, the run's first SAE's first.

    Args:
        plan: The run.
        model: The model under test.
        sae: The run's first SAE, checked.
        client: Runs the model and stores all answers.
        executor: Where prompts are read.
        settings: Numbers of samples and tokens of each step.

    Raises:
        UserError: A dictionary or another SAE does not fit, or lacks concepts that are needed.
    """
    config = plan.config
    context = make_context(
        plan.inputs.task,
        model,
        sae,
        plan.make_detector,
        plan.annotators,
        client,
        config.dictionary,
        config.unvalidated_labels,
        executor,
        settings,
        plan.self_endpoint,
        config.without,
    )
    return [context, *(_with_sae(context, config, name) for name in config.other_saes)]


def _with_sae(context: ExperimentContext, config: RunConfig, name: str) -> ExperimentContext:
    """Returns the context with another SAE, checked, and without a dictionary folder for it."""
    sae = load_sae(name)
    check_sae(context.model, sae, allow_mismatch=config.allow_sae_mismatch)
    labels = find_feature_labels(context.model, sae, None, config.unvalidated_labels)
    known = find_known_concepts(labels, config.without, context.task.name, context.uses_concepts)
    other = replace(context, sae=sae, feature_labels=labels, known_concepts=known)
    return checked_context(other)


def _detector(
    inputs: RunInputs, folds: Sequence[Fold], plugins: PluginRegistry
) -> Callable[[], Detector]:
    """Returns what makes the detector: a silent one where nothing can be learnt from the items."""
    items = [sample.item for sample in all_samples(folds) if not sample.auxiliary]
    return task_detector(inputs.task, items, plugins.get("detector", inputs.config.detector))


def _warning_of_candidates(inputs: RunInputs, folds: Sequence[Fold]) -> list[str]:
    """Returns a line if tested items can not be answered by ranking their candidates."""
    config, tested = inputs.config, [sample for fold in folds for sample in fold.test]
    if config.scoring != "rank":
        return []
    warning = check_candidates(inputs.task, tested, "The items", config.data)
    return [f"saetask: warning: {warning}"] if warning else []
