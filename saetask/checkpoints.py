"""Checkpoints of a training run, each one safetensors file: there is always a whole one."""

import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saetask.cache import atomic_path, write_text

if TYPE_CHECKING:
    from sae_lens.training.sae_trainer import SAETrainer


CHECKPOINT = "checkpoint.safetensors"


def save_checkpoint(trainer: "SAETrainer[Any, Any]", path: Path) -> None:
    """Saves weights, Adam's moments and the dead-feature counters; steps are metadata."""
    from safetensors.torch import save_file

    tensors = {f"sae.{name}": value for name, value in trainer.sae.state_dict().items()}
    for name, parameter in trainer.sae.named_parameters():
        for key, value in trainer.optimizer.state[parameter].items():
            tensors[f"adam.{name}.{key}"] = value
    tensors["since_fired"] = trainer.n_forward_passes_since_fired
    tensors["firings"] = trainer.act_freq_scores
    steps = {"steps": trainer.n_training_steps, "active": trainer.n_frac_active_samples}
    contiguous = {name: value.contiguous() for name, value in tensors.items()}
    with atomic_path(path) as temporary:
        save_file(contiguous, temporary, {name: str(value) for name, value in steps.items()})


def load_checkpoint(trainer: "SAETrainer[Any, Any]", path: Path) -> None:
    """Continues from a checkpoint, if there is one; schedules are replayed step by step."""
    from safetensors import safe_open

    if not path.is_file():
        return
    with safe_open(path, "pt") as file:
        steps = {name: int(value) for name, value in file.metadata().items()}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    trainer.sae.load_state_dict(
        {k.removeprefix("sae."): v for k, v in tensors.items() if k.startswith("sae.")}
    )
    for name, parameter in trainer.sae.named_parameters():
        prefix = f"adam.{name}."
        trainer.optimizer.state[parameter] = {
            k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)
        }
    trainer.n_forward_passes_since_fired = tensors["since_fired"]
    trainer.act_freq_scores = tensors["firings"]
    trainer.n_frac_active_samples = steps["active"]
    trainer.n_training_steps = steps["steps"]
    trainer.n_training_samples = steps["steps"] * trainer.cfg.train_batch_size_samples
    for _ in range(steps["steps"]):
        trainer.lr_scheduler.step()
        for scheduler in trainer.coefficient_schedulers.values():
            scheduler.step()


def cut_log(log: Path, steps: int) -> None:
    """Takes off what a killed run logged after its last checkpoint: those steps come again."""
    lines = log.read_text(encoding="utf-8").splitlines(keepends=True) if log.is_file() else []
    # Whatever was logged before a checkpoint is whole; the very last line may be cut short.
    known = itertools.takewhile(lambda line: line.endswith("\n"), lines)
    kept = itertools.takewhile(lambda line: json.loads(line)["step"] <= steps, known)
    write_text(log, "".join(kept))
