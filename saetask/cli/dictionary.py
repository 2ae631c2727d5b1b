"""The commands that make a dictionary and look features up in it: build, export, show, search."""

from argparse import Namespace
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from saetask.cli.commands import Command, CommandGroup
from saetask.cli.config_files import read_config
from saetask.cli.dictionary_names import COMMAND as NAME
from saetask.cli.dictionary_tests import COMMANDS as TESTS
from saetask.cli.options import (
    MismatchOptions,
    ModelOptions,
    add_json,
    open_registry,
    print_json,
    print_path,
    require_positive,
)
from saetask.cli.parser import CommandParser, take
from saetask.utils.files import read_json

if TYPE_CHECKING:
    from saetask.data.corpus import CorpusConfig

TEST_SHARE = 0.1
"""Share of documents for the selection and for the test split, where the corpus is one file."""


@dataclass(frozen=True)
class BuildOptions:
    """Flags of `saetask dictionary build` beside those of its config."""

    corpus: str
    """Texts to read: a file (.txt, .jsonl, .parquet), a hub id, or a corpus as YAML."""
    out: Path
    """Dictionary folder to write."""
    labeler: str = "keywords"
    """Labeler plugin that makes the labels."""
    labeler_option: dict[str, str] = field(default_factory=dict)
    """An option of the labeler; may be repeated."""


@dataclass(frozen=True)
class ExportOptions:
    """Flags of `saetask dictionary export`."""

    folder: Path
    """A dictionary folder."""
    out: Path
    """A .jsonl file to write."""


@dataclass(frozen=True)
class ShowOptions:
    """Flags of `saetask dictionary show`."""

    folder: Path
    """A dictionary folder."""
    feature: int
    """The number of the feature."""


@dataclass(frozen=True)
class SearchOptions:
    """Flags of `saetask dictionary search`."""

    folder: Path
    """A dictionary folder."""
    text: str
    """Words to look for: in labels, promoted tokens, and the words that features fire on."""
    limit: int = 10
    """Maximum number of features to show."""


def declare_build(parser: CommandParser) -> None:
    """Adds the flags of `saetask dictionary build`."""
    from saetask.compute.config import ComputeConfig
    from saetask.dictionary.collect.corpus_pass import BuildConfig

    parser.add_fields(BuildOptions)
    parser.add_fields(BuildConfig, skip=("corpus",))
    parser.add_fields(ModelOptions)
    parser.add_fields(MismatchOptions)
    parser.add_fields(ComputeConfig)
    add_json(parser)


def build(arguments: Namespace) -> None:
    """Builds a dictionary, or resumes building it, and prints the number of labelled features."""
    from saetask.compute.config import ComputeConfig, open_executor
    from saetask.dictionary.collect.corpus_pass import BuildConfig, read_corpus
    from saetask.dictionary.label.base import configured
    from saetask.dictionary.label.build import build as build_dictionary
    from saetask.dictionary.store import MANIFEST
    from saetask.saes.compatibility import check_sae

    options, models = take(arguments, BuildOptions), take(arguments, ModelOptions)
    config, compute = take(arguments, BuildConfig), take(arguments, ComputeConfig)
    require_positive(config, "tokens", "sample_rows")
    compute.check()
    corpus, base = _read_corpus_config(options.corpus)
    config = replace(config, corpus=corpus)
    labeler = open_registry(arguments).get("labeler", options.labeler)
    labeler = configured(labeler, options.labeler_option)
    model, sae = models.load()
    check_sae(model, sae, allow_mismatch=take(arguments, MismatchOptions).allow_sae_mismatch)
    with open_executor(compute, models.model, model) as executor:  # labelling needs no workers
        corpus_pass = read_corpus(model, sae, config, options.out, base, executor)
    folder = build_dictionary(model, sae, config, labeler, options.out, base, corpus_pass)
    manifest = read_json(folder / MANIFEST)
    if arguments.json:
        print_json(manifest)
        return
    labels = manifest["labels"]
    failed = f", {labels['failed']} failed" if labels["failed"] else ""
    labelled = f"{labels['labelled']} of {manifest['n_features']} features labelled{failed}"
    print(f"{folder}: {labelled}; next: saetask dictionary validate {folder}")


def _read_corpus_config(spec: str) -> "tuple[CorpusConfig, Path]":
    """Returns the corpus that a YAML file describes, or one of a single source, and its folder."""
    from saetask.data.corpus import CorpusConfig, Source

    path = Path(spec)
    if path.suffix in (".yaml", ".yml"):
        return read_config(path, CorpusConfig, "Corpus file"), path.parent
    config = CorpusConfig([Source(spec)], test_share=TEST_SHARE, selection_share=TEST_SHARE)
    return config, Path()


def declare_export(parser: CommandParser) -> None:
    """Adds the flags of `saetask dictionary export`."""
    parser.add_fields(ExportOptions, positional=("folder",))
    add_json(parser)


def export(arguments: Namespace) -> None:
    """Writes a dictionary as Neuronpedia JSONL and prints the file's path."""
    from saetask.dictionary.export import export_neuronpedia

    options = take(arguments, ExportOptions)
    print_path(export_neuronpedia(options.folder, options.out), arguments.json)


def declare_show(parser: CommandParser) -> None:
    """Adds the flags of `saetask dictionary show`."""
    parser.add_fields(ShowOptions, positional=("folder", "feature"))
    add_json(parser)


def show(arguments: Namespace) -> None:
    """Prints one feature."""
    from saetask.cli.tables import terminal_width
    from saetask.dictionary.dictionary import Dictionary

    options = take(arguments, ShowOptions)
    card = Dictionary.load(options.folder).feature(options.feature)
    if arguments.json:
        print_json({**card.row, "contexts": card.contexts})
    else:
        print(card.text(terminal_width()))


def declare_search(parser: CommandParser) -> None:
    """Adds the flags of `saetask dictionary search`."""
    parser.add_fields(SearchOptions, positional=("folder", "text"))
    add_json(parser)


def search(arguments: Namespace) -> None:
    """Prints the features whose labels, promoted tokens or contexts are about some words."""
    from saetask.dictionary.dictionary import Dictionary

    options = take(arguments, SearchOptions)
    dictionary = Dictionary.load(options.folder)
    features = dictionary.search(options.text, options.limit)
    labels = {feature: dictionary.labels[feature] for feature in features}
    if arguments.json:
        print_json([{"feature": feature, "label": label} for feature, label in labels.items()])
    else:
        found = (f"{feature:>6}  {label}" for feature, label in labels.items())
        print("\n".join(found) or f"no feature is about {options.text!r}")


GROUP = CommandGroup(
    "build, test and look up a dictionary: what each feature of an SAE is about",
    {
        "Make": {
            "build": Command("label every feature of an SAE from a corpus", declare_build, build),
            "name": NAME,
            "export": Command("write a dictionary as Neuronpedia JSONL", declare_export, export),
        },
        "Test": TESTS,
        "Look up": {
            "show": Command("show a feature", declare_show, show),
            "search": Command("find features by words", declare_search, search),
        },
    },
)
"""`saetask dictionary ...`."""
