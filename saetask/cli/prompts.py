"""The commands on one prompt, or on a file of prompts: read, detect, reformulate."""

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saetask.cli.commands import Command
from saetask.cli.options import (
    MismatchOptions,
    ModelOptions,
    add_json,
    open_registry,
    print_json,
    require_positive,
)
from saetask.cli.parser import CommandParser, take
from saetask.cli.struck_concepts import VerdictOptions, with_struck
from saetask.errors import UserError
from saetask.inference.ranking import Ranking
from saetask.utils.files import json_text, user_error_on_failed_write

if TYPE_CHECKING:
    from saetask.plugins import PluginRegistry
    from saetask.session import Session


@dataclass(frozen=True)
class PromptOptions:
    """The prompt of `saetask read` and `saetask reformulate`."""

    prompt: str
    """Text of the prompt."""


@dataclass(frozen=True)
class DetectOptions:
    """The prompts of `saetask detect`."""

    prompt: str = ""
    """Text of the prompt."""
    file: Path | None = None
    """File of prompts instead: JSON lines with prompt and, where there are, target and task."""


@dataclass(frozen=True)
class ReadOptions:
    """Flags of `saetask read`."""

    top: int = 10
    """Number of concepts or features to show."""
    features: bool = False
    """Show features, even where a dictionary names concepts."""
    dictionary: Path | None = None
    """Dictionary folder of this SAE; without it, the shipped one if there is one."""


@dataclass(frozen=True)
class TaskOptions:
    """Flags of `saetask detect` and `saetask reformulate`."""

    task: str | None = None
    """Task plugin; without it, metaphor for a prompt with a target, else word-problems."""
    target: str | None = None
    """The word in question, for a task that asks about a word."""
    data: Path | None = None
    """Items to fit on, for tasks without built-in items."""
    dictionary: Path | None = None
    """Dictionary folder of this SAE; without it, the shipped one if there is one."""
    unvalidated_labels: bool = False
    """Use labels in annotations even if they are not validated."""
    without: list[str] = field(default_factory=list)
    """Concept, by id or name, whose features the detector does not see; may be repeated."""
    ranking: Ranking = "likelihood"
    """What ranks answers: likelihood, per-token, per-character, per-byte or pmi."""
    template_options: dict[str, Any] = field(default_factory=dict)
    """Variables of the model's chat template, by name; the flag sets one and may be repeated."""

    def task_name(self, target: str | None) -> str:
        """Returns the task to use for a prompt with this target."""
        return self.task or ("metaphor" if target else "word-problems")


def declare_read(parser: CommandParser) -> None:
    """Adds the flags of `saetask read`."""
    parser.add_fields(PromptOptions, positional=("prompt",))
    parser.add_fields(ReadOptions)
    _declare_model(parser)


def declare_detect(parser: CommandParser) -> None:
    """Adds the flags of `saetask detect`."""
    parser.add_fields(DetectOptions, positional=("prompt",))
    _declare_task(parser)
    _declare_model(parser)


def declare_reformulate(parser: CommandParser) -> None:
    """Adds the flags of `saetask reformulate`."""
    parser.add_fields(PromptOptions, positional=("prompt",))
    _declare_task(parser)
    _declare_model(parser)


def _declare_task(parser: CommandParser) -> None:
    parser.add_fields(
        TaskOptions,
        flags={"template_options": "--template-option"},
        repeated={"without": "CONCEPT"},
    )
    parser.add_fields(VerdictOptions)


def _declare_model(parser: CommandParser) -> None:
    parser.add_fields(ModelOptions)
    parser.add_fields(MismatchOptions)
    add_json(parser)


def read(arguments: Namespace) -> None:
    """Prints the concepts that a prompt activates most, or its features where none are named."""
    from saetask.cli.concept_table import concept_firings, concepts_table
    from saetask.cli.tables import firings_table, print_table
    from saetask.data.prompts import as_prompt
    from saetask.dictionary.feature_labels import find_feature_labels
    from saetask.saes.compatibility import check_sae
    from saetask.saes.extraction import read_features
    from saetask.saes.neuronpedia import neuronpedia_url

    options = take(arguments, ReadOptions)
    prompt = as_prompt(_require_text(take(arguments, PromptOptions).prompt))
    require_positive(options, "top")
    model, sae = take(arguments, ModelOptions).load()
    check_sae(model, sae, allow_mismatch=take(arguments, MismatchOptions).allow_sae_mismatch)
    activations = read_features(model, sae, [prompt])
    firings = activations.top(options.top, region="text")
    feature_labels = find_feature_labels(model, sae, options.dictionary)
    labels = feature_labels.for_display([firing.feature for firing in firings])
    dictionary = feature_labels.dictionary
    named = dictionary.concepts() if dictionary and not options.features else []
    concepts = concept_firings(activations, named, options.top)
    if arguments.json:
        rows = [
            {**f._asdict(), "label": labels[f.feature], "url": neuronpedia_url(sae, f.feature)}
            for f in firings
        ]
        found = [concept._asdict() for concept in concepts]
        rendered = activations.prompts[0].text  # in which the spans of features count
        document = {"prompt": prompt.content, "rendered": rendered}
        print_json({**document, "features": rows, "concepts": found})
    elif concepts:
        print_table(concepts_table(concepts))
    else:
        print_table(firings_table(firings, labels))


def detect(arguments: Namespace) -> None:
    """Prints what is misread in a prompt, or in each prompt of a file."""
    from saetask.cli.answers import detection_text
    from saetask.session.documents import detection_document

    prompts, options = take(arguments, DetectOptions), take(arguments, TaskOptions)
    registry = open_registry(arguments)
    if prompts.file:
        _detect_file(arguments, registry, options, prompts.file)
        return
    text = _check_prompt(registry, options, prompts.prompt)
    session = _open_session(arguments, registry, options, options.task_name(options.target))
    detection = session.detect(text, options.target)
    if arguments.json:
        print_json(detection_document(detection))
    else:
        print(detection_text(detection))


def reformulate(arguments: Namespace) -> None:
    """Prints a prompt with an annotation of what is misread in it, and the answers to both."""
    from saetask.cli.answers import answers_text, detection_text
    from saetask.session.documents import detection_document

    options = take(arguments, TaskOptions)
    registry = open_registry(arguments)
    text = _check_prompt(registry, options, take(arguments, PromptOptions).prompt)
    session = _open_session(arguments, registry, options, options.task_name(options.target))
    reformulation = session.reformulate(text, options.target)
    if arguments.json:
        document = detection_document(reformulation.detection)
        document["reformulated"] = reformulation.reformulated
        document["annotations"] = reformulation.annotations
        document["answers"] = {
            name: getattr(reformulation, name)
            for name in ("before", "after", "calibrated_before", "calibrated_after")
        }
        print_json(document)
    else:
        print(detection_text(reformulation.detection))
        title = "reformulated prompt" if reformulation.annotations else "prompt, as it was"
        print(f"\n{title}:\n{reformulation.reformulated}\n")
        print(answers_text(reformulation))


def _require_text(prompt: str) -> str:
    if not prompt.strip():
        raise UserError('The prompt is empty; give some text, as in saetask read "She sailed".')
    return prompt


def _check_prompt(registry: "PluginRegistry", options: TaskOptions, prompt: str) -> str:
    """Returns the prompt; refuses one that does not fit the task before anything is loaded."""
    text = _require_text(prompt)
    task = registry.get("task", options.task_name(options.target))
    task.question_from_text(text, options.target)
    return text


def _open_session(
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
    if options.data is None:  # a task without items is refused before anything is loaded
        registry.get("task", task).items()
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


def _detect_file(
    arguments: Namespace, registry: "PluginRegistry", options: TaskOptions, path: Path
) -> None:
    """Prints a line for each prompt of a file as soon as it is made; keeps none of them.

    Every row is of its own task, which has a session of its own.
    """
    from saetask.data.items import PromptRow, read_validated_rows
    from saetask.session.documents import detection_document

    sessions: dict[str, Session] = {}
    for number, row in read_validated_rows(path, PromptRow):
        target = options.target if row.target is None else row.target
        name = row.task or options.task_name(target)
        try:
            if options.task not in (None, name):
                raise UserError(
                    f"field 'task': '{name}', but --task is '{options.task}'; drop one."
                )
            if name not in sessions:
                registry.get("task", name).question_from_text(row.prompt, target)
                sessions[name] = _open_row_session(arguments, registry, options, name, sessions)
            detection = sessions[name].detect(row.prompt, target)
        except UserError as error:
            raise UserError(f"{path}:{number}: {error}") from error
        with user_error_on_failed_write("standard output"):
            print(json_text(detection_document(detection)), flush=True)


def _open_row_session(
    arguments: Namespace,
    registry: "PluginRegistry",
    options: TaskOptions,
    name: str,
    sessions: "Mapping[str, Session]",
) -> "Session":
    """Returns the session of a row whose task no row above has.

    Raises:
        UserError: `--data` has items for the task of another row; see also `_open_session`.
    """
    earlier = next(iter(sessions.items()), None)
    if earlier is not None and options.data is not None:
        raise UserError(
            f"this row is of the task {name}, but --data has items of {earlier[0]}, the task of "
            "the rows above; give --task, or a file of prompts for each task."
        )
    return _open_session(arguments, registry, options, name, earlier and earlier[1])


COMMANDS = {
    "read": Command("show the concepts or features that a prompt activates", declare_read, read),
    "detect": Command("find what is misread in a prompt", declare_detect, detect),
    "reformulate": Command(
        "detect, write the finding into the prompt, ask again", declare_reformulate, reformulate
    ),
}
