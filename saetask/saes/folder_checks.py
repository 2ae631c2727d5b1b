"""Checks of an SAE folder's config and weights: types, values, and the architecture that they fit.

SAE-Lens takes a config as it is: a `k` of 0 or of the wrong architecture loads, and gives wrong
features without a word.
"""

import dataclasses
import re
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

from saetask.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from sae_lens import SAE

METADATA_TYPES: dict[str, Any] = {
    "hook_name": str | None,
    "hook_name_out": str | None,
    "model_name": str | None,
    "hook_head_index": int | None,
    "prepend_bos": bool | None,
    "norm_limit": float | None,
    "context_size": int | None,
    "seqpos_slice": list | tuple | None,
}
"""Type of each key of the metadata that is read."""
REQUIRED = {"k", "kval_topk"}
"""Settings for which SAE-Lens has a default that fits no particular SAE."""
REGISTERED_BY_TRAINING = {
    "topk": {"topk"},
    "batchtopk": {"jumprelu"},
    "matryoshka_batchtopk": {"jumprelu"},
    "jumprelu": {"jumprelu"},
    "standard": {"standard"},
    "gated": {"gated"},
}
"""Architectures of the saved SAE, by the architecture that was trained."""


def check_config(config: Any, folder: Path) -> None:
    """Checks a cfg.json before SAE-Lens loads it.

    Args:
        config: The parsed file.
        folder: Its folder, for the error message.

    Raises:
        UserError: It is no object, its architecture is not known, or a value has the wrong type.
    """
    from sae_lens.registry import SAE_CLASS_REGISTRY

    where = f"{folder / 'cfg.json'}"
    if not isinstance(config, dict):
        raise UserError(f"{where}: expected a JSON object, found {config!r:.60}.")
    if not isinstance(config.get("metadata", {}), dict):
        raise UserError(f"{where}: 'metadata' must be an object, not {config['metadata']!r:.60}.")
    metadata = config.get("metadata", {})
    if not config.get("architecture"):
        if metadata or "d_in" not in config:  # files from before version 6 may lack it
            known = ", ".join(sorted(SAE_CLASS_REGISTRY))
            raise UserError(f"{where}: 'architecture' is missing; it is one of {known}.")
        return
    name = config["architecture"]
    if name not in SAE_CLASS_REGISTRY:
        hint = did_you_mean(str(name), SAE_CLASS_REGISTRY)
        raise UserError(f"{where}: unknown architecture '{name}'.{hint}")
    if not metadata:  # before version 6, SAE-Lens converts it
        return
    own = SAE_CLASS_REGISTRY[name][1]
    fields = {field.name for field in dataclasses.fields(own)}
    hints = get_type_hints(own)
    hints.pop("normalize_activations", None)  # SAE-Lens takes more than its own annotation says
    _check_types({k: v for k, v in config.items() if k in fields - {"metadata"}}, hints, where)
    _check_types(metadata, METADATA_TYPES, where, "metadata.")
    if not all(_fits(bound, int | None) for bound in metadata.get("seqpos_slice") or ()):
        raise UserError(f"{where}: 'metadata.seqpos_slice' must be a list of whole numbers.")
    for key in sorted(fields & REQUIRED - config.keys()):
        raise UserError(f"{where}: '{key}' is missing; architecture '{name}' needs it.")
    _check_foreign_keys(config, name, fields, where)
    trained = metadata.get("training_architecture")
    if name not in REGISTERED_BY_TRAINING.get(trained, {name}):
        raise UserError(
            f"{where}: 'architecture' is '{name}', but metadata.training_architecture says "
            f"'{trained}'; one of the two is wrong."
        )


def _check_foreign_keys(config: dict[str, Any], name: str, fields: set[str], where: str) -> None:
    """Refuses keys that another architecture has, and this one does not."""
    from sae_lens.registry import SAE_CLASS_REGISTRY

    for key in sorted(config.keys() - fields):
        others = [
            other
            for other, (_, cls) in sorted(SAE_CLASS_REGISTRY.items())
            if key in {field.name for field in dataclasses.fields(cls)}
        ]
        if others:
            raise UserError(
                f"{where}: '{key}' is no setting of architecture '{name}', but of "
                f"{', '.join(others)}; the SAE would be read as another than it is."
            )


def _check_types(
    values: dict[str, Any], hints: dict[str, Any], where: str, prefix: str = ""
) -> None:
    for key, value in values.items():
        if key in hints and not _fits(value, hints[key]):
            raise UserError(
                f"{where}: '{prefix}{key}' is {value!r:.60}; expected {_name(hints[key])}."
            )


def _fits(value: object, hint: Any) -> bool:
    """Returns whether a JSON value is of a type; a boolean is no number."""
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if get_origin(hint) in (Union, UnionType):
        return any(_fits(value, part) for part in get_args(hint))
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return not isinstance(hint, type) or isinstance(value, hint)


def _name(hint: Any) -> str:
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(map(str, get_args(hint)))
    parts = [part for part in get_args(hint) or (hint,) if part is not NoneType]
    return " or ".join(dict.fromkeys(names.get(part, "a list") for part in parts))


def check_loaded(sae: "SAE[Any]", where: str) -> None:
    """Checks an SAE after loading.

    Raises:
        UserError: A weight is not finite, or the number of selected features is out of its range.
    """
    for name, parameter in sae.named_parameters():
        if not parameter.isfinite().all():
            raise UserError(
                f"{where}: {name} has values that are NaN or infinite; the file is damaged, or the "
                "training diverged."
            )
    k = getattr(sae.cfg, "k", None)
    if k is not None and not 0 < k <= sae.cfg.d_sae:
        raise UserError(f"{where}: k is {k}; it must be from 1 to d_sae ({sae.cfg.d_sae}).")


def check_weights(folder: Path) -> None:
    """Checks the weights' types.

    Raises:
        UserError: They are whole numbers (of a quantised file, whose scale SAE-Lens ignores).
    """
    from safetensors import safe_open

    path = folder / "sae_weights.safetensors"
    with safe_open(path, "pt") as weights:
        for name in weights.keys():  # noqa: SIM118  (no mapping)
            if (kind := weights.get_slice(name).get_dtype()) not in ("F64", "F32", "F16", "BF16"):
                raise UserError(f"{path}: {name} has type {kind}; floating-point is expected.")


def weights_problem(error: Exception) -> str | None:
    """Returns what torch says of weights that do not fit a config, in a line; None if nothing."""
    text = str(error)
    shapes = re.findall(r"size mismatch for (\S+): .*?Size\((\[.*?\])\).*?Size\((\[.*?\])\)", text)
    problems = [f"{name} is {found}, not {wanted}" for name, found, wanted in shapes]
    if shapes and all(found == str(_list(wanted)[::-1]) for _, found, wanted in shapes):
        problems.append("transpose them")
    for what, says in (("Missing", "lacks"), ("Unexpected", "has, but should not have,")):
        if match := re.search(rf"{what} key\(s\) in state_dict: (.*?)\. ?(?=\n|$|\t)", text):
            problems.append(f"it {says} {match[1].replace(chr(34), '')}")
    if not problems:
        return None
    return "the weights do not fit cfg.json: " + "; ".join(problems)


def _list(shape: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", shape)]
