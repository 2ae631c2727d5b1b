"""saetask's built-in plugins, one plugin a file."""

from typing import Any

from saetask.registry import hookimpl


@hookimpl
def saetask_tasks() -> list[Any]:
    from saetask_plugins.tasks.metaphor import Metaphor
    from saetask_plugins.tasks.word_problems import WordProblems

    return [Metaphor(), WordProblems()]


@hookimpl
def saetask_detectors() -> list[Any]:
    from saetask_plugins.detectors.failure_probe import FailureProbe

    return [FailureProbe]


@hookimpl
def saetask_annotators() -> list[Any]:
    from saetask_plugins.annotators.feature_label import FeatureLabel
    from saetask_plugins.annotators.operation_note import OperationNote
    from saetask_plugins.annotators.sense_note import SenseNote

    return [SenseNote(), OperationNote(), FeatureLabel()]
