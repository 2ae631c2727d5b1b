"""Files of a dictionary folder: manifest and README, tables, rules."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from saetask.dictionary.collect.contexts import SILENT_PER_FIRING, STRONG
from saetask.dictionary.documents import read_document
from saetask.dictionary.evaluate.verdicts import MIN_CONTEXTS, VALIDATED
from saetask.dictionary.label.rules import Rule
from saetask.dictionary.manifest import SCHEMA_VERSION, Manifest, Validation
from saetask.errors import UserError
from saetask.models.loading import model_fingerprint
from saetask.saes.loading import sae_fingerprint
from saetask.utils.files import atomic_path, read_json, write_text

if TYPE_CHECKING:
    import pyarrow

    from saetask.models.loading import Model
    from saetask.saes.loading import SAE

CARD = "README.md"
MANIFEST = "manifest.json"
FEATURES = "features.parquet"
CONTEXTS = "contexts.parquet"
CONCEPTS = "concepts.parquet"
RULES = "rules.safetensors"


def read_manifest(folder: Path) -> Manifest:
    """Reads a dictionary's manifest.

    Raises:
        UserError: The folder holds no dictionary, one of another version, or a damaged one.
    """
    path = folder / MANIFEST
    try:
        version = read_json(path)["schema_version"]
    except (UserError, KeyError, TypeError) as error:
        raise UserError(f"{folder} holds no dictionary ({MANIFEST}: {error}).") from error
    if version != SCHEMA_VERSION:
        raise UserError(
            f"The dictionary in {folder} has version {version}; this is for {SCHEMA_VERSION}."
        )
    return read_document(path, Manifest)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes a dictionary's manifest and the README that presents it."""
    write_text(folder / CARD, dictionary_card(manifest))
    manifest.write(folder / MANIFEST)


def check_fingerprints(manifest: Manifest, model: "Model", sae: "SAE[Any]", folder: Path) -> None:
    """Refuses a dictionary that was built with another model or SAE.

    Raises:
        UserError: The fingerprints differ.
    """
    for kind, known, actual in (
        ("model", manifest.model, model_fingerprint(model)),
        ("sae", manifest.sae, sae_fingerprint(sae)),
    ):
        if known.fingerprint != actual:
            raise UserError(
                f"The dictionary in {folder} was built for another {kind}; give the {kind} "
                "that it was built with, or build it anew."
            )


def dictionary_card(manifest: Manifest) -> str:
    """Returns the README of a dictionary as Markdown."""
    corpus, samples = manifest.corpus, manifest.corpus.samples
    parts = [
        f"# Dictionary of {manifest.n_features:,} features",
        f"SAE at `{manifest.sae.hook_name}` of {manifest.model.name} (fingerprints in "
        "`manifest.json`). One row a feature in `features.parquet`, its contexts in "
        "`contexts.parquet`.",
        f"Read: {corpus.tokens:,} tokens of {', '.join(corpus.sources)}; labels by "
        f"`{manifest.labeler}` from {samples['train'].documents:,} documents, chosen on "
        f"{samples['selection'].documents:,} others, tried on "
        f"{samples['test'].documents:,} more; no document is in two of these.",
    ]
    if manifest.validation is not None:
        parts += [_validation_table(manifest.validation), _criteria()]
    return "\n\n".join(parts) + "\n"


def _validation_table(validation: Validation) -> str:
    lines = [
        "| | tested | validated | precise | chosen before | of them validated | coverage |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, figures in {"this SAE": validation, **validation.controls}.items():
        lines.append(
            f"| {name} | {figures.n_tested:,} | {figures.validated_share:.1%} "
            f"| {figures.precise_share:.1%} | {figures.n_chosen:,} "
            f"| {figures.chosen_validated_share:.1%} | {figures.coverage:.1%} |"
        )
    return "\n".join(lines)


def _criteria() -> str:
    return (
        f"A label is *validated* when, on the test documents, the feature fires strongly (in the "
        f"upper {1 - STRONG:.0%} of its activations) in {VALIDATED.precision:.0%} or more of the "
        f"contexts that the label claims (at least {MIN_CONTEXTS}; Wilson's interval begins at "
        f"{VALIDATED.lower:.0%} or more), and the label claims {VALIDATED.recall:.0%} or more of "
        f"those in which it does. There are {SILENT_PER_FIRING} silent contexts to a firing one; "
        "a quarter of them end with a token on which the feature fires elsewhere, or with one on "
        "which its nearest neighbour fires. *Precise* leaves the second condition out. *Chosen "
        "before*: labels that did better than that on the selection documents already. "
        "*Coverage*: the share of all firings that validated labels claim. *Tested*: features "
        f"with {MIN_CONTEXTS} or more strongly firing contexts."
    )


def write_parquet(path: Path, table: "pyarrow.Table") -> None:
    """Writes a table atomically."""
    from pyarrow import parquet

    with atomic_path(path) as temporary:
        parquet.write_table(table, temporary, compression="zstd", compression_level=9)


def read_parquet(path: Path) -> "pyarrow.Table":
    """Reads a table.

    Raises:
        UserError: The file is missing or damaged.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        return parquet.read_table(path)
    except (OSError, pyarrow.ArrowException) as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"{path} cannot be read ({reason}); build the dictionary anew.") from error


def save_rules(path: Path, rules: Sequence[Rule | None]) -> None:
    """Writes rules as half-precision weights, `[d_sae, VIEWS*size]`, and thresholds, `[d_sae]`.

    A feature without a rule has the threshold NaN.
    """
    from safetensors.numpy import save_file

    width = max((len(rule.weights) for rule in rules if rule), default=0)
    weights = np.zeros((len(rules), width), np.float16)
    for feature, rule in enumerate(rules):
        if rule:
            weights[feature] = rule.weights
    thresholds = np.array([rule.threshold if rule else np.nan for rule in rules])
    with atomic_path(path) as temporary:
        save_file({"weights": weights, "thresholds": thresholds}, temporary)


def load_rules(path: Path) -> list[Rule | None]:
    """Reads the rules of all features.

    Raises:
        UserError: The file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays = load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} cannot be read ({error}); build the dictionary anew.") from error
    return [
        None if np.isnan(threshold) else Rule(weights.astype(np.float32), float(threshold))
        for weights, threshold in zip(arrays["weights"], arrays["thresholds"])
    ]
