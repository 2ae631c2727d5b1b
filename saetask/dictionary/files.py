"""A dictionary's files: written atomically, checked when read."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from saetask.dictionary.card import CARD, dictionary_card
from saetask.dictionary.rules import Rule
from saetask.errors import UserError
from saetask.files import atomic_path, write_json, write_text
from saetask.models import model_fingerprint
from saetask.saes import sae_fingerprint

if TYPE_CHECKING:
    import pyarrow
    from sae_lens import SAE

    from saetask.models import Model

MANIFEST = "manifest.json"
FEATURES = "features.parquet"
CONTEXTS = "contexts.parquet"
RULES = "rules.safetensors"
SCHEMA_VERSION = 1


def read_manifest(folder: Path) -> dict[str, Any]:
    """Reads a dictionary's manifest.

    Raises:
        UserError: The folder holds no dictionary, or one of another version.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        version = manifest["schema_version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder} holds no dictionary ({MANIFEST}: {error}).") from error
    if version != SCHEMA_VERSION:
        raise UserError(
            f"The dictionary in {folder} has version {version}; this is for {SCHEMA_VERSION}."
        )
    return manifest


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Writes a dictionary's manifest and the card that goes with it."""
    write_text(folder / CARD, dictionary_card(manifest))
    write_json(folder / MANIFEST, manifest)


def check_fingerprints(
    manifest: dict[str, Any], model: "Model", sae: "SAE[Any]", folder: Path
) -> None:
    """Refuses a dictionary of another model or SAE.

    Raises:
        UserError: It is.
    """
    for kind, found in (("model", model_fingerprint(model)), ("sae", sae_fingerprint(sae))):
        if manifest[kind]["fingerprint"] != found:
            raise UserError(
                f"The dictionary in {folder} was built for another {kind}; give the {kind} "
                "that it was built with, or build it anew."
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
