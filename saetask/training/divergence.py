"""Detection of a training that diverges, before its weights reach a checkpoint."""

import math
from typing import TYPE_CHECKING, Any

from saetask.errors import UserError

if TYPE_CHECKING:
    import torch
    from sae_lens.training.sae_trainer import SAETrainer

    from saetask.training.config import TrainConfig

MAX_LOSS_RATIO = 1e6
"""A loss beyond this many times the squared norm of an input counts as divergence. Inputs are
scaled to a squared norm of about d_in; a training that learns begins at about that loss."""


class DivergenceError(UserError):
    """A loss or a weight that is not finite, or a loss that has exploded."""


def stop_if_loss_diverged(
    config: "TrainConfig", trainer: "SAETrainer[Any, Any]", loss: "torch.Tensor"
) -> None:
    """Stops a training at its first loss that is not finite or has exploded.

    Args:
        config: The recipe.
        trainer: The trainer after the step.
        loss: Loss of the whole batch, so that all processes stop at the same step.

    Raises:
        DivergenceError: It is.
    """
    value = loss.item()
    if not math.isfinite(value) or value > MAX_LOSS_RATIO * trainer.sae.cfg.d_in:
        raise _divergence(config, trainer, f"the loss is {value:.3g}")


def stop_if_weights_diverged(config: "TrainConfig", trainer: "SAETrainer[Any, Any]") -> None:
    """Stops a training whose weights are not finite; looks at all of them.

    Raises:
        DivergenceError: A weight is NaN or infinite.
    """
    for name, parameter in trainer.sae.named_parameters():
        if not parameter.isfinite().all():
            raise _divergence(config, trainer, f"{name} has values that are not finite")


def _divergence(
    config: "TrainConfig", trainer: "SAETrainer[Any, Any]", what: str
) -> DivergenceError:
    from saetask.training.config import TrainConfig

    default = TrainConfig.lr
    advice = (
        f"lower it ({default:g} is the default)"
        if config.lr > default
        else "lower it, or the coefficients in options"
    )
    return DivergenceError(
        f"The training diverged at step {trainer.n_training_steps} of {config.n_steps}: {what}. "
        f"lr is {config.lr:g} in the recipe; {advice}, and start again with the same --out, whose "
        "activations are kept. No SAE was written."
    )
