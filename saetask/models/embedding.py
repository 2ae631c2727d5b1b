"""Where a model's vectors meet its vocabulary: the input embedding and the unembedding."""

import copy
from typing import TYPE_CHECKING, Any, NamedTuple

from saetask.models.fast_forward import is_processed
from saetask.models.loading import model_device

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float

    from saetask.models.loading import Model


class NormMap(NamedTuple):
    """What a norm does to a direction while its scale stays as it is."""

    gain: "Float[torch.Tensor, 'd_model']"
    centres: bool
    """Whether the direction's mean is subtracted first: LayerNorm does, RMSNorm does not."""

    def __call__(
        self, directions: "Float[torch.Tensor, 'n d_model']"
    ) -> "Float[torch.Tensor, 'n d_model']":
        """Returns the directions behind the norm."""
        if self.centres:
            directions = directions - directions.mean(-1, keepdim=True)
        return directions * self.gain


def token_embeddings(model: "Model") -> "Float[torch.Tensor, 'vocab d_model']":
    """Returns the input embedding of every token, float32."""
    return model.W_E.detach().float().cpu()


def unembed(
    model: "Model", directions: "Float[torch.Tensor, 'n d_model']"
) -> "Float[torch.Tensor, 'n vocab']":
    """Projects residual-stream directions through the final norm and the unembedding.

    A norm is `A x / s(x) + b`. Adding a small multiple of `d` to `x` changes the logits by that
    multiple of `W_U A d / s(x)`, as long as the scale `s(x)` stays the same, which is the usual
    assumption of direct logit attribution (Elhage et al. 2021). The result is `W_U A d`: in logits
    where the scale is 1, before a constant factor or a soft cap of the logits, neither of which
    changes the order of the tokens.

    Returns:
        float32, on the CPU.
    """
    directions = directions.to(model_device(model)).float()
    return (final_norm(model)(directions) @ model.W_U.float()).cpu()


def final_norm(model: "Model") -> NormMap:
    """Measures what the model's final norm does to a direction.

    The module itself is asked, since its parameters mean different things in different models: the
    gain is `weight`, `1 + weight` (Gemma), or missing (OLMo 1, weights folded by TransformerLens).
    Of `A x / s(x) + b`, half the difference of the values at `x` and `-x` is `A x / s(x)`. The
    scale of a vector of entries 1 and -1, as many of each, is 1, for both kinds of norm.
    """
    import torch

    width, device = model.cfg.d_model, model_device(model)
    norm = _final_norm_module(model)
    if norm is None:
        return NormMap(torch.ones(width, device=device), centres=False)

    def slope(vector: "torch.Tensor") -> "torch.Tensor":
        with torch.inference_mode():
            plus, minus = norm(vector[None, None])[0, 0], norm(-vector[None, None])[0, 0]
        return (plus.float() - minus.float()) / 2

    probe = torch.ones(width, device=device)
    probe[1::2] = -1
    if width % 2:  # three entries whose sum is 0, of another size than 1
        probe[-3:] = torch.tensor([1.0, 1.0, -2.0], device=device)
        probe /= probe.pow(2).mean().sqrt()
    gain = slope(probe) / probe
    of_a_constant = slope(torch.ones(width, device=device))
    return NormMap(gain, centres=bool(of_a_constant.abs().sum() < 1e-3 * gain.abs().sum()))


def _final_norm_module(model: "Model") -> Any:
    """Returns the final norm as the model runs it, in float32 and without hooks where it can be."""
    wrapper: Any = getattr(model, "ln_final", None)
    original = getattr(wrapper, "original_component", None)
    if original is None or is_processed(model):
        return wrapper
    return copy.deepcopy(original).float()
