"""What a process that trains does: it makes the SAE, steps it to the end, and saves it.

One process does so alone, or several do it together, each on its part of every batch; then the
first of them writes the log, the checkpoints and the saved folder.
"""

import json
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saetask.errors import UserError
from saetask.models.loading import DEFAULT_MODEL
from saetask.training.activation_store import (
    MANIFEST,
    ActivationShards,
    batches,
    shard_name,
    statistics,
)
from saetask.training.checkpoints import CHECKPOINT, load_checkpoint, save_checkpoint, truncate_log
from saetask.training.distributed import SINGLE_PROCESS, ProcessGroup, share_gradients, step
from saetask.utils.files import atomic_path, user_error_on_failed_write
from saetask.utils.parallel import prefetch

if TYPE_CHECKING:
    import torch
    from sae_lens import TrainingSAE
    from sae_lens.config import SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

    from saetask.training.config import TrainConfig

WORK = Path("work")
SHARDS = WORK / "train"
LOG = "training.jsonl"


@dataclass(frozen=True)
class TrainingJob:
    """What is to be trained, from what, to where."""

    config: "TrainConfig"
    out: Path
    """The SAE folder, its harvest finished."""
    model_name: str
    identity: str
    """Of the harvest."""
    n_shards: int
    """How many of its shards are trained on."""
    device: str
    """Where it is trained: `cpu` or `cuda`."""


def train_in_group(job: TrainingJob, rank: int, size: int) -> None:
    """Trains as one of several processes, on shards in a folder that all of them share.

    Raises:
        UserError: This machine does not see the folder, or another harvest in it.
    """
    fit_and_save(job, _open_shards(job), ProcessGroup(rank, size))


def _open_shards(job: TrainingJob) -> ActivationShards:
    folder = job.out / SHARDS
    manifest, wrong = folder / MANIFEST, None
    seen = sum((folder / shard_name(number)).is_file() for number in range(job.n_shards))
    if not manifest.is_file():
        wrong = f"does not see {folder}"
    elif (identity := json.loads(manifest.read_text())["identity"]) != job.identity:
        wrong = f"sees another harvest in {folder} ({identity}, not {job.identity})"
    elif seen < job.n_shards:
        wrong = f"sees {seen} of the {job.n_shards} shards in {folder}"
    if wrong:
        raise UserError(
            f"The Ray worker on {socket.gethostname()}, process {os.getpid()}, {wrong}; give an "
            "--out in a folder that all machines share under the same path."
        )
    return ActivationShards(folder, job.n_shards)


def fit_and_save(
    job: TrainingJob, shards: ActivationShards, group: ProcessGroup = SINGLE_PROCESS
) -> None:
    """Trains an SAE, or goes on from its last checkpoint; writes the SAE-Lens folder."""
    import torch

    config, out = job.config, job.out
    torch.manual_seed(config.seed)
    mean, scale = statistics(shards)
    sae = make_sae(config, shards, mean, scale, job.device)
    fit(config, sae, shards, mean, scale, out / WORK / CHECKPOINT, out / LOG, group)
    if group.rank == 0:
        _save(job, sae.to("cpu"), mean, scale, shards.manifest["norm_limit"])


def make_sae(
    config: "TrainConfig",
    shards: ActivationShards,
    mean: "torch.Tensor",
    scale: float,
    device: str = "cpu",
) -> "TrainingSAE[Any]":
    """Returns the SAE that a recipe begins with.

    Raises:
        UserError: The architecture has no such options.
    """
    import torch
    from sae_lens import TrainingSAE

    from saetask.training.sparse_topk import SparseTopKTrainingSAE

    config_class = TrainingSAE.get_sae_config_class_for_architecture(config.architecture)
    try:
        sae_config = config_class(
            d_in=shards.d_in, d_sae=config.d_sae, apply_b_dec_to_input=True, **config.options
        )
    except TypeError as error:
        raise UserError(f"options of architecture '{config.architecture}': {error}.") from error
    sae_class: Any = TrainingSAE.get_sae_class_for_architecture(config.architecture)
    if config.architecture == "topk" and device == "cpu":
        sae_class = SparseTopKTrainingSAE
    sae: TrainingSAE[Any] = sae_class(sae_config)
    if config.initial_decoder == "data":
        chosen = torch.randint(len(shards), (config.d_sae,))
        rows = (shards.rows(chosen) - mean) * scale
        rows *= sae.W_dec.norm(dim=-1, keepdim=True) / rows.norm(dim=-1, keepdim=True)
        sae.W_dec.data.copy_(rows)
        sae.W_enc.data.copy_(rows.T)
    return sae.to(device)


def trainer_config(config: "TrainConfig", device: str = "cpu") -> "SAETrainerConfig":
    """Returns the settings of SAE-Lens's trainer that a recipe stands for."""
    from sae_lens.config import SAETrainerConfig

    n_steps = config.samples // config.batch_size
    return SAETrainerConfig(
        total_training_samples=n_steps * config.batch_size,
        train_batch_size_samples=config.batch_size,
        device=device,
        lr=config.lr,
        lr_end=config.lr / 20,
        lr_warm_up_steps=min(config.warm_up_steps, n_steps // 4),
        lr_decay_steps=int(n_steps * config.decay_share),
        dead_feature_window=max(1, config.dead_after_samples // config.batch_size),
    )


def fit(
    config: "TrainConfig",
    sae: "TrainingSAE[Any]",
    shards: ActivationShards,
    mean: "torch.Tensor",
    scale: float,
    checkpoint: Path,
    log: Path,
    group: ProcessGroup = SINGLE_PROCESS,
) -> None:
    """Steps SAE-Lens's trainer to the end, with checkpoints and a JSONL log."""
    from sae_lens.training.sae_trainer import SAETrainer
    from tqdm import tqdm

    n_steps = config.samples // config.batch_size
    trainer = SAETrainer(trainer_config(config, str(sae.device)), sae, iter(()))
    for param_group in trainer.optimizer.param_groups:
        param_group["fused"] = True
    load_checkpoint(trainer, checkpoint)
    first, start = group.rank == 0, trainer.n_training_steps
    if not group.agrees(start, sae.device):
        raise UserError(
            f"The processes see different checkpoints in {checkpoint.parent}; give an --out in a "
            "folder that all machines share."
        )
    share_gradients(sae, group)
    if first:
        truncate_log(log, start)
    data = _placed(
        batches(shards, config.batch_size, config.seed, start, group.part(config.batch_size)),
        sae.device,
    )
    mean = mean.to(sae.device)
    with tqdm(
        total=n_steps, initial=start, unit="step", desc="train", disable=group.size > 1
    ) as bar:
        while trainer.n_training_steps < n_steps:
            batch = (next(data) - mean) * scale
            output = step(trainer, batch, group)
            trainer.n_training_steps += 1
            bar.update()
            if trainer.n_training_steps % 20 == 0 or trainer.n_training_steps == n_steps:
                line = _log_line(trainer, output, group)
                bar.set_postfix(fvu=f"{line['fvu']:.3f}", dead=line["dead"])
                if first:
                    with user_error_on_failed_write(log), log.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(line) + "\n")
            if first and trainer.n_training_steps % config.checkpoint_steps == 0:
                save_checkpoint(trainer, checkpoint)
    trainer.set_final_sae_metadata()


def _placed(rows: "Iterator[torch.Tensor]", device: "torch.device") -> "Iterator[torch.Tensor]":
    """Yields batches where they are needed; elsewhere than here, the next is gathered meanwhile."""
    if device.type == "cpu":
        yield from rows
        return
    pinned = device.type == "cuda"  # only from pinned memory is a copy not waited for
    for batch in prefetch(batch.pin_memory() if pinned else batch for batch in rows):
        yield batch.to(device, non_blocking=True)


def _log_line(trainer: "SAETrainer[Any, Any]", output: Any, group: ProcessGroup) -> dict[str, Any]:
    """Returns the figures of a step, over the parts of all processes."""
    import torch

    with torch.no_grad():
        size = len(output.sae_in) * group.size
        mean = group.sum(output.sae_in.sum(0)) / size
        error = (output.sae_out - output.sae_in).pow(2).sum()
        variance = (output.sae_in - mean).pow(2).sum()
        firing = output.feature_acts.bool().sum()
        parts = torch.stack([error, variance, firing.to(error), output.loss / group.size])
        error, variance, firing, loss = group.sum(parts).tolist()
    return {
        "step": trainer.n_training_steps,
        "samples": trainer.n_training_samples,
        "loss": loss,
        "fvu": error / variance,
        "l0": firing / size,
        "dead": int(trainer.dead_neurons.sum()),
        "lr": trainer.optimizer.param_groups[0]["lr"],
    }


def _save(
    job: TrainingJob, sae: "TrainingSAE[Any]", mean: "torch.Tensor", scale: float, norm_limit: float
) -> None:
    """Folds centring and scale into the weights and writes the SAE-Lens folder in bfloat16."""
    from sae_lens import SAE

    config, out = job.config, job.out
    sae.fold_activation_norm_scaling_factor(scale)
    sae.b_dec.data += mean  # the encoder's input is x - b_dec, so this centres it as well
    metadata = sae.cfg.metadata
    metadata.model_name = config.model if config.model == DEFAULT_MODEL else job.model_name
    metadata.hook_name = config.harvest.hook_name
    metadata.context_size = config.harvest.corpus.context_size
    metadata.prepend_bos = True
    metadata.norm_limit = norm_limit
    with atomic_path(out / WORK / "inference") as temporary:
        sae.save_inference_model(temporary)
        inference: SAE[Any] = SAE.load_from_disk(temporary, dtype="bfloat16")
        inference.cfg.dtype = "bfloat16"
        inference.save_model(temporary)
    for name in ("cfg.json", "sae_weights.safetensors"):
        (out / WORK / "inference" / name).replace(out / name)
