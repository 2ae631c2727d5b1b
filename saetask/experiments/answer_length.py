"""How long generated answers may be, and where they end."""

from typing import TYPE_CHECKING

from saetask.data.tasks import Task, WritesAnswers
from saetask.experiments.context import DEFAULT_SETTINGS, ExperimentSettings
from saetask.models.loading import context_size

if TYPE_CHECKING:
    from saetask.models.loading import Model

LARGEST_SHARE = 0.5
"""Share of the model's context that a task's own length takes at most: the prompt needs the rest.
"""


def answer_tokens(
    task: Task, asked: int | None, settings: ExperimentSettings, model: "Model"
) -> int:
    """Returns the maximum length of a generated answer, in tokens.

    Args:
        task: The task; its own length counts where no other is given.
        asked: The length that the run's config asks for; None leaves it open.
        settings: Its length counts where it is not the default.
        model: The model that writes the answers.
    """
    if asked is not None:
        return asked
    is_given = settings.answer_tokens != DEFAULT_SETTINGS.answer_tokens
    if is_given or not isinstance(task, WritesAnswers):
        return settings.answer_tokens
    return min(task.answer_tokens, int(LARGEST_SHARE * context_size(model)))


def answer_end(task: Task) -> str:
    """Returns the pattern with which a generated answer ends; "" where the task has none."""
    return task.answer_end if isinstance(task, WritesAnswers) else ""
