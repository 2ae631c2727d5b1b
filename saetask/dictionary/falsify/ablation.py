"""The causal test: does the model use a feature where it fires?

A label says what sets a feature off, not that the model makes anything of it. Here the feature is
taken out of the activation (ablated) and added once more (amplified) where it fires, and the
log-probability of the text's own next tokens is measured, against edits of the same length, at the
same positions, in random directions. A feature whose removal does no more than those is not shown
to matter to the model, whatever its label says.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from saetask.saes.interventions import edit_feature
from saetask.utils.sign_flips import flip_test

if TYPE_CHECKING:
    import torch

    from saetask.models.loading import Model
    from saetask.saes.loading import SAE

AblationFinding = Literal["causal", "no effect shown"]
HORIZON = 8
"""Tokens after a firing whose log-probability is measured."""
ALPHA = 0.05


class AblationResult(NamedTuple):
    """What editing a feature does to the log-probability of the next tokens.

    Effects are means over texts, in nats a token, edited less unedited.
    """

    n_texts: int
    ablated: float
    """Effect of taking the feature out."""
    amplified: float
    """Effect of adding it once more."""
    random: float
    """Mean effect of the random directions."""
    random_range: tuple[float, float]
    """Lowest and highest effect of a single random direction."""
    ablated_p: float
    """Ablation against random directions: two-sided, corrected for there being two edits."""
    amplified_p: float
    """The same for amplification."""

    @property
    def p_value(self) -> float:
        """The smaller one, corrected for there being two edits but not for many features."""
        return min(self.ablated_p, self.amplified_p)


def edit_effects(
    model: "Model",
    sae: "SAE[Any]",
    token_ids: Sequence[int],
    feature: int,
    directions: "torch.Tensor",
) -> np.ndarray | None:
    """Measures the edits of one feature on one text; see `edit_feature`.

    Returns:
        Change in the mean log-probability (nats) of the tokens up to `HORIZON` after a firing: by
        ablation, by amplification, by each random direction, `[2 + n_directions]`, float64. None
        where the feature does not fire, or on the last token only.
    """
    edited = edit_feature(model, sae, token_ids, feature, directions)
    measured = _after(edited.firing)[:-1]
    if not measured.any():
        return None
    means = edited.log_probabilities[:, measured].mean(1)
    return means[1:] - means[0]


def _after(firing: np.ndarray) -> np.ndarray:
    """Returns the positions from which one of the `HORIZON` tokens after a firing is predicted.

    Args:
        firing: Does the feature fire? `[pos]`, bool.

    Returns:
        `[pos]`, bool: the firing positions themselves and the `HORIZON - 1` after each.
    """
    reached = np.convolve(firing, np.ones(HORIZON))
    return reached[: len(firing)] > 0.5


def compare_effects(effects: np.ndarray, seed: int) -> AblationResult:
    """Compares the edits of a feature with those in random directions.

    The differences from the mean random direction are tested by flipping signs over texts, both
    edits together, either way.

    Args:
        effects: As `edit_effects` gives them, the same directions in every text,
            `[n_texts, 2 + n_directions]`.
        seed: Seed of the sign flips.
    """
    random = effects[:, 2:]
    differences = effects[:, :2] - random.mean(1, keepdims=True)
    p_values = flip_test(np.hstack([differences, -differences]), seed).p_values.reshape(2, 2).min(0)
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
    """Returns what the edits say of a feature.

    `causal`: ablation or amplification (whichever stands out most) differs significantly from
    random directions, and lies beyond every single one of them. The second condition is needed
    since the test takes texts, not directions, as the sample: over many texts any one direction
    differs from the mean of others.

    Args:
        result: The edits.
        q_value: Their p-value, corrected for the number of features.
    """
    low, high = result.random_range
    edits = ((result.ablated, result.ablated_p), (result.amplified, result.amplified_p))
    beyond = any(p == result.p_value and not low <= effect <= high for effect, p in edits)
    return "causal" if q_value < ALPHA and beyond else "no effect shown"
