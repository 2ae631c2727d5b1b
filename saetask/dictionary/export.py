"""Export of a dictionary as Neuronpedia JSONL."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from saetask.dictionary.dictionary import Dictionary
from saetask.errors import UserError
from saetask.utils.files import json_text, write_text

MARK = "saetask"
"""Name of the field for what Neuronpedia has no field for; it identifies our own exports."""


def export_neuronpedia(folder: Path, out: Path) -> Path:
    """Writes a dictionary as JSONL, one line per feature.

    Neuronpedia's batches (docs.neuronpedia.org, "Exports") keep features, explanations and
    activations in three files; its API nests activations in a feature. Here they are together:

    - of features: `modelId`, `layer` (there: the SAE's name, as `15-res-16k`), `index`,
      `hookName`, `maxActApprox`, `frac_nonzero`, `pos_str`, `pos_values`, `neg_str`, `neg_values`;
    - of explanations: `description`, `typeName`, `explanationModelName`;
    - of activations, in a list `activations`, strongest first: `tokens`, `values`, `maxValue`,
      `maxValueTokenIndex`. A dictionary keeps the activation on the strongest token only: the
      other entries of `values` are 0, whatever the activations were.

    The field `saetask` holds `verdict`, `failed` and `provenance`. Model and SAE have the names
    that they have in the dictionary, which may differ from those of Neuronpedia.

    Args:
        folder: A dictionary folder.
        out: The file; an earlier export is replaced.

    Returns:
        `out`.

    Raises:
        UserError: No dictionary, or `out` exists and is not an export of a dictionary.
    """
    dictionary = Dictionary.load(folder)
    if out.exists() and not _is_export(out):
        raise UserError(f"{out} exists and is no export of a dictionary; choose another --out.")
    lines = (json_text(line) for line in _lines(dictionary))
    write_text(out, "".join(f"{line}\n" for line in lines))
    return out


def _lines(dictionary: Dictionary) -> Iterator[dict[str, Any]]:
    manifest = dictionary.manifest
    hook = manifest.sae.hook_name
    block = re.search(r"\d+", hook)
    source = {
        "modelId": manifest.model.name,
        "layer": f"{block[0]}-{manifest.sae.fingerprint}" if block else hook,
    }
    for feature in range(len(dictionary)):
        card = dictionary.feature(feature)
        yield {**source, "index": str(feature), "hookName": hook, **_feature_fields(card.row)} | {
            "activations": [
                _activation_fields(context) for context in card.contexts if context["kind"] == "top"
            ],
            MARK: {
                "verdict": card.verdict,
                "failed": card.row["failed"],
                "provenance": json.loads(card.row["provenance"]),
            },
        }


def _feature_fields(row: Mapping[str, Any]) -> dict[str, Any]:
    provenance = json.loads(row["provenance"])
    model = provenance.get("explanationModelName") or provenance.get("model")
    return {
        "maxActApprox": row["maximum"],
        "frac_nonzero": row["density"],
        "pos_str": row["promoted"],
        "pos_values": row["promoted_logits"],
        "neg_str": row["suppressed"],
        "neg_values": row["suppressed_logits"],
        "description": row["label"],
        "typeName": provenance.get("typeName") or f"saetask_{row['labeler']}",
        "explanationModelName": model,
    }


def _activation_fields(context: Mapping[str, Any]) -> dict[str, Any]:
    values = [0.0] * len(context["tokens"])
    values[context["position"]] = context["activation"]
    return {
        "tokens": context["tokens"],
        "values": values,
        "maxValue": context["activation"],
        "maxValueTokenIndex": context["position"],
    }


def _is_export(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8") as file:
            first = json.loads(file.readline())
    except (OSError, ValueError):
        return False
    return isinstance(first, dict) and MARK in first
