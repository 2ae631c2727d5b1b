"""Controls for a dictionary: what the same pipeline makes of an SAE that learnt nothing."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saetask.dictionary.files import read_manifest
from saetask.errors import UserError

if TYPE_CHECKING:
    from sae_lens import SAE


def random_sae(sae: "SAE[Any]", seed: int = 0) -> "SAE[Any]":
    """Returns an SAE of the same kind with random directions (frozen random dictionary).

    Decoder directions are drawn evenly from the sphere; a feature's encoder direction is its own
    decoder direction. Where the SAE keeps the k strongest features of a token, as many fire. The
    centre and the lengths are those of the trained SAE.
    """
    import torch

    control = copy.deepcopy(sae)
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(sae.W_dec.shape, generator=generator)
    directions = torch.nn.functional.normalize(directions, dim=1).to(sae.W_dec)
    with torch.no_grad():
        control.W_dec.copy_(directions * sae.W_dec.norm(dim=1, keepdim=True))
        control.W_enc.copy_((directions * sae.W_enc.norm(dim=0)[:, None]).T)
        bias = dict(control.named_parameters()).get("b_enc")
        if bias is not None:
            # W_enc (x - c) + b_enc with the trained centre c = b_dec: only the centring is kept.
            bias.zero_()
            if not sae.cfg.apply_b_dec_to_input:
                bias -= sae.b_dec @ control.W_enc
    return control


def shuffled_model_figures(manifest: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Returns the figures of a dictionary of a model whose weights were shuffled.

    Args:
        manifest: The manifest of the dictionary that it is a control of.
        folder: The control's dictionary folder, built and validated in the same way.

    Raises:
        UserError: It was not validated, not built in the same way, or is of the same model.
    """
    other = read_manifest(folder)
    if other["validation"] is None:
        raise UserError(f"{folder} is not validated; run saetask dictionary validate {folder}.")
    if other["model"]["fingerprint"] == manifest["model"]["fingerprint"]:
        raise UserError(f"{folder} is a dictionary of the same model; shuffle its weights first.")
    for name, part in (
        ("features", lambda m: m["n_features"]),
        ("labeler", lambda m: (m["labeler"], m["labels"]["options"])),
        ("seed", lambda m: m["seed"]),
        ("corpus", lambda m: (m["corpus"]["sources"], m["corpus"]["samples"])),
    ):
        if part(other) != part(manifest):
            raise UserError(
                f"{folder} differs in its {name} ({part(other)} for {part(manifest)}); build it "
                "in the same way."
            )
    return {name: value for name, value in other["validation"].items() if name != "controls"}
