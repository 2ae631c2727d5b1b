"""The commands that test a dictionary: validate, falsify."""

from argparse import Namespace
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from saetask.cli.commands import Command
from saetask.cli.options import (
    MismatchOptions,
    ModelOptions,
    add_json,
    open_endpoint,
    open_registry,
    print_json,
    require_positive,
)
from saetask.cli.parser import CommandParser, take


@dataclass(frozen=True)
class ValidateOptions:
    """Flags of `saetask dictionary validate`."""

    folder: Path
    """A dictionary folder whose work/ is still there."""
    judge: str | None = None
    """A language model that also judges labels."""
    judge_url: str | None = None
    """OpenAI-compatible address of the judge; without it, $OPENAI_BASE_URL, else OpenAI's."""
    judge_features: int = 200
    """Features to judge, drawn at random."""
    shuffled_model: Path | None = None
    """A validated dictionary of the model with shuffled weights, as another control."""
    labeler_option: dict[str, str] = field(default_factory=dict)
    """An option of the labeler; may be repeated."""


@dataclass(frozen=True)
class FalsifyOptions:
    """Flags of `saetask dictionary falsify` beside those of its config."""

    folder: Path
    """A dictionary folder."""
    writer: str | None = None
    """A language model that also writes texts to test the features on."""
    writer_url: str | None = None
    """OpenAI-compatible address of the writer; without it, $OPENAI_BASE_URL, else OpenAI's."""


def declare_validate(parser: CommandParser) -> None:
    """Adds the flags of `saetask dictionary validate`."""
    parser.add_fields(ValidateOptions, positional=("folder",))
    parser.add_fields(ModelOptions)
    add_json(parser)


def validate(arguments: Namespace) -> None:
    """Tests the labels of a dictionary on unseen documents and prints the verdicts."""
    from saetask.cli.tables import judge_text, print_table, validation_table
    from saetask.dictionary.evaluate.judge import Judge
    from saetask.dictionary.evaluate.validation import validate as validate_dictionary
    from saetask.dictionary.label.base import configured, is_in_words
    from saetask.dictionary.store import read_manifest

    options = take(arguments, ValidateOptions)
    require_positive(options, "judge_features")
    endpoint = open_endpoint("judge", options.judge, options.judge_url)
    judge = endpoint and Judge(endpoint, options.judge_features)
    manifest = read_manifest(options.folder)
    labeler = open_registry(arguments).get("labeler", manifest.labeler)
    if judge or not is_in_words(labeler):  # else it has nothing to label
        labeler = configured(labeler, {**manifest.labels.options, **options.labeler_option})
    model, sae = take(arguments, ModelOptions).load()
    shuffled = options.shuffled_model
    validation = validate_dictionary(model, sae, labeler, options.folder, judge, shuffled)
    document = validation.to_dict()
    if arguments.json:
        print_json(document)
    else:
        print_table(validation_table(document))
        print(judge_text(document), end="")


def declare_falsify(parser: CommandParser) -> None:
    """Adds the flags of `saetask dictionary falsify`."""
    from saetask.compute.config import ComputeConfig
    from saetask.dictionary.falsify.base import FalsifyConfig

    parser.add_fields(FalsifyOptions, positional=("folder",))
    parser.add_fields(FalsifyConfig)
    parser.add_fields(ModelOptions)
    parser.add_fields(MismatchOptions)
    parser.add_fields(ComputeConfig)
    add_json(parser)


def falsify(arguments: Namespace) -> None:
    """Runs tests that can prove labels wrong and prints the result of each."""
    from saetask.compute.config import ComputeConfig, open_executor
    from saetask.dictionary.dictionary import Dictionary
    from saetask.dictionary.falsify.base import FalsifyConfig
    from saetask.dictionary.falsify.runner import check_config
    from saetask.dictionary.falsify.runner import falsify as falsify_features
    from saetask.dictionary.falsify.text_requests import Writer
    from saetask.saes.compatibility import check_sae

    options, models = take(arguments, FalsifyOptions), take(arguments, ModelOptions)
    config, compute = take(arguments, FalsifyConfig), take(arguments, ComputeConfig)
    endpoint = open_endpoint("writer", options.writer, options.writer_url)
    writer = endpoint and Writer(endpoint)
    compute.check()
    dictionary = Dictionary.load(options.folder)
    check_config(dictionary, config)
    model, sae = models.load()
    dictionary.check(model, sae)
    check_sae(model, sae, allow_mismatch=take(arguments, MismatchOptions).allow_sae_mismatch)
    with open_executor(compute, models.model, model) as executor:
        result = falsify_features(model, sae, dictionary, config, writer, executor)
    document = result.to_dict()
    if arguments.json:
        print_json(document)
    else:
        _print_falsification(document, options.folder)


def _print_falsification(document: dict[str, Any], folder: Path) -> None:
    from saetask.cli.tables import (
        falsification_table,
        print_table,
        untested_lines,
        writer_text,
        writing_table,
    )
    from saetask.dictionary.falsify.document import FALSIFICATION

    print_table(falsification_table(document))
    if "writer" in document:
        print_table(writing_table(document))
        print(writer_text(document["writer"]))
    for line in untested_lines(document):
        print(line)
    print(f"{folder / FALSIFICATION}: written")


COMMANDS = {
    "validate": Command("test the labels on unseen documents", declare_validate, validate),
    "falsify": Command("run tests that can prove labels wrong", declare_falsify, falsify),
}
