"""What features' decoder directions promote and suppress, and labels made from that."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from saetask.models.forward import unembed
from saetask.models.loading import model_tokenizer
from saetask.saes.encoding import writes_residual

if TYPE_CHECKING:
    from sae_lens import SAE

    from saetask.models.loading import Model

FEATURES_PER_BLOCK = 512


class Promotion(NamedTuple):
    """Tokens whose logits a feature moves most."""

    promoted: list[str]
    suppressed: list[str]
    promoted_logits: list[float]
    """What one unit of the feature adds to the logits of the promoted tokens."""
    suppressed_logits: list[float]


def promotions(
    model: "Model", sae: "SAE[Any]", features: Sequence[int], n_tokens: int = 10
) -> dict[int, Promotion]:
    """Returns the tokens that features promote and suppress most.

    The decoder direction passes through the final norm's weights and the unembedding (logit lens,
    nostalgebraist 2020). Where an SAE's directions are none of the residual stream (attention
    heads, MLP neurons), features promote nothing that could be told.
    """
    import torch

    if not writes_residual(sae, model.cfg.d_model):
        return {int(feature): Promotion([], [], [], []) for feature in features}
    decode = model_tokenizer(model).decode
    found = {}
    for start in range(0, len(features), FEATURES_PER_BLOCK):
        block = [int(feature) for feature in features[start : start + FEATURES_PER_BLOCK]]
        with torch.inference_mode():
            logits = unembed(model, sae.W_dec[block].float())
        ends = [logits.float().topk(n_tokens, largest=most) for most in (True, False)]
        for row, feature in enumerate(block):
            most, least = ([str(decode([i])) for i in end.indices[row].tolist()] for end in ends)
            high, low = (end.values[row].tolist() for end in ends)
            found[feature] = Promotion(most, least, high, low)
    return found


def logit_lens_labels(
    model: "Model", sae: "SAE[Any]", features: Sequence[int], n_words: int = 3
) -> dict[int, str]:
    """Labels features by the words that they promote most, and says so: `promotes 'sea'`."""
    found = promotions(model, sae, features, 4 * n_words)
    return {feature: promotion_label(tokens.promoted, n_words) for feature, tokens in found.items()}


def promotion_label(promoted: Sequence[str], n_words: int = 3) -> str:
    """Returns a label that names the first few different words among promoted tokens."""
    tokens = [token.strip() for token in promoted]
    words = list(dict.fromkeys(token.lower() for token in tokens if token.isalpha()))
    shown = words[:n_words] or tokens[:1]
    return "promotes " + ", ".join(f"'{word}'" for word in shown) if shown else ""
