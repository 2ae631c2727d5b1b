"""What one writes today to read a prompt: SAE-Lens's own call."""

from typing import TYPE_CHECKING, Any

from saetask.models.hooks import resolve_hook_name
from saetask.saes.encoding import input_hook

from .subject import Subject

if TYPE_CHECKING:
    import torch
    from sae_lens import SAE


def read_with_sae_lens(
    subject: Subject, tokens: "torch.Tensor", stop_at_layer: int | None = None
) -> "torch.Tensor":
    """Reads a row of tokens with `run_with_cache_with_saes`, caching the feature activations only.

    Args:
        subject: Its bridge and SAE.
        tokens: `[1, pos]`.
        stop_at_layer: Layers from this one on are not run, for those who know to ask for that.

    Returns:
        The feature activations, `[1, pos, d_sae]`.
    """
    import torch

    model: Any = subject.model
    sae = subject.sae_in_models_dtype
    hook_name = resolve_hook_name(model, input_hook(sae))
    acts_name = f"{hook_name}.hook_sae_acts_post"
    with torch.no_grad():
        _, cache = model.run_with_cache_with_saes(
            tokens, saes=[sae], names_filter=[acts_name], stop_at_layer=stop_at_layer
        )
    return cache[acts_name]


def layers_to_hook(sae: "SAE[Any]") -> int:
    """Returns how many layers must run for an SAE's hook point to be reached.

    Raises:
        ValueError: It is in no block.
    """
    from sae_lens.util import extract_stop_at_layer_from_tlens_hook_name

    layers = extract_stop_at_layer_from_tlens_hook_name(input_hook(sae))
    if layers is None:
        raise ValueError(f"{input_hook(sae)} is in no block.")
    return layers
