"""Loads an SAE of a release that SAE-Lens lists, or of a hub repository, by its converter."""

import difflib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from saetask.errors import UserError, did_you_mean
from saetask.utils.hub import hub_or_cache, hub_problem

if TYPE_CHECKING:
    from sae_lens import SAE


def load_release(spec: str, device: str, dtype: str, aliases: list[str]) -> "SAE[Any]":
    """Loads an SAE by `release/sae_id` or `owner/repository/sae_id`, from the hub or its cache.

    Args:
        spec: The name.
        device: A torch device.
        dtype: Floating-point type of the weights.
        aliases: Names of the SAEs that need no download, for the error message.

    Raises:
        UserError: There is no such release or SAE, it is not in the cache and the hub cannot be
            reached, or SAE-Lens cannot convert it.
    """
    from sae_lens import SAE

    release, sae_id = _release_and_id(spec, aliases)
    try:
        with hub_or_cache(), _shapes_of_downloaded_files():
            return SAE.from_pretrained(release, sae_id, dtype=dtype, device=device).eval()
    except Exception as error:  # each release has a format of its own
        if reason := hub_problem(error, "SAE"):
            raise UserError(f"Could not download the SAE '{spec}': {reason}") from error
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"Cannot load the SAE '{spec}': {reason}") from error


def _release_and_id(spec: str, aliases: list[str]) -> tuple[str, str]:
    """Splits a name into what SAE-Lens takes: the release or repository, and the SAE's id."""
    from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

    releases = get_pretrained_saes_directory()
    release, _, sae_id = spec.partition("/")
    if release in releases:
        if sae_id not in releases[release].saes_map:
            hint = did_you_mean(sae_id, releases[release].saes_map)
            raise UserError(f"SAE-Lens release '{release}' has no SAE '{sae_id}'.{hint}")
        return release, sae_id
    owner, _, rest = spec.partition("/")
    name, _, rest = rest.partition("/")
    if not rest or difflib.get_close_matches(release, releases, n=1, cutoff=0.8):
        raise UserError(
            f"SAE '{spec}' is no shipped alias, no folder and no SAE-Lens release."
            + did_you_mean(release, [*aliases, *releases] if sae_id else aliases)
        )
    return f"{owner}/{name}", rest


@contextmanager
def _shapes_of_downloaded_files() -> Iterator[None]:
    """Lets SAE-Lens's converters take shapes from the file that they download next.

    SAE-Lens 6.54 asks the server for the header of the file by requests of its own, which know
    neither the cache nor the offline mode: Gemma Scope 2 could not be loaded without a network
    even when it was in the cache.
    """
    from sae_lens.loading import pretrained_sae_loaders as loaders

    original = loaders.get_safetensors_tensor_shapes
    loaders.get_safetensors_tensor_shapes = _file_shapes
    try:
        yield
    finally:
        loaders.get_safetensors_tensor_shapes = original


def _file_shapes(repo_id: str, filename: str) -> dict[str, list[int]]:
    """Returns the shapes of the tensors of a safetensors file on the hub or in its cache."""
    from huggingface_hub import hf_hub_download
    from safetensors import safe_open

    with safe_open(hf_hub_download(repo_id, filename), "pt") as weights:
        names = list(weights.keys())
        return {name: list(weights.get_slice(name).get_shape()) for name in names}
