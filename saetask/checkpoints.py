"""Checkpoints of a training run, as safetensors and JSON."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saetask.cache import atomic_path, write_json

if TYPE_CHECKING:
    from sae_lens.training.sae_trainer import SAETrainer


def save_checkpoint(trainer: "SAETrainer[Any, Any]", folder: Path) -> None:
    """Saves weights, Adam's moments and the dead-feature counters as safetensors."""
    from safetensors.torch import save_file

    tensors = {f"sae.{name}": value for name, value in trainer.sae.state_dict().items()}
    for name, parameter in trainer.sae.named_parameters():
        for key, value in trainer.optimizer.state[parameter].items():
            tensors[f"adam.{name}.{key}"] = value
    tensors["since_fired"] = trainer.n_forward_passes_since_fired
    tensors["firings"] = trainer.act_freq_scores
    steps = {"steps": trainer.n_training_steps, "active": trainer.n_frac_active_samples}
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        save_file({k: v.contiguous() for k, v in tensors.items()}, temporary / "state.safetensors")
        write_json(temporary / "steps.json", steps)


def load_checkpoint(trainer: "SAETrainer[Any, Any]", folder: Path) -> None:
    """Continues from a checkpoint, if there is one; schedules are replayed step by step."""
    from safetensors.torch import load_file

    if not (folder / "steps.json").is_file():
        return
    steps = json.loads((folder / "steps.json").read_text())
    tensors = load_file(folder / "state.safetensors")
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
    trainer.n_frac_active_samples = steps["active"]
    trainer.n_training_steps = steps["steps"]
    trainer.n_training_samples = steps["steps"] * trainer.cfg.train_batch_size_samples
    for _ in range(steps["steps"]):
        trainer.lr_scheduler.step()
        for scheduler in trainer.coefficient_schedulers.values():
            scheduler.step()
