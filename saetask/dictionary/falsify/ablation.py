"""Ablation test: whether the model uses a feature where it fires.

A label says where a feature fires, not whether the model uses it. Here the feature is removed from
the activation (ablated) and added once more (amplified) where it fires, and the change in the
log-probability of the text's own next tokens is compared with that of edits of the same length, at
the same positions, in random directions. A feature whose removal has no larger effect than those
is not shown to matter to the model, whatever its label says.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from einops import reduce

from saetask.dictionary.falsify.base import ALPHA
from saetask.saes.interventions import edit_feature
from saetask.utils.sign_flips import flip_test

if TYPE_CHECKING:
    import torch
    from jaxtyping import Bool, Float, Float64

    from saetask.models.loading import Model
    from saetask.saes.loading import SAE

AblationFinding = Literal["causal", "no effect shown"]
HORIZON = 8
"""Number of tokens after a firing whose log-probability is measured."""


class AblationResult(NamedTuple):
    """Effect of editing a feature on the log-probability of the next tokens.

    Effects are means over texts, in nats per token, edited minus unedited.
    """

    n_texts: int
    ablated: float
    """Effect of removing the feature."""
    amplified: float
    """Effect of adding it once more."""
    random: float
    """Mean effect of the random directions."""
    random_range: tuple[float, float]
    """Lowest and highest effect of a single random direction."""
    ablated_p: float
    """p-value of ablation against random directions: two-sided, corrected for the two edits."""
    amplified_p: float
    """The same for amplification."""

    @property
    def p_value(self) -> float:
        """The smaller p-value, corrected for the two edits but not for the number of features."""
        return min(self.ablated_p, self.amplified_p)


def edit_effects(
    model: "Model",
    sae: "SAE[Any]",
    token_ids: Sequence[int],
    feature: int,
    directions: "Float[torch.Tensor, 'n_directions d_out']",
) -> "Float64[np.ndarray, ' 2+n_directions'] | None":
    """Measures the effects of edits of one feature on one text.

    Args:
        model: The model.
        sae: An SAE that fits it.
        token_ids: The text.
        feature: The feature.
        directions: Random unit vectors; see `edit_feature`.

    Returns:
        Change in the mean log-probability (nats) of the tokens up to `HORIZON` after a firing: by
        ablation, by amplification, by each random direction. None where the feature does not
        fire, or only on the last token.
    """
    edited = edit_feature(model, sae, token_ids, feature, directions)
    measured = _positions_after(edited.firing)[:-1]
    if not measured.any():
        return None
    means = edited.log_probabilities[:, measured].mean(1)
    return means[1:] - means[0]


def _positions_after(firing: "Bool[np.ndarray, ' pos']") -> "Bool[np.ndarray, ' pos']":
    """Returns the positions from which one of the `HORIZON` tokens after a firing is predicted.

    These are the firing positions themselves and the `HORIZON - 1` after each.
    """
    reached = np.convolve(firing, np.ones(HORIZON))
    return reached[: len(firing)] > 0.5


def compare_effects(
    effects: "Float64[np.ndarray, 'n_texts 2+n_directions']", seed: int
) -> AblationResult:
    """Compares the effects of editing a feature with those of edits in random directions.

    Differences from the mean over random directions are tested by flipping their signs over texts:
    two-sided, both edits together.

    Args:
        effects: Effects in each text, as `edit_effects` returns them, of the same directions.
        seed: Seed of the sign flips.
    """
    random = effects[:, 2:]
    differences = effects[:, :2] - random.mean(1, keepdims=True)
    both_sides = flip_test(np.hstack([differences, -differences]), seed).p_values
    p_values = reduce(both_sides, "(side edit) -> edit", "min", side=2)
    by_direction = random.mean(0)
    ablated, amplified = effects[:, :2].mean(0).tolist()
    return AblationResult(
        len(effects),
        ablated,
        amplified,
        float(random.mean()),
        (float(by_direction.min()), float(by_direction.max())),
        *p_values.tolist(),
    )


def ablation_finding(result: AblationResult, q_value: float) -> AblationFinding:
    """Returns the finding of the ablation test.

    `causal`: ablation or amplification (the one with the smaller p-value) differs significantly
    from random directions, and its effect lies beyond that of every single one of them. The second
    condition is needed since the test samples texts, not directions: over many texts any one
    direction differs from the mean of others.

    Args:
        result: The effects.
        q_value: Their p-value, corrected for the number of features.
    """
    low, high = result.random_range
    edits = ((result.ablated, result.ablated_p), (result.amplified, result.amplified_p))
    beyond = any(p == result.p_value and not low <= effect <= high for effect, p in edits)
    return "causal" if q_value < ALPHA and beyond else "no effect shown"
