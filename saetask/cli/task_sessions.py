"""The flags that choose a task, the check of a prompt against it, and the session for it."""

from argparse import Namespace
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saetask.cli.options import MismatchOptions, ModelOptions
from saetask.cli.parser import CommandParser, take
from saetask.cli.struck_concepts import VerdictOptions, with_struck
from saetask.errors import UserError
from saetask.inference.ranking import Ranking

if TYPE_CHECKING:
    from saetask.plugins import PluginRegistry
    from saetask.session import Session


@dataclass(frozen=True)
class TaskOptions:
    """Flags of `saetask detect` and `saetask reformulate`."""

    task: str | None = None
    """Task plugin; without it, metaphor for a prompt with a target, else word-problems."""
    target: str | None = None
    """The word in question, for a task that asks about a word (its first place)."""
    data: Path | None = None
    """Items to fit on, for tasks without built-in items."""
    dictionary: Path | None = None
    """Dictionary folder of this SAE; without it, the shipped one if there is one."""
    unvalidated_labels: bool = False
    """Use labels in annotations even if they are not validated."""
    without: list[str] = field(default_factory=list)
    """Concept (by id or name) or feature:12 to hide from the detector; may be repeated."""
    ranking: Ranking = "likelihood"
    """What ranks answers: likelihood, per-token, per-character, per-byte or pmi."""
    template_options: dict[str, Any] = field(default_factory=dict)
    """Variables of the model's chat template, by name; the flag sets one and may be repeated."""

    def task_name(self, target: str | None) -> str:
        """Returns the task to use for a prompt with this target."""
        return self.task or ("metaphor" if target else "word-problems")


def declare_task(parser: CommandParser) -> None:
    """Adds the flags that choose the task and what its session is fitted on."""
    parser.add_fields(
        TaskOptions,
        flags={"template_options": "--template-option"},
        repeated={"without": "CONCEPT"},
    )
    parser.add_fields(VerdictOptions)


def require_text(prompt: str) -> str:
    """Returns the prompt.

    Raises:
        UserError: It is empty.
    """
    if not prompt.strip():
        raise UserError('The prompt is empty; give some text, as in saetask read "She sailed".')
    return prompt


def check_prompt(
    registry: "PluginRegistry", options: TaskOptions, prompt: str, target: str | None
) -> str:
    """Returns the prompt of the command line, before anything is loaded.

    Raises:
        UserError: It is empty, or does not fit the task.
    """
    text = require_text(prompt)
    check_question(registry, options, None, text, target)
    return text


def check_question(
    registry: "PluginRegistry",
    options: TaskOptions,
    task: str | None,
    text: str,
    target: str | None,
) -> None:
    """Checks that a task can ask about a prompt.

    Args:
        registry: Where the task is looked up.
        options: Flags of the command.
        task: Name of the prompt's own task; None takes that of the flags.
        text: The prompt.
        target: The word in question, for a task that asks about a word.

    Raises:
        UserError: The task is unknown, or the prompt does not fit it.
    """
    plugin = registry.get("task", task or options.task_name(target))
    try:
        item = plugin.question_from_text(text, target)
    except UserError as error:
        if task or options.task or target:
            raise
        hint = "For a metaphor, give --target WORD; --task names another task."
        raise UserError(f"{error} {hint}") from error
    if target and "target" not in plugin.prompt(item).spans:
        raise UserError(f"The task {plugin.name} asks about no single word; leave --target out.")


def check_items(registry: "PluginRegistry", options: TaskOptions, task: str) -> None:
    """Checks, before anything is loaded, that there are items to fit on.

    Raises:
        UserError: The task has none of its own, and no file is given.
    """
    if options.data is None:
        registry.get("task", task).items()


def open_session(
    arguments: Namespace,
    registry: "PluginRegistry",
    options: TaskOptions,
    task: str,
    earlier: "Session | None" = None,
) -> "Session":
    """Returns a session for a task.

    Args:
        arguments: The command line.
        registry: Where the task is looked up.
        options: Flags of the command.
        task: Name of the task.
        earlier: A session whose model and SAE are used; None loads those of the command line.

    Raises:
        UserError: There are no items to fit on, or they do not fit the task.
    """
    from saetask.data.chat_template import parse_options
    from saetask.session import Session, SessionConfig

    models = take(arguments, ModelOptions)
    check_items(registry, options, task)
    if earlier is None:
        models.announce()
    return Session(
        models.model if earlier is None else earlier.model,
        models.sae if earlier is None else earlier.sae,
        task,
        data=options.data,
        plugins=registry,
        config=SessionConfig(
            dictionary=options.dictionary,
            unvalidated_labels=options.unvalidated_labels,
            without=with_struck(arguments, options.without, options.dictionary, models.sae),
            allow_sae_mismatch=take(arguments, MismatchOptions).allow_sae_mismatch,
            ranking=options.ranking,
            template_options=parse_options(options.template_options),
            dtype=models.dtype,
        ),
    )
