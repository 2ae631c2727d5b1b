"""Tokens that features' decoder directions promote and suppress, and labels made of them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from saetask.models.embedding import unembed
from saetask.models.loading import model_tokenizer
from saetask.saes.encoding import writes_residual

if TYPE_CHECKING:
    from sae_lens import SAE

    from saetask.models.loading import Model

FEATURES_PER_BLOCK = 512
LABEL_WORDS = 3
"""Maximum number of words in a label."""


class Promotion(NamedTuple):
    """Tokens whose logits a feature changes most, strongest first."""

    promoted: list[str]
    suppressed: list[str]
    promoted_logits: list[float]
    """Change of the promoted tokens' logits by one unit of the feature, as `unembed` has it."""
    suppressed_logits: list[float]
    """Change of the suppressed tokens' logits by one unit of the feature, likewise."""


def promotions(
    model: "Model", sae: "SAE[Any]", features: Sequence[int], n_tokens: int = 10
) -> dict[int, Promotion]:
    """Returns the tokens that features promote and suppress most.

    The decoder direction passes through the final norm, whose scale is held, and the unembedding
    (logit lens, nostalgebraist 2020; see `saetask.models.embedding.unembed`). The lists are empty
    where an SAE's directions are not directions of the residual stream (attention heads, MLP
    neurons), or the unembedding takes another width (some OPT models).
    """
    import torch

    if not writes_residual(sae, model.cfg.d_model) or len(model.W_U) != model.cfg.d_model:
        return {int(feature): Promotion([], [], [], []) for feature in features}
    decode = model_tokenizer(model).decode
    by_feature = {}
    for start in range(0, len(features), FEATURES_PER_BLOCK):
        block = [int(feature) for feature in features[start : start + FEATURES_PER_BLOCK]]
        with torch.inference_mode():
            logits = unembed(model, sae.W_dec[block].float())
        ends = [logits.float().topk(n_tokens, largest=most) for most in (True, False)]
        for row, feature in enumerate(block):
            most, least = ([str(decode([i])) for i in end.indices[row].tolist()] for end in ends)
            high, low = (end.values[row].tolist() for end in ends)
            by_feature[feature] = Promotion(most, least, high, low)
    return by_feature


def logit_lens_labels(model: "Model", sae: "SAE[Any]", features: Sequence[int]) -> dict[int, str]:
    """Labels features by the words that they promote most, such as `promotes 'sea'`."""
    by_feature = promotions(model, sae, features, 4 * LABEL_WORDS)
    return {feature: promotion_label(tokens.promoted) for feature, tokens in by_feature.items()}


def promotion_label(promoted: Sequence[str]) -> str:
    """Returns a label that names the first few different words among promoted tokens."""
    tokens = [token.strip() for token in promoted]
    words = list(dict.fromkeys(token.lower() for token in tokens if token.isalpha()))
    shown = words[:LABEL_WORDS] or tokens[:1]
    return "promotes " + ", ".join(f"'{word}'" for word in shown) if shown else ""
