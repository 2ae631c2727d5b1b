"""Sparse autoencoders: loading them as SAE-Lens objects, and checking that they fit the model."""

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saetask.errors import UserError, did_you_mean
from saetask.models import model_name, resolve_hook_name

if TYPE_CHECKING:
    from sae_lens import SAE

    from saetask.models import Model

DEFAULT_SAE = "smollm2-135m-instruct-res15"
WORST_FVU = 0.6
"""A fraction of variance unexplained above this means that the SAE was made for something else."""

PROBE_TEXT = (
    "The harbour was quiet when the ferry came in. Anna counted twelve crates on the quay, wrote "
    "the number down, and asked the captain how long the crossing had taken. He shrugged: with "
    "the wind behind them, two hours; against it, nobody could say. Prices in the town had "
    "doubled since spring, and most of the shops along the water now opened only at noon."
)


def assets_folder() -> Path:
    """Returns the folder of what saetask ships besides code."""
    return Path(str(files("saetask"))) / "assets"


def sae_folder(alias: str) -> Path:
    """Returns the folder of an SAE that saetask ships."""
    return assets_folder() / "saes" / alias


def shipped_saes() -> list[str]:
    """Returns the aliases of the SAEs that saetask ships."""
    root = sae_folder("")
    return sorted(p.name for p in root.iterdir() if p.is_dir()) if root.is_dir() else []


def load_sae(
    spec: "str | Path | SAE[Any]" = DEFAULT_SAE, *, dtype: str = "float32", device: str = "cpu"
) -> "SAE[Any]":
    """Loads a sparse autoencoder.

    Args:
        spec: A shipped alias, a local SAE-Lens folder (`cfg.json` + `sae_weights.safetensors`),
            SAE-Lens's `release/sae_id`, or a live `SAE`, which is returned as it is.
        dtype: Floating-point type of the weights; reading in float32 costs little and keeps
            near-ties among top-k features stable.
        device: A torch device.

    Raises:
        UserError: Nothing of that name, or the folder is incomplete or damaged.
    """
    if not isinstance(spec, str | Path):
        return spec
    from sae_lens import SAE

    folder = sae_folder(str(spec)) if str(spec) in shipped_saes() else Path(spec).expanduser()
    if folder.is_dir():
        for name in ("cfg.json", "sae_weights.safetensors"):
            if not (folder / name).is_file():
                raise UserError(f"SAE folder {folder} has no {name}; is it an SAE-Lens folder?")
        try:
            return SAE.load_from_disk(folder, device=device, dtype=dtype)
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"Cannot load the SAE in {folder}: {reason}") from error
    release, _, sae_id = str(spec).partition("/")
    return _load_release(str(spec), release, sae_id, dtype, device)


def _load_release(spec: str, release: str, sae_id: str, dtype: str, device: str) -> "SAE[Any]":
    from sae_lens import SAE
    from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

    releases = get_pretrained_saes_directory()
    if release not in releases:
        known = [*shipped_saes(), *releases]
        raise UserError(
            f"SAE '{spec}' is no shipped alias, no folder and no SAE-Lens release."
            + did_you_mean(release, known if sae_id else shipped_saes())
        )
    if sae_id not in releases[release].saes_map:
        hint = did_you_mean(sae_id, releases[release].saes_map)
        raise UserError(f"SAE-Lens release '{release}' has no SAE '{sae_id}'.{hint}")
    try:
        return SAE.from_pretrained(release, sae_id, dtype=dtype, device=device)
    except OSError as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"Could not download the SAE '{spec}': {reason}") from error


def check_sae(model: "Model", sae: "SAE[Any]") -> float:
    """Checks that an SAE belongs to this model and hook point, by using it.

    Returns:
        The fraction of variance unexplained on a short text of ours.

    Raises:
        UserError: The SAE names no hook point or one the model lacks, its `d_in` is not the
            activation's width, or it fails to reconstruct the model's activations.
    """
    from saetask.sae_metrics import reconstruction

    hook_name = sae.cfg.metadata.hook_name
    made_for = sae.cfg.metadata.model_name or "an unnamed model"
    if not hook_name:
        raise UserError("The SAE's cfg.json names no hook point (metadata.hook_name); add it.")
    try:
        resolve_hook_name(model, hook_name)
    except UserError as error:
        raise UserError(f"{error} The SAE was made for {made_for}.") from error
    found = reconstruction(model, sae, [PROBE_TEXT], check_width=True)
    if not found.fvu < WORST_FVU:
        raise UserError(
            f"The SAE (made for {made_for} at {hook_name}) does not reconstruct "
            f"{model_name(model)}: {found.fvu:.0%} of the variance is left unexplained. "
            "It belongs to another model, layer or processing; choose a matching --sae."
        )
    return found.fvu


def sae_fingerprint(sae: "SAE[Any]") -> str:
    """Returns a short hash of an SAE's weights: names, shapes and leading values."""
    from saetask.models import parameters_fingerprint

    return parameters_fingerprint(sae.named_parameters())
