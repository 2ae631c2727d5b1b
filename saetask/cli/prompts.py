"""The commands on one prompt, or on a file of prompts: read, detect, reformulate."""

from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

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
from saetask.cli.prompt_files import detect_file
from saetask.cli.task_sessions import (
    TaskOptions,
    check_prompt,
    declare_task,
    open_session,
    require_text,
)
from saetask.errors import UserError


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
    """JSON Lines of prompts (keys prompt, target, task); prints JSON Lines, one document a row."""


@dataclass(frozen=True)
class ReadOptions:
    """Flags of `saetask read`."""

    top: int = 10
    """Number of concepts or features to show."""
    features: bool = False
    """Show features, even where a dictionary names concepts."""
    dictionary: Path | None = None
    """Dictionary folder of this SAE; without it, the shipped one if there is one."""


def declare_read(parser: CommandParser) -> None:
    """Adds the flags of `saetask read`."""
    parser.add_fields(PromptOptions, positional=("prompt",))
    parser.add_fields(ReadOptions)
    _declare_model(parser)


def declare_detect(parser: CommandParser) -> None:
    """Adds the flags of `saetask detect`."""
    parser.add_fields(DetectOptions, positional=("prompt",))
    declare_task(parser)
    _declare_model(parser)


def declare_reformulate(parser: CommandParser) -> None:
    """Adds the flags of `saetask reformulate`."""
    parser.add_fields(PromptOptions, positional=("prompt",))
    declare_task(parser)
    _declare_model(parser)


def _declare_model(parser: CommandParser) -> None:
    parser.add_fields(ModelOptions)
    parser.add_fields(MismatchOptions)
    add_json(parser)


def read(arguments: Namespace) -> None:
    """Prints the concepts that a prompt activates most, or its features where none are named."""
    from saetask.cli.concept_table import LEGEND, concept_firings, concepts_table
    from saetask.cli.tables import (
        firings_table,
        has_room_for,
        print_table,
        terminal_width,
        wrapped,
    )
    from saetask.data.prompts import as_prompt
    from saetask.dictionary.feature_labels import find_feature_labels
    from saetask.saes.compatibility import check_sae
    from saetask.saes.extraction import read_features
    from saetask.saes.neuronpedia import neuronpedia_url

    options = take(arguments, ReadOptions)
    prompt = as_prompt(require_text(take(arguments, PromptOptions).prompt))
    require_positive(options, "top")
    model, sae = take(arguments, ModelOptions).load()
    check_sae(model, sae, allow_mismatch=take(arguments, MismatchOptions).allow_sae_mismatch)
    activations = read_features(model, sae, [prompt])
    feature_labels = find_feature_labels(model, sae, options.dictionary)
    dictionary = feature_labels.dictionary
    if dictionary is not None:
        activations = activations.with_labels(dictionary.names(), dictionary.concept_names())
    firings = activations.top(options.top, region="text")
    labels = feature_labels.for_display([firing.feature for firing in firings])
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
        table = concepts_table(concepts)
        print_table(table if has_room_for(table) else concepts_table(concepts, brief=True))
        print(wrapped(LEGEND, terminal_width()))
    else:
        table = firings_table(firings, labels)
        print_table(table if has_room_for(table) else firings_table(firings, labels, both=False))


def detect(arguments: Namespace) -> None:
    """Prints what is misread in a prompt, or in each prompt of a file."""
    from saetask.cli.answers import detection_text
    from saetask.session.documents import detection_document

    prompts, options = take(arguments, DetectOptions), take(arguments, TaskOptions)
    registry = open_registry(arguments)
    if prompts.file is not None:
        if "prompt" in arguments:
            raise UserError("Give a prompt or --file, not both.")
        detect_file(arguments, registry, options, prompts.file)
        return
    text = check_prompt(registry, options, prompts.prompt, options.target)
    session = open_session(arguments, registry, options, options.task_name(options.target))
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
    text = check_prompt(registry, options, take(arguments, PromptOptions).prompt, options.target)
    session = open_session(arguments, registry, options, options.task_name(options.target))
    reformulation = session.reformulate(text, options.target)
    if arguments.json:
        document = detection_document(reformulation.detection)
        document["reformulated"] = reformulation.reformulated
        document["messages"] = [dict(message) for message in reformulation.messages]
        document["annotations"] = reformulation.annotations
        document["answers"] = {
            name: getattr(reformulation, name)
            for name in ("before", "after", "calibrated_before", "calibrated_after")
        }
        print_json(document)
    else:
        print(detection_text(reformulation.detection))
        title = "reformulated prompt" if reformulation.annotations else "prompt, as it was"
        if reformulation.messages[0]["role"] == "system":
            title += " (its note is the system message)"
        print(f"\n{title}:\n{reformulation.reformulated}\n")
        print(answers_text(reformulation))


COMMANDS = {
    "read": Command("show the concepts or features that a prompt activates", declare_read, read),
    "detect": Command("find what is misread in a prompt", declare_detect, detect),
    "reformulate": Command(
        "detect, write the finding into the prompt, ask again", declare_reformulate, reformulate
    ),
}
