"""Concepts that a reader has struck in the explorer: detectors that are fitted do not see them."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from saetask.cli.parser import take


@dataclass(frozen=True)
class VerdictOptions:
    """What becomes of a reader's verdicts."""

    ignore_verdicts: bool = False
    """Let the detector see the concepts that a reader has struck in `saetask explore`, too."""


def with_struck(
    arguments: Namespace, without: Sequence[str], dictionary: Path | None, sae: str
) -> list[str]:
    """Returns the concepts that a detector does not see: those of the flags, and those struck.

    Says on stderr which ones a reader has struck.

    Args:
        arguments: The command line.
        without: Concepts of the command's own flag.
        dictionary: A dictionary folder; None takes the one that is shipped for the SAE, if any.
        sae: The SAE, as the command takes it.

    Raises:
        UserError: The dictionary or the file of verdicts is damaged, or has no such concept.
    """
    from saetask.dictionary.concept_table import read_concepts
    from saetask.dictionary.dictionary import dictionary_folder
    from saetask.dictionary.reader_verdicts import struck_concepts, verdicts_path
    from saetask.dictionary.store import read_manifest

    folder = dictionary_folder(sae) if dictionary is None else dictionary
    _check_names(without, folder)
    if take(arguments, VerdictOptions).ignore_verdicts or not (struck := struck_concepts(folder)):
        return list(without)
    known = {c.id for c in read_concepts(folder, read_manifest(folder).n_features)}
    added = [name for name in struck if name in known and name not in without]
    if added:
        print(
            f"saetask: struck by a reader, so not seen by the detector: {', '.join(added)} "
            f"({verdicts_path(folder)}; --ignore-verdicts has it see them).",
            file=sys.stderr,
        )
    return [*without, *added]


def _check_names(names: Sequence[str], folder: Path) -> None:
    """Refuses names that a dictionary does not have, before anything is loaded."""
    from saetask.dictionary.dictionary import Dictionary
    from saetask.experiments.known_concepts import find_struck
    from saetask.saes.concepts import feature_of

    asked = [name for name in names if feature_of(name) is None]
    if not asked or not folder.is_dir():
        return
    dictionary = Dictionary.load(folder)
    every = [*dictionary.concepts(), *dictionary.named_features()]
    for name in asked:
        find_struck(name, every, f"the dictionary {folder}")
