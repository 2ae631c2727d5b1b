"""Data-parallel training steps that equal the step of one process, up to rounding.

Every process takes its part of the batch. What a step computes from the whole batch is reduced over
the processes: the gradients (before SAE-Lens's trainer clips them), the firing counts, the loss (so
that all processes stop at the same step if it is not finite), and the number of steps since each
feature was active, which decides what the auxiliary loss revives.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float
    from sae_lens import TrainingSAE
    from sae_lens.saes.sae import TrainStepOutput
    from sae_lens.training.sae_trainer import SAETrainer


class ProcessGroup(NamedTuple):
    """One process's view of the processes that train together."""

    rank: int = 0
    """Number of this process, from 0."""
    size: int = 1
    """Number of processes."""

    def part(self, batch_size: int) -> slice:
        """Returns the slice of a batch's rows that this process takes."""
        own = batch_size // self.size
        return slice(self.rank * own, (self.rank + 1) * own)

    def sum(self, tensor: "torch.Tensor") -> "torch.Tensor":
        """Sums a tensor over the processes, in place; returns it."""
        if self.size > 1:
            import torch.distributed as dist

            dist.all_reduce(tensor)
        return tensor

    def agrees(self, number: int, device: "torch.device") -> bool:
        """Returns, in every process, whether all processes have the same number."""
        if self.size == 1:
            return True
        import torch
        import torch.distributed as dist

        smallest = torch.tensor([number, -number], device=device)  # the minimum and -maximum
        dist.all_reduce(smallest, op=dist.ReduceOp.MIN)
        minimum, negated_maximum = smallest.tolist()
        return minimum == -negated_maximum


SINGLE_PROCESS = ProcessGroup()


def share_gradients(sae: "TrainingSAE[Any]", group: ProcessGroup) -> None:
    """Copies the first process's weights to all, and averages all later gradients over them.

    Losses are means over the rows of a batch and the parts have equal length, so the mean of the
    gradients is the gradient of the whole batch's loss.
    """
    if group.size == 1:
        return
    import torch.distributed as dist

    def average(parameter: "torch.Tensor") -> None:
        if parameter.grad is not None:
            group.sum(parameter.grad).div_(group.size)

    for parameter in sae.parameters():
        dist.broadcast(parameter.data, 0)
        parameter.register_post_accumulate_grad_hook(average)


def step(
    trainer: "SAETrainer[Any, Any]",
    batch: "Float[torch.Tensor, 'part d_in']",
    group: ProcessGroup,
) -> "TrainStepOutput":
    """Steps SAE-Lens's trainer on this process's part of a batch.

    Returns:
        The output for the part; its loss is that of the whole batch, the same in all processes.
    """
    if group.size == 1:
        return trainer.step(batch)
    import torch
    import torch.distributed as dist

    before = trainer.act_freq_scores
    trainer.act_freq_scores = before.new_zeros(before.shape)
    output = trainer.step(batch)
    sums = group.sum(torch.cat([trainer.act_freq_scores, output.loss.detach()[None]]))
    trainer.act_freq_scores = before + sums[:-1]
    output.loss = sums[-1] / group.size
    # The number of steps since a feature was active is 0 if it was active in this process's part;
    # the minimum over processes is 0 if it was active in any part.
    dist.all_reduce(trainer.n_forward_passes_since_fired, op=dist.ReduceOp.MIN)
    trainer.n_training_samples += len(batch) * (group.size - 1)
    return output
