"""Objects that an experiment runs with: task, model, SAE, plugins, numbers of requests."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saetask.annotation.base import Annotator
from saetask.annotation.generated_notes import EndpointReplies, with_generated_notes
from saetask.compute.executor import Executor
from saetask.data.tasks import Item, TellsUnlearnable
from saetask.detection.base import BaseDetector, Detector
from saetask.detection.baselines import baselines
from saetask.detection.silent import SilentDetector
from saetask.dictionary.feature_labels import FeatureLabels, find_feature_labels
from saetask.errors import UserError
from saetask.experiments.known_concepts import (
    NO_CONCEPTS,
    KnownConcepts,
    check_concepts,
    find_known_concepts,
)
from saetask.inference.client import ModelClient
from saetask.inference.requests import MAX_NEW_TOKENS
from saetask.plugins import PluginRegistry

if TYPE_CHECKING:
    from saetask.annotation.base import WritingAnnotator
    from saetask.data.tasks import Task
    from saetask.inference.endpoint import Endpoint
    from saetask.models.loading import Model
    from saetask.saes.loading import SAE

ON_REQUEST = ("feature-label", "relation-note")
"""Annotators of a task that are used only where they are named."""


@dataclass(frozen=True)
class ExperimentSettings:
    """Numbers of samples and tokens of each step, and the baselines of detectors."""

    note_samples: int = 40
    """Maximum number of training samples on which note templates are compared."""
    calibration_samples: int = 400
    """Maximum number of training samples on which an arm's calibration is fitted."""
    answer_tokens: int = MAX_NEW_TOKENS
    """Maximum length of a generated answer; a run takes the config's, or the task's own."""
    self_note_tokens: int = 24
    """Maximum length of the model's own note, in the arm `self`."""
    second_question_samples: int = 200
    """Maximum number of test samples asked a second question."""
    second_question_tokens: int = 12
    """Maximum length of a generated answer to a second question."""
    make_baselines: Callable[[], Sequence[BaseDetector]] = baselines


DEFAULT_SETTINGS = ExperimentSettings()


@dataclass(frozen=True)
class ExperimentContext:
    """The task, the model under test, its SAE, and the plugins of an experiment."""

    task: "Task"
    model: "Model"
    sae: "SAE[Any]"
    make_detector: Callable[[], Detector]
    annotators: Sequence[Annotator]
    client: ModelClient
    feature_labels: FeatureLabels
    executor: Executor | None = None
    """Where prompts are read; None reads them in this process."""
    settings: ExperimentSettings = DEFAULT_SETTINGS
    self_writer: EndpointReplies | None = None
    """Writes the notes of the arm `self`; None has the model under test write them."""
    known_concepts: KnownConcepts = NO_CONCEPTS
    """Concepts that detectors may use, and features that they do not see."""

    @property
    def uses_concepts(self) -> bool:
        """Whether the fit of the detector depends on concepts."""
        return getattr(self.make_detector(), "uses_concepts", False)


def make_context(
    task: "Task",
    model: "Model",
    sae: "SAE[Any]",
    make_detector: Callable[[], Detector],
    annotators: "Sequence[Annotator | WritingAnnotator]",
    client: ModelClient,
    dictionary: Path | None,
    unvalidated_labels: bool,
    executor: Executor | None = None,
    settings: ExperimentSettings = DEFAULT_SETTINGS,
    self_endpoint: "Endpoint | None" = None,
    without: Sequence[str] = (),
) -> ExperimentContext:
    """Returns a context, with the labels of the SAE's features and with notes that are kept.

    Args:
        task: The task.
        model: The model under test.
        sae: The SAE.
        make_detector: Makes a detector.
        annotators: Annotators; the replies of those that a language model writes are stored.
        client: Runs the model and stores all answers.
        dictionary: A dictionary folder of the SAE; None takes the shipped one, if there is one.
        unvalidated_labels: Use labels in notes even if they are not validated.
        executor: Where prompts are read; None reads them in this process.
        settings: Numbers of samples and tokens of each step.
        self_endpoint: The language model that writes the notes of the arm `self`; None has the
            model under test write them.
        without: Concepts whose features the detector does not see, by id or name.

    Raises:
        UserError: The dictionary is of another SAE, or damaged, or lacks concepts that are named
            or that the detector needs.
    """
    kept = [with_generated_notes(annotator, client) for annotator in annotators]
    labels = find_feature_labels(model, sae, dictionary, unvalidated_labels)
    writer = None if self_endpoint is None else EndpointReplies(self_endpoint, client)
    context = ExperimentContext(
        task, model, sae, make_detector, kept, client, labels, executor, settings, writer
    )
    known = find_known_concepts(labels, without, task.name, context.uses_concepts)
    return checked_context(replace(context, known_concepts=known))


def checked_context(context: ExperimentContext) -> ExperimentContext:
    """Returns a context whose detector has the concepts that it needs.

    Raises:
        UserError: It has none.
    """
    if context.uses_concepts:
        name = context.make_detector().name
        check_concepts(name, context.known_concepts, context.feature_labels)
    return context


def task_annotators(
    task: "Task", plugins: PluginRegistry, names: Sequence[str] = ()
) -> "list[Annotator | WritingAnnotator]":
    """Returns annotators: the plugins of these names, or else those of the task.

    Raises:
        UserError: There is no annotator of that name, or the task names none.
    """
    own = [each for each in task.annotators if each not in ON_REQUEST]
    chosen = names or own or task.annotators
    if not chosen:
        raise UserError(f"The task {task.name} names no annotator; choose one with --annotators.")
    return [plugins.get("annotator", a) if isinstance(a, str) else a for a in chosen]


def endpoint_of(annotator: "Annotator | WritingAnnotator") -> "Endpoint":
    """Returns the language model that writes an annotator's notes.

    Raises:
        UserError: None does, or the one under test.
    """
    endpoint = getattr(annotator, "endpoint", None)
    if endpoint is None:
        raise UserError(
            f"--self-writer is '{annotator.name}', an annotator without a language model of its "
            "own; name one that asks an endpoint, such as llm."
        )
    return endpoint


def task_detector(
    task: "Task", items: Sequence[Item], make_detector: Callable[[], Detector]
) -> Callable[[], Detector]:
    """Returns what makes the detector of a task: a silent one if nothing can be learnt.

    Args:
        task: The task; see `saetask.data.TellsUnlearnable`.
        items: The items to fit on and to test.
        make_detector: Makes the detector that was chosen.
    """
    reason = task.unlearnable(items) if isinstance(task, TellsUnlearnable) else None
    return make_detector if reason is None else partial(SilentDetector, reason)
