"""Labels for features from what their decoder directions promote."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from saetask.models import model_tokenizer, unembed
from saetask.sae_encoding import writes_residual

if TYPE_CHECKING:
    from sae_lens import SAE

    from saetask.models import Model


def logit_lens_labels(
    model: "Model", sae: "SAE[Any]", features: Sequence[int], n_tokens: int = 3
) -> dict[int, str]:
    """Labels features by the tokens that their decoder directions promote most.

    The direction passes through the final norm's weights and the unembedding (logit lens,
    nostalgebraist 2020); the label says so: `promotes 'sea', 'boat'`. Where an SAE's directions
    are none of the residual stream (attention heads, MLP neurons), features have no label.
    """
    import torch

    if not len(features):
        return {}
    if not writes_residual(sae, model.cfg.d_model):
        return {int(feature): "" for feature in features}
    with torch.inference_mode():
        logits = unembed(model, sae.W_dec[list(features)].float())
    tokenizer = model_tokenizer(model)
    labels = {}
    for feature, row in zip(features, logits):
        tokens = [str(tokenizer.decode([int(i)])).strip() for i in row.topk(4 * n_tokens).indices]
        words = list(dict.fromkeys(token.lower() for token in tokens if token.isalpha()))
        shown = words[:n_tokens] or tokens[:1]
        labels[int(feature)] = "promotes " + ", ".join(f"'{word}'" for word in shown)
    return labels
