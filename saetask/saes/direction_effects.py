"""Effects of removing features from an activation, to first order, with other features as controls.

A feature's contribution to the activation is removed where the feature is active. The controls
remove just as much, at the same tokens, along the decoder directions of other features that are
active there: a feature that the answer does not depend on more than on these is not shown to
matter. Where the gradient of a quantity is known, each effect is a product with it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from saetask.saes.encoding import SparseFeatures, encode_rows, feature_contribution
from saetask.saes.metrics import ReconstructionInputs

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float
    from sae_lens import SAE

MOST_CONTROLS = 499
"""Maximum number of controls; the smallest p-value is one over this number plus one."""


class EditableText(NamedTuple):
    """A text as the SAE reads it, and the gradient of a quantity where the SAE writes."""

    inputs: ReconstructionInputs
    features: SparseFeatures
    gradient: "Float[torch.Tensor, 'pos d_out']"
    """Of the quantity, in its unit per unit of the activation."""


def editable_text(
    sae: "SAE[Any]", inputs: ReconstructionInputs, gradient: "Float[torch.Tensor, 'pos d_out']"
) -> EditableText:
    """Returns a text with its features."""
    (features,) = encode_rows(sae, [inputs.inputs], [inputs.kept])
    return EditableText(inputs, features, gradient)


class RemovalEffects(NamedTuple):
    """Mean effects over texts, of removing a feature and of the controls."""

    feature: float
    controls: np.ndarray
    """`[n_controls]`, float64."""

    @property
    def rank(self) -> int:
        """The feature's rank by size of the effect, either sign; 1 is the largest."""
        return 1 + int((np.abs(self.controls) >= abs(self.feature)).sum())

    @property
    def p(self) -> float:
        """Share of the feature and its controls with an effect at least as large.

        If the feature is one of its kind, exchangeable with its controls, no level is reached more
        often than it says.
        """
        return self.rank / (1 + len(self.controls))


def removal_effects(
    sae: "SAE[Any]", texts: Sequence[EditableText], feature: int, n_controls: int = MOST_CONTROLS
) -> RemovalEffects:
    """Measures the effect of removing a feature and those of removals along other directions.

    The controls are the features that are active at most of the tokens at which this one is, over
    all texts. Each stands for all texts: at every such token, its direction is scaled to the norm
    of what removing the feature removes.

    Args:
        sae: An SAE whose decoder directions are directions of the activation.
        texts: One or more texts.
        feature: The feature.
        n_controls: Maximum number of controls.
    """
    import torch

    own, pulls = 0.0, []
    shared = np.zeros(sae.cfg.d_sae, dtype=np.int64)
    for inputs, features, gradient in texts:
        removed = feature_contribution(sae, inputs.inputs, inputs.kept, feature).double()
        slope = gradient.to(removed)
        own -= (removed * slope).sum().item() / len(texts)
        lengths = removed.norm(dim=-1, keepdim=True)
        pulls.append((lengths * slope).sum(0))
        firing = features.positions[features.features == feature]
        together = np.isin(features.positions, firing)
        shared += np.bincount(features.features[together], minlength=len(shared))
    shared[feature] = 0
    order = np.argsort(-shared, kind="stable")[:n_controls]
    controls = order[shared[order] > 0]
    directions = sae.W_dec.detach()[torch.as_tensor(controls, device=sae.W_dec.device)].double()
    pull = torch.stack(pulls).mean(0).to(directions)
    effects = -torch.nn.functional.normalize(directions, dim=-1) @ pull
    return RemovalEffects(own, effects.cpu().numpy())
