"""Checkpoints of a training run: one safetensors file, replaced atomically."""

import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saetask.utils.files import atomic_path, write_text

if TYPE_CHECKING:
    from sae_lens.training.sae_trainer import SAETrainer

CHECKPOINT = "checkpoint.safetensors"


def save_checkpoint(trainer: "SAETrainer[Any, Any]", path: Path) -> None:
    """Saves weights, Adam's moments, the dead-feature counters and the number of steps."""
    import torch
    from safetensors.torch import save_file

    tensors = {f"sae.{name}": value for name, value in trainer.sae.state_dict().items()}
    for name, parameter in trainer.sae.named_parameters():
        for key, value in trainer.optimizer.state[parameter].items():
            tensors[f"adam.{name}.{key}"] = value
    tensors["since_fired"] = trainer.n_forward_passes_since_fired
    tensors["firings"] = trainer.act_freq_scores
    # Tensors, not metadata: safetensors writes that in an order of its own each time.
    tensors["steps"] = torch.tensor(trainer.n_training_steps)
    tensors["active"] = torch.tensor(trainer.n_frac_active_samples)
    with atomic_path(path) as temporary:
        save_file({k: v.contiguous() for k, v in tensors.items()}, temporary)


def load_checkpoint(trainer: "SAETrainer[Any, Any]", path: Path) -> None:
    """Loads a checkpoint into a trainer, if there is one; schedules are replayed step by step."""
    from safetensors.torch import load_file

    if not path.is_file():
        return
    tensors = load_file(path)
    steps = int(tensors["steps"])
    trainer.sae.load_state_dict(
        {k.removeprefix("sae."): v for k, v in tensors.items() if k.startswith("sae.")}
    )
    for name, parameter in trainer.sae.named_parameters():
        prefix = f"adam.{name}."
        trainer.optimizer.state[parameter] = {
            k.removeprefix(prefix): v.to(parameter.device)
            for k, v in tensors.items()
            if k.startswith(prefix)
        }
    trainer.n_forward_passes_since_fired = tensors["since_fired"].to(trainer.cfg.device)
    trainer.act_freq_scores = tensors["firings"].to(trainer.cfg.device)
    trainer.n_frac_active_samples = int(tensors["active"])
    trainer.n_training_steps = steps
    trainer.n_training_samples = steps * trainer.cfg.train_batch_size_samples
    for _ in range(steps):
        trainer.lr_scheduler.step()
        for scheduler in trainer.coefficient_schedulers.values():
            scheduler.step()


def truncate_log(log: Path, steps: int) -> None:
    """Removes the log lines after a number of steps: a resumed run repeats those steps."""
    lines = log.read_text(encoding="utf-8").splitlines(keepends=True) if log.is_file() else []
    # Lines before a checkpoint are whole; the very last line may be torn.
    whole = itertools.takewhile(lambda line: line.endswith("\n"), lines)
    kept = itertools.takewhile(lambda line: json.loads(line)["step"] <= steps, whole)
    write_text(log, "".join(kept))
