"""The command that names the features of a dictionary."""

from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

from saetask.cli.commands import Command
from saetask.cli.options import ModelOptions, add_json, print_json
from saetask.cli.parser import CommandParser, take


@dataclass(frozen=True)
class NameOptions:
    """Flags of `saetask dictionary name`."""

    folder: Path
    """A dictionary folder whose work/ is still there."""
    concept_file: Path | None = None
    """Concepts of your own, a JSONL row each: a name, and words, or examples and others."""


def declare_name(parser: CommandParser) -> None:
    """Adds the flags of `saetask dictionary name`."""
    parser.add_fields(NameOptions, positional=("folder",))
    parser.add_fields(ModelOptions)
    add_json(parser)


def name(arguments: Namespace) -> None:
    """Names the features of a dictionary and prints how the names do on unseen documents."""
    from saetask.cli.tables import naming_table, print_table
    from saetask.dictionary.concept_table import CONCEPTS, read_concepts
    from saetask.dictionary.naming.runner import name_features
    from saetask.dictionary.naming.user_concepts import read_user_concepts
    from saetask.dictionary.store import read_manifest

    options = take(arguments, NameOptions)
    own = read_user_concepts(options.concept_file) if options.concept_file else []
    read_manifest(options.folder)
    model, sae = take(arguments, ModelOptions).load()
    naming = name_features(model, sae, options.folder, own)
    if arguments.json:
        print_json(naming.to_dict())
        return
    print_table(naming_table(naming))
    written = read_concepts(options.folder, read_manifest(options.folder).n_features)
    print(f"{options.folder / CONCEPTS}: {len(written)} concepts")
    for name in {concept.name for concept in own} - {concept.name for concept in written}:
        print(f"'{name}' is none of them: fewer than three features fire on its words")


COMMAND = Command("name features and concepts, tried on unseen documents", declare_name, name)
