"""Log and checkpoint of a training run, from which it resumes."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saetask.errors import UserError
from saetask.training.checkpoints import load_checkpoint, save_checkpoint, truncate_log
from saetask.training.distributed import SINGLE_PROCESS, ProcessGroup
from saetask.utils.files import json_text, user_error_on_failed_write

if TYPE_CHECKING:
    from sae_lens.saes.sae import TrainStepOutput
    from sae_lens.training.sae_trainer import SAETrainer

LOG_STEPS = 20
"""Steps between two lines of the log."""


@dataclass(frozen=True)
class TrainingRecord:
    """Log and checkpoint of a run; only the first of several processes writes them."""

    checkpoint: Path
    """A safetensors file, replaced every `checkpoint_steps` steps."""
    log: Path
    """A JSONL file with a line every `LOG_STEPS` steps."""
    checkpoint_steps: int
    group: ProcessGroup = SINGLE_PROCESS

    def resume(self, trainer: "SAETrainer[Any, Any]") -> int:
        """Brings a trainer to the state of the checkpoint, if there is one.

        Returns:
            The number of steps done.

        Raises:
            UserError: The processes have different checkpoints.
        """
        load_checkpoint(trainer, self.checkpoint)
        n_done = trainer.n_training_steps
        if not self.group.agrees(n_done, trainer.sae.device):
            raise UserError(
                f"The processes see different checkpoints in {self.checkpoint.parent}; give an "
                "--out in a folder that all machines share."
            )
        if self.group.rank == 0:
            truncate_log(self.log, n_done)
        return n_done

    def saves_after(self, n_steps: int) -> bool:
        """Returns whether a checkpoint is due after a number of steps."""
        return n_steps % self.checkpoint_steps == 0

    def after_step(
        self, trainer: "SAETrainer[Any, Any]", output: "TrainStepOutput", is_last: bool
    ) -> dict[str, Any] | None:
        """Writes the log line and the checkpoint that are due; returns the line if there is one.

        Raises:
            UserError: The disk is full, or the folder can not be written.
        """
        line = None
        if trainer.n_training_steps % LOG_STEPS == 0 or is_last:
            line = log_line(trainer, output, self.group)
        if self.group.rank == 0:
            if line is not None:
                with (
                    user_error_on_failed_write(self.log),
                    self.log.open("a", encoding="utf-8") as file,
                ):
                    file.write(json_text(line) + "\n")
            if self.saves_after(trainer.n_training_steps):
                save_checkpoint(trainer, self.checkpoint)
        return line


def log_line(
    trainer: "SAETrainer[Any, Any]", output: "TrainStepOutput", group: ProcessGroup
) -> dict[str, Any]:
    """Returns the figures of a step, over the parts of all processes."""
    import torch

    with torch.no_grad():
        n_rows = len(output.sae_in) * group.size
        mean = group.sum(output.sae_in.sum(0)) / n_rows
        error = (output.sae_out - output.sae_in).pow(2).sum()
        variance = (output.sae_in - mean).pow(2).sum()
        n_active = output.feature_acts.bool().sum()
        parts = torch.stack([error, variance, n_active.to(error), output.loss / group.size])
        error, variance, n_active, loss = group.sum(parts).tolist()
    return {
        "step": trainer.n_training_steps,
        "samples": trainer.n_training_samples,
        "loss": loss,
        "fvu": error / variance,
        "l0": n_active / n_rows,
        "dead": int(trainer.dead_neurons.sum()),
        "lr": trainer.optimizer.param_groups[0]["lr"],
    }
