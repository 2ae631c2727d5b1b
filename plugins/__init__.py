"""saetask's built-in plugins, one plugin a file."""

from typing import Any

from saetask import hookimpl


@hookimpl
def saetask_tasks() -> list[Any]:
    from .tasks.metaphor import Metaphor
    from .tasks.word_problems import WordProblems

    return [Metaphor(), WordProblems()]


@hookimpl
def saetask_detectors() -> list[Any]:
    from .detectors.failure_probe import FailureProbe
    from .detectors.missing_concept import MissingConcept
    from .detectors.sense_conflict import SenseConflict
    from .detectors.uncertainty import Uncertainty

    return [FailureProbe, SenseConflict, MissingConcept, Uncertainty]


@hookimpl
def saetask_annotators() -> list[Any]:
    from .annotators.feature_label import FeatureLabel
    from .annotators.gloss import Gloss
    from .annotators.operation_note import OperationNote
    from .annotators.sense_note import SenseNote

    return [SenseNote(), OperationNote(), FeatureLabel(), Gloss()]


@hookimpl
def saetask_labelers() -> list[Any]:
    from .labelers.keywords import Keywords
    from .labelers.neuronpedia import Neuronpedia
    from .labelers.openai import OpenAI

    return [Keywords(), Neuronpedia(), OpenAI()]
