"""One training step over several processes, the same as that of one.

Every process takes its part of the batch. What a step computes from the whole batch is put
together: the gradients (before SAE-Lens's trainer clips them), the count of firings, and how long
each feature has been silent, which decides what the auxiliary loss revives.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import torch
    from sae_lens import TrainingSAE
    from sae_lens.saes.sae import TrainStepOutput
    from sae_lens.training.sae_trainer import SAETrainer


class ProcessGroup(NamedTuple):
    """The processes that train together, seen from one of them."""

    rank: int = 0
    size: int = 1

    def part(self, batch_size: int) -> slice:
        """Returns which rows of a batch this process takes."""
        own = batch_size // self.size
        return slice(self.rank * own, (self.rank + 1) * own)

    def sum(self, tensor: "torch.Tensor") -> "torch.Tensor":
        """Sums a tensor over the processes, in place; returns it."""
        if self.size > 1:
            import torch.distributed as dist

            dist.all_reduce(tensor)
        return tensor

    def agrees(self, number: int, device: "torch.device") -> bool:
        """Tells whether all processes have the same number; where not, one of them hears so."""
        import torch

        return int(self.sum(torch.tensor(number, device=device))) == number * self.size


SINGLE_PROCESS = ProcessGroup()


def share_gradients(sae: "TrainingSAE[Any]", group: ProcessGroup) -> None:
    """Gives all processes the first one's weights, and from now on the mean of their gradients.

    The losses are means over the rows of a batch, and the parts are equally long: so the mean of
    the gradients is the gradient of the whole batch's loss.
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
    trainer: "SAETrainer[Any, Any]", batch: "torch.Tensor", group: ProcessGroup
) -> "TrainStepOutput":
    """Steps SAE-Lens's trainer on this process's part of a batch, `[batch / size, d_in]`."""
    if group.size == 1:
        return trainer.step(batch)
    import torch.distributed as dist

    before = trainer.act_freq_scores
    trainer.act_freq_scores = before.new_zeros(before.shape)
    output = trainer.step(batch)
    trainer.act_freq_scores = before + group.sum(trainer.act_freq_scores)
    # Steps since a feature fired are 0 where it fired here: the least of all processes is 0 where
    # it fired anywhere.
    dist.all_reduce(trainer.n_forward_passes_since_fired, op=dist.ReduceOp.MIN)
    trainer.n_training_samples += len(batch) * (group.size - 1)
    return output
