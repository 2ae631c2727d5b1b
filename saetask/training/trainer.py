"""Trains an SAE on stored activations and saves it as an SAE-Lens folder.

Either one process does so alone, or several do it together, each on its part of every batch; then
the first of them writes the log, the checkpoints and the saved folder.
"""

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saetask.errors import UserError
from saetask.models.loading import DEFAULT_MODEL
from saetask.training.activation_store import (
    MANIFEST,
    ActivationShards,
    TrainingData,
    batch_indices,
    batches,
    shard_name,
)
from saetask.training.checkpoints import CHECKPOINT
from saetask.training.distributed import SINGLE_PROCESS, ProcessGroup, share_gradients, step
from saetask.training.divergence import (
    DivergenceError,
    stop_if_loss_diverged,
    stop_if_weights_diverged,
)
from saetask.training.recipe import make_sae_config
from saetask.training.record import TrainingRecord
from saetask.training.unigram_relief import TokenMeans, relieve_unigrams
from saetask.utils.files import atomic_path, read_json
from saetask.utils.parallel import prefetch
from saetask.utils.progress import stage

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float
    from sae_lens import TrainingSAE
    from sae_lens.config import SAETrainerConfig

    from saetask.training.config import TrainConfig

WORK = Path("work")
SHARDS = WORK / "train"
LOG = "training.jsonl"
TEST_SHARDS = WORK / "test"
DIVERGED = WORK / "diverged"
"""Marks an output folder whose training diverged, so that another recipe may take it."""


@dataclass(frozen=True)
class TrainingJob:
    """What to train an SAE on, and where to save it."""

    config: "TrainConfig"
    out: Path
    """The SAE folder; its harvest is finished."""
    model_name: str
    """Name of the model, for the SAE's metadata."""
    identity: str
    """Identity of the harvest."""
    n_shards: int
    """Number of its shards to train on."""
    device: str
    """`cpu` or `cuda`."""


def train_in_group(job: TrainingJob, rank: int, size: int) -> None:
    """Trains as one of several processes, on shards in a folder that all of them share.

    Raises:
        UserError: This machine does not see the folder, or sees another harvest in it.
    """
    fit_and_save(job, _open_shards(job), ProcessGroup(rank, size))


def _open_shards(job: TrainingJob) -> ActivationShards:
    folder = job.out / SHARDS
    manifest, problem = folder / MANIFEST, None
    n_seen = sum((folder / shard_name(number)).is_file() for number in range(job.n_shards))
    if not manifest.is_file():
        problem = f"does not see {folder}"
    elif (identity := read_json(manifest)["identity"]) != job.identity:
        problem = f"sees another harvest in {folder} ({identity}, not {job.identity})"
    elif n_seen < job.n_shards:
        problem = f"sees {n_seen} of the {job.n_shards} shards in {folder}"
    if problem:
        raise UserError(
            f"The Ray worker on {socket.gethostname()}, process {os.getpid()}, {problem}; give an "
            "--out in a folder that all machines share under the same path."
        )
    return ActivationShards(folder, job.n_shards)


def fit_and_save(
    job: TrainingJob, shards: ActivationShards, group: ProcessGroup = SINGLE_PROCESS
) -> None:
    """Trains an SAE, from its last checkpoint if there is one, and writes the SAE-Lens folder."""
    import torch

    config, out = job.config, job.out
    torch.manual_seed(config.seed)
    data = TrainingData.from_shards(shards)
    sae = make_sae(config, data, job.device)
    record = TrainingRecord(out / WORK / CHECKPOINT, out / LOG, config.checkpoint_steps, group)
    try:
        fit(config, sae, data, record)
    except DivergenceError:
        if group.rank == 0:
            (out / DIVERGED).touch()
        raise
    if group.rank == 0:
        _save(job, sae.to("cpu"), data)


def make_sae(config: "TrainConfig", data: TrainingData, device: str = "cpu") -> "TrainingSAE[Any]":
    """Returns the initial SAE of a recipe."""
    import torch
    from sae_lens import TrainingSAE

    shards = data.shards
    sae_config = make_sae_config(config, shards.d_in)
    sae_class: Any = TrainingSAE.get_sae_class_for_architecture(config.architecture)
    if device == "cpu":
        sae_class = _sparse_class(sae_config) or sae_class
    sae: TrainingSAE[Any] = sae_class(sae_config)
    if config.initial_decoder == "data":
        indices = torch.randint(len(shards), (config.d_sae,))
        rows = data.normalised(shards.rows(indices))
        rows *= sae.W_dec.norm(dim=-1, keepdim=True) / rows.norm(dim=-1, keepdim=True)
        sae.W_dec.data.copy_(rows)
        sae.W_enc.data.copy_(rows.T)
    return sae.to(device)


def _sparse_class(sae_config: Any) -> "type[TrainingSAE[Any]] | None":
    """Returns the class that trains an SAE faster on a CPU, with the same loss, if there is one."""
    from saetask.training.sparse_matryoshka import SparseMatryoshkaTrainingSAE
    from saetask.training.sparse_topk import SparseTopKTrainingSAE

    match sae_config.architecture():
        case "topk":
            return SparseTopKTrainingSAE
        case "matryoshka_batchtopk" if not sae_config.use_matryoshka_aux_loss:
            return SparseMatryoshkaTrainingSAE
    return None


def trainer_config(config: "TrainConfig", device: str = "cpu") -> "SAETrainerConfig":
    """Returns the settings of SAE-Lens's trainer for a recipe."""
    from sae_lens.config import SAETrainerConfig

    n_steps = config.n_steps
    return SAETrainerConfig(
        total_training_samples=n_steps * config.batch_size,
        train_batch_size_samples=config.batch_size,
        device=device,
        lr=config.lr,
        lr_end=config.lr,  # of no effect: a constant rate, then a decay to 0
        lr_warm_up_steps=min(config.warm_up_steps, n_steps // 4),
        lr_decay_steps=int(n_steps * config.decay_share),
        dead_feature_window=max(1, config.dead_after_samples // config.batch_size),
    )


def fit(
    config: "TrainConfig", sae: "TrainingSAE[Any]", data: TrainingData, record: TrainingRecord
) -> None:
    """Steps SAE-Lens's trainer from the last checkpoint to the end.

    Args:
        config: The recipe.
        sae: The initial SAE, which is trained in place.
        data: The activations.
        record: Log and checkpoint, and the processes that train together.

    Raises:
        UserError: The processes have different checkpoints, the disk is full, or the training
            diverges (`DivergenceError`); the last checkpoint stays as it was.
    """
    from sae_lens.training.sae_trainer import SAETrainer

    group = record.group
    trainer = SAETrainer(trainer_config(config, str(sae.device)), sae, iter(()))
    for param_group in trainer.optimizer.param_groups:
        param_group["fused"] = True
    start = record.resume(trainer)
    share_gradients(sae, group)
    data = replace(data, mean=data.mean.to(sae.device))
    part = group.part(config.batch_size)
    if config.unigram_relief:
        _relieve_unigrams(config, sae, data, start, part)
    raw_batches = _on_device(
        batches(data.shards, config.batch_size, config.seed, start, part), sae.device
    )
    shown = config.n_steps - start if group.size == 1 else 0  # a group is shown by its parent
    with stage("train", shown, "step") as advance:
        while trainer.n_training_steps < config.n_steps:
            output = step(trainer, data.normalised(next(raw_batches)), group)
            trainer.n_training_steps += 1
            advance(1)
            is_last = trainer.n_training_steps == config.n_steps
            stop_if_loss_diverged(config, trainer, output.loss)
            if is_last or record.saves_after(trainer.n_training_steps):
                stop_if_weights_diverged(config, trainer)
            record.after_step(trainer, output, is_last)
    trainer.set_final_sae_metadata()


def _relieve_unigrams(
    config: "TrainConfig", sae: "TrainingSAE[Any]", data: TrainingData, start: int, part: slice
) -> None:
    """Adds the loss of `unigram_relief` to the steps from `start` on."""
    means = TokenMeans(data)
    indices = batch_indices(len(data.shards), config.batch_size, config.seed, start, part)
    n_features = max(1, int(config.relieved_share * config.d_sae))
    relieve_unigrams(sae, config.unigram_relief, n_features, map(means.at, indices))


def _on_device(
    host_batches: "Iterator[Float[torch.Tensor, 'batch d_in']]", device: "torch.device"
) -> "Iterator[Float[torch.Tensor, 'batch d_in']]":
    """Yields batches on a device; for another device than the CPU, the next is prefetched."""
    if device.type == "cpu":
        yield from host_batches
        return
    pinned = device.type == "cuda"  # only copies from pinned memory are asynchronous
    for batch in prefetch(batch.pin_memory() if pinned else batch for batch in host_batches):
        yield batch.to(device, non_blocking=True)


def _save(job: TrainingJob, sae: "TrainingSAE[Any]", data: TrainingData) -> None:
    """Folds mean and scale into the weights and writes the SAE-Lens folder in bfloat16."""
    from sae_lens import SAE

    config, out = job.config, job.out
    sae.fold_activation_norm_scaling_factor(data.scale)
    sae.b_dec.data += data.mean  # the encoder's input is x - b_dec, so this centres it as well
    metadata = sae.cfg.metadata
    metadata.model_name = config.model if config.model == DEFAULT_MODEL else job.model_name
    metadata.hook_name = config.harvest.hook_name
    metadata.context_size = config.harvest.corpus.context_size
    metadata.prepend_bos = True
    metadata.norm_limit = data.shards.manifest["norm_limit"]
    with atomic_path(out / WORK / "inference") as temporary:
        sae.save_inference_model(temporary)
        inference: SAE[Any] = SAE.load_from_disk(temporary, dtype="bfloat16")
        inference.cfg.dtype = "bfloat16"
        inference.save_model(temporary)
    for name in ("cfg.json", "sae_weights.safetensors"):
        (out / WORK / "inference" / name).replace(out / name)
