"""Sparse autoencoders: loading them as SAE-Lens objects."""

import codecs
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saetask.errors import UserError
from saetask.models.loading import default_device
from saetask.saes.folder_checks import check_config, check_loaded, check_weights, weights_problem
from saetask.saes.releases import load_release
from saetask.utils.files import content_hash, read_json, read_text
from saetask.utils.names import names_a_file

if TYPE_CHECKING:
    from sae_lens import SAE  # other packages import it from here, for annotations

DTYPE = "float32"
DEFAULT_SAE = "smollm2-135m-instruct-res15"
NEVER_APPLIED = ("expected_average_only_in", "covariance_whitening")
"""Normalisations that SAE-Lens expects to be folded into the weights, and skips when encoding."""
ENCODING_SETTINGS = (
    "architecture",
    "apply_b_dec_to_input",
    "normalize_activations",
    "reshape_activations",
    "rescale_acts_by_decoder_norm",
    "k",
)
"""Keys of an SAE's config, beside its weights, that its activations depend on."""
READING_SETTINGS = (
    "hook_name",
    "hook_name_out",
    "hook_head_index",
    "prepend_bos",
    "norm_limit",
    "seqpos_slice",
    "context_size",
)
"""Keys of its metadata that say where it reads, and which tokens."""
SCALE_KEY = "norm_scaling_factor"
"""Key of the factor that scales an SAE's input, in its config."""


def assets_folder() -> Path:
    """Returns the folder of the data files that saetask ships."""
    return Path(str(files("saetask"))) / "assets"


def sae_folder(alias: str) -> Path:
    """Returns the folder of an SAE that saetask ships."""
    return assets_folder() / "saes" / alias


def shipped_saes() -> list[str]:
    """Returns the aliases of the SAEs that saetask ships."""
    root = sae_folder("")
    return sorted(p.name for p in root.iterdir() if p.is_dir()) if root.is_dir() else []


def load_sae(
    spec: "str | Path | SAE[Any]" = DEFAULT_SAE,
    *,
    device: str | None = None,
) -> "SAE[Any]":
    """Loads a sparse autoencoder or transcoder of any SAE-Lens architecture, in float32.

    Encoding in float32 costs little and keeps near-ties among top-k features stable.

    Args:
        spec: A shipped alias, a local SAE-Lens folder (`cfg.json` + `sae_weights.safetensors`, of
            any version), SAE-Lens's `release/sae_id`, `owner/repository/sae_id` on the hub, or a
            live `SAE`, which is returned as it is.
        device: A torch device; None takes `default_device()`.

    Returns:
        The SAE, taking activations as the model has them: a fixed scale of the input is folded
        into the weights, other normalisations are applied when encoding.

    Raises:
        UserError: The name is unknown, the value is no SAE, the folder is incomplete or damaged,
            or its weights expect a scale of the input that its config does not state.
    """
    if not isinstance(spec, str | Path):
        check_is_sae(spec)
        return spec
    device = device or default_device()
    folder = sae_folder(str(spec)) if str(spec) in shipped_saes() else Path(spec).expanduser()
    if folder.is_dir():
        return _load_folder(folder, device)
    if folder.is_file():
        raise UserError(f"SAE {folder} is a file; give the folder that it is in.")
    if isinstance(spec, Path) or spec.startswith(("/", ".", "~")) or names_a_file(spec):
        raise UserError(f"SAE folder {spec} does not exist.")
    return _load_release(str(spec), device)


def check_is_sae(value: object) -> None:
    """Raises a `UserError` if a value passed as an SAE is none that `load_sae` returns."""
    if not hasattr(getattr(value, "cfg", None), "metadata") or not hasattr(value, "W_dec"):
        raise UserError(
            "sae must be a name, a path or what saetask.load_sae returns, not an object of the "
            f"type {type(value).__name__}."
        )


def _load_folder(folder: Path, device: str) -> "SAE[Any]":
    from sae_lens import SAE
    from sae_lens.registry import SAE_CLASS_REGISTRY, SAE_TRAINING_CLASS_REGISTRY

    for name in ("cfg.json", "sae_weights.safetensors"):
        if not (folder / name).is_file():
            hint = "is it an SAE-Lens folder?"
            if (folder / "params.safetensors").is_file():  # of Gemma Scope
                hint = "it is in a release's own format: give its name, release/sae_id, instead."
            raise UserError(f"SAE folder {folder} has no {name}; {hint}")
    try:
        config = read_json(folder / "cfg.json")
        architecture = config.get("architecture") if isinstance(config, dict) else None
        if architecture in SAE_TRAINING_CLASS_REGISTRY.keys() - SAE_CLASS_REGISTRY.keys():
            raise UserError(
                f"{folder} is a training checkpoint ({architecture}), which encodes a batch at a "
                "time; save it for inference (save_inference_model) and give that folder."
            )
        check_config(config, folder)
        check_weights(folder)
        with _without_byte_order_mark(folder) as readable:
            sae = SAE.load_from_disk(readable, device=device, dtype=DTYPE).eval()
        if sae.cfg.normalize_activations in NEVER_APPLIED:
            _fold_input_scale(sae, config, folder)
    except UserError:
        raise
    except Exception as error:  # a damaged file may raise anything
        reason = weights_problem(error) or _reason(error)
        raise UserError(f"Cannot load the SAE in {folder}: {reason}") from error
    check_loaded(sae, str(folder))
    return sae


@contextmanager
def _without_byte_order_mark(folder: Path) -> Iterator[Path]:
    """Yields an SAE's folder, or one of the same content that SAE-Lens can read."""
    if not (folder / "cfg.json").read_bytes().startswith(codecs.BOM_UTF8):
        yield folder
        return
    with tempfile.TemporaryDirectory() as temporary:
        for path in folder.iterdir():
            _link(path, Path(temporary) / path.name)
        config = Path(temporary) / "cfg.json"
        config.unlink()
        config.write_text(read_text(folder / "cfg.json"), encoding="utf-8")
        yield Path(temporary)


def _link(source: Path, target: Path) -> None:
    """Makes a link to a file; a copy where links are not allowed, as for most users of Windows."""
    try:
        target.symlink_to(source.resolve())
    except OSError:
        shutil.copyfile(source, target)


def _fold_input_scale(sae: "SAE[Any]", config: dict[str, Any], folder: Path) -> None:
    """Folds the input scale that the weights expect into them.

    The scale is taken from the folder's config, else from SAE-Lens's list of releases if the
    folder is a copy of one (its path ends in `release/sae_id`).
    """
    from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

    scale = config.get(SCALE_KEY) or sae.cfg.metadata.get(SCALE_KEY)
    releases = get_pretrained_saes_directory()
    parts = folder.resolve().parts
    for i in range(1, len(parts)):
        if scale is None and parts[i - 1] in releases:
            scale = releases[parts[i - 1]].norm_scaling_factor.get("/".join(parts[i:]))
    if scale is None:
        raise UserError(
            f"The SAE in {folder} expects its input normalised "
            f"({sae.cfg.normalize_activations}) and does not say by what; put the factor, "
            f"sqrt(d_in) over the mean norm in training, into its cfg.json as {SCALE_KEY}."
        )
    sae.fold_activation_norm_scaling_factor(float(scale))


def _load_release(spec: str, device: str) -> "SAE[Any]":
    sae = load_release(spec, device, DTYPE, shipped_saes())
    if sae.cfg.normalize_activations in NEVER_APPLIED:
        raise UserError(
            f"The SAE '{spec}' expects its input normalised ({sae.cfg.normalize_activations}), and "
            "SAE-Lens does not store by what; fold the factor into a copy of your own."
        )
    check_loaded(sae, f"SAE '{spec}'")
    return sae


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def sae_fingerprint(sae: "SAE[Any]") -> str:
    """Returns a short hash of an SAE: all weights as float32, hook point, and how it encodes."""
    import torch

    from saetask.models.content import hash_parameters

    config = sae.cfg.to_dict()
    reading = {name: sae.cfg.metadata.get(name) for name in READING_SETTINGS}
    settings = {name: config[name] for name in ENCODING_SETTINGS if config.get(name) is not None}
    weights = hash_parameters(sae.named_parameters(), torch.float32)
    return content_hash([weights, reading, settings])
