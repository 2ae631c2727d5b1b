"""Training an SAE: a recipe in, an SAE-Lens folder with measured figures out.

SAE-Lens's training SAEs and its trainer do the training; here are the data (activations harvested
once, centred and scaled), checkpoints, and the folding that makes the saved weights take raw
activations.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saetask.cache import (
    atomic_path,
    content_hash,
    remove_halves,
    write_json,
    write_text,
    writing,
)
from saetask.checkpoints import CHECKPOINT, cut_log, load_checkpoint, save_checkpoint
from saetask.corpus import token_rows
from saetask.engines.opening import LOCAL, EngineConfig, open_engine
from saetask.errors import UserError
from saetask.harvest import ActivationShards, HarvestConfig, batches, harvest, statistics
from saetask.hooks import resolve_hook_name
from saetask.models import (
    DEFAULT_MODEL,
    load_model,
    model_fingerprint,
    model_name,
    model_tokenizer,
)

if TYPE_CHECKING:
    import torch
    from sae_lens import TrainingSAE
    from sae_lens.config import SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

ARCHITECTURES = ("topk", "batchtopk", "jumprelu", "standard", "gated", "matryoshka_batchtopk")
EVALUATION_BATCH = 1024
LOSS_ROWS = 40


@dataclass(frozen=True)
class TrainConfig:
    """A recipe."""

    harvest: HarvestConfig
    """Which activations."""
    model: str = DEFAULT_MODEL
    """The model, as `saetask.load_model` takes it."""
    architecture: str = "topk"
    """One of `ARCHITECTURES`, as SAE-Lens names them."""
    d_sae: int = 8192
    """Number of features."""
    options: dict[str, Any] = field(default_factory=dict)
    """The architecture's own options, such as `k`, passed to SAE-Lens's config."""
    samples: int = 2_000_000
    """Activations trained on; more than were harvested means several epochs."""
    batch_size: int = 2048
    """Activations in one step."""
    lr: float = 8e-4
    """Peak learning rate of Adam."""
    warm_up_steps: int = 50
    """Steps of linear warm-up."""
    decay_share: float = 0.25
    """Last share of the run, in which the rate falls to a twentieth."""
    dead_after_samples: int = 250_000
    """A feature silent for so many activations counts as dead and gets the auxiliary loss."""
    initial_decoder: str = "data"
    """`data`: decoder rows start as centred activations; `random`: as SAE-Lens draws them."""
    test_tokens: int = 60_000
    """Activations of held-out documents that the saved SAE is measured on."""
    checkpoint_steps: int = 200
    """Steps between two checkpoints."""
    seed: int = 0
    """Seed of initialisation and shuffling."""


def train(
    config: TrainConfig,
    out: Path,
    base: Path = Path(),
    engine: EngineConfig = LOCAL,
) -> dict[str, Any]:
    """Trains an SAE, or resumes training it, and measures the saved folder.

    Args:
        config: The recipe.
        out: Gets `cfg.json`, `sae_weights.safetensors`, `metrics.json`, `training.jsonl` and a
            model card; `work/` below it holds shards and checkpoints and may be deleted after.
        base: Folder that relative corpus paths are taken from.
        engine: Where activations are harvested.

    Returns:
        The figures of `metrics.json`.

    Raises:
        UserError: The recipe contradicts itself, the corpus is too short, `out` belongs to
            another recipe, or the engine can not be opened.
    """
    import torch

    engine.check()
    if config.architecture not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise UserError(f"Unknown architecture '{config.architecture}'; known: {known}.")
    work = out / "work"
    model = load_model(config.model)
    resolve_hook_name(model, config.harvest.hook_name)
    identity = content_hash({**asdict(config), "model": model_fingerprint(model)})
    _claim(out, identity)
    test_config = HarvestConfig(
        **{**vars(config.harvest), "split": "test", "tokens": config.test_tokens}
    )
    with open_engine(engine, config.model, model) as opened:
        shards = harvest(model, config.harvest, work / "train", base, opened)
        test_shards = harvest(model, test_config, work / "test", base, opened)
    torch.manual_seed(config.seed)
    mean, scale = statistics(shards)
    sae = _make_sae(config, shards, mean, scale)
    _fit(config, sae, shards, mean, scale, work / CHECKPOINT, out / "training.jsonl")
    _save(config, sae, mean, scale, shards.manifest["norm_limit"], model_name(model), out)
    rows = [
        list(row.token_ids)
        for row, _ in zip(
            token_rows(config.harvest.corpus, model_tokenizer(model), "test", base),
            range(LOSS_ROWS),
        )
    ]
    return _measure(model, config, out, test_shards, rows, len(shards))


def _claim(out: Path, identity: str) -> None:
    path = out / "work" / "identity.json"
    if path.is_file() and json.loads(path.read_text())["identity"] != identity:
        raise UserError(f"{out} holds a run of another recipe; give an empty output folder.")
    if not path.is_file() and (out / "cfg.json").exists():
        raise UserError(f"{out} already holds an SAE; give an empty output folder.")
    remove_halves(out)
    write_json(path, {"identity": identity})


def _make_sae(
    config: TrainConfig, shards: ActivationShards, mean: "torch.Tensor", scale: float
) -> "TrainingSAE[Any]":
    import torch
    from sae_lens import TrainingSAE

    from saetask.sparse_topk import SparseTopKTrainingSAE

    config_class = TrainingSAE.get_sae_config_class_for_architecture(config.architecture)
    try:
        sae_config = config_class(
            d_in=shards.d_in, d_sae=config.d_sae, apply_b_dec_to_input=True, **config.options
        )
    except TypeError as error:
        raise UserError(f"options of architecture '{config.architecture}': {error}.") from error
    sae_class: Any = TrainingSAE.get_sae_class_for_architecture(config.architecture)
    if config.architecture == "topk":
        sae_class = SparseTopKTrainingSAE
    sae: TrainingSAE[Any] = sae_class(sae_config)
    if config.initial_decoder == "data":
        chosen = torch.randint(len(shards), (config.d_sae,))
        rows = (shards.rows(chosen) - mean) * scale
        rows *= sae.W_dec.norm(dim=-1, keepdim=True) / rows.norm(dim=-1, keepdim=True)
        sae.W_dec.data.copy_(rows)
        sae.W_enc.data.copy_(rows.T)
    return sae


def trainer_config(config: TrainConfig) -> "SAETrainerConfig":
    """Returns the settings of SAE-Lens's trainer that a recipe stands for."""
    from sae_lens.config import SAETrainerConfig

    n_steps = config.samples // config.batch_size
    return SAETrainerConfig(
        total_training_samples=n_steps * config.batch_size,
        train_batch_size_samples=config.batch_size,
        lr=config.lr,
        lr_end=config.lr / 20,
        lr_warm_up_steps=min(config.warm_up_steps, n_steps // 4),
        lr_decay_steps=int(n_steps * config.decay_share),
        dead_feature_window=max(1, config.dead_after_samples // config.batch_size),
    )


def _fit(
    config: TrainConfig,
    sae: "TrainingSAE[Any]",
    shards: ActivationShards,
    mean: "torch.Tensor",
    scale: float,
    checkpoint: Path,
    log: Path,
) -> None:
    """Steps SAE-Lens's trainer to the end, with checkpoints and a JSONL log."""
    from sae_lens.training.sae_trainer import SAETrainer
    from tqdm import tqdm

    n_steps = config.samples // config.batch_size
    trainer = SAETrainer(trainer_config(config), sae, iter(()))
    for group in trainer.optimizer.param_groups:
        group["fused"] = True
    load_checkpoint(trainer, checkpoint)
    cut_log(log, trainer.n_training_steps)
    data = batches(shards, config.batch_size, config.seed, trainer.n_training_steps)
    with tqdm(total=n_steps, initial=trainer.n_training_steps, unit="step", desc="train") as bar:
        while trainer.n_training_steps < n_steps:
            batch = (next(data) - mean) * scale
            output = trainer.step(batch)
            trainer.n_training_steps += 1
            bar.update()
            if trainer.n_training_steps % 20 == 0 or trainer.n_training_steps == n_steps:
                line = _log_line(trainer, output)
                bar.set_postfix(fvu=f"{line['fvu']:.3f}", dead=line["dead"])
                with writing(log), log.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
            if trainer.n_training_steps % config.checkpoint_steps == 0:
                save_checkpoint(trainer, checkpoint)
    trainer.set_final_sae_metadata()


def _log_line(trainer: "SAETrainer[Any, Any]", output: Any) -> dict[str, Any]:
    import torch

    with torch.no_grad():
        error = (output.sae_out - output.sae_in).pow(2).sum().item()
        variance = (output.sae_in - output.sae_in.mean(0)).pow(2).sum().item()
        firing = output.feature_acts.bool().sum().item()
    return {
        "step": trainer.n_training_steps,
        "samples": trainer.n_training_samples,
        "loss": output.loss.item(),
        "fvu": error / variance,
        "l0": firing / len(output.sae_in),
        "dead": int(trainer.dead_neurons.sum()),
        "lr": trainer.optimizer.param_groups[0]["lr"],
    }


def _save(
    config: TrainConfig,
    sae: "TrainingSAE[Any]",
    mean: "torch.Tensor",
    scale: float,
    norm_limit: float,
    model: str,
    out: Path,
) -> None:
    """Folds centring and scale into the weights and writes the SAE-Lens folder in bfloat16."""
    from sae_lens import SAE

    sae.fold_activation_norm_scaling_factor(scale)
    sae.b_dec.data += mean  # the encoder's input is x - b_dec, so this centres it as well
    metadata = sae.cfg.metadata
    metadata.model_name = config.model if config.model == DEFAULT_MODEL else model
    metadata.hook_name = config.harvest.hook_name
    metadata.context_size = config.harvest.corpus.context_size
    metadata.prepend_bos = True
    metadata.norm_limit = norm_limit
    with atomic_path(out / "work" / "inference") as temporary:
        sae.save_inference_model(temporary)
        inference: SAE[Any] = SAE.load_from_disk(temporary, dtype="bfloat16")
        inference.cfg.dtype = "bfloat16"
        inference.save_model(temporary)
    for name in ("cfg.json", "sae_weights.safetensors"):
        (out / "work" / "inference" / name).replace(out / name)


def _measure(
    model: Any,
    config: TrainConfig,
    out: Path,
    test_shards: ActivationShards,
    rows: list[list[int]],
    n_activations: int,
) -> dict[str, Any]:
    """Measures the saved folder on held-out documents; writes the figures and the model card."""
    import torch

    from saetask.model_card import model_card
    from saetask.sae_metrics import cross_entropy_recovered, measure
    from saetask.saes import load_sae

    sae = load_sae(out)
    indices = torch.arange(len(test_shards)).split(EVALUATION_BATCH)
    found = measure(sae, (test_shards.rows(i) for i in indices))
    metrics = {
        "normalised_mse": found.normalised_mse,
        "fvu": found.fvu,
        "l0": found.l0,
        "sparsity": found.l0 / config.d_sae,
        "dead_share": 1 - found.alive_share,
        "cross_entropy_recovered": cross_entropy_recovered(model, sae, rows),
        "test_tokens": found.n_tokens,
        "activations_harvested": n_activations,
        "samples_trained": config.samples // config.batch_size * config.batch_size,
    }
    write_json(out / "metrics.json", metrics)
    write_text(out / "README.md", model_card(config, metrics))
    return metrics
