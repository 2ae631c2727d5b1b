"""Controls for a dictionary: what the same pipeline makes of an SAE that learnt nothing."""

import copy
from typing import TYPE_CHECKING, Any

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
