"""Training an SAE: a recipe in, an SAE-Lens folder with measured figures out.

Activations are harvested once; `training_process.py` trains on them, in this process or in several;
the saved folder is measured here.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from saetask.compute.config import LOCAL, ComputeConfig, open_executor
from saetask.data.corpus import token_rows
from saetask.errors import UserError
from saetask.models.hooks import resolve_hook_name
from saetask.models.loading import (
    load_model,
    model_device,
    model_fingerprint,
    model_name,
    model_tokenizer,
)
from saetask.training.activation_store import ActivationShards, HarvestConfig, harvest
from saetask.training.config import ACROSS_THE_BATCH, ARCHITECTURES, TrainConfig
from saetask.training.trainer import LOG, SHARDS, WORK, TrainingJob, fit_and_save, train_in_group
from saetask.utils.files import content_hash, remove_partial_writes, write_json, write_text

EVALUATION_BATCH = 1024
LOSS_ROWS = 40
SECONDS_BETWEEN_LOOKS = 1.0


def train(
    config: TrainConfig,
    out: Path,
    base: Path = Path(),
    engine: ComputeConfig = LOCAL,
    workers: int = 1,
) -> dict[str, Any]:
    """Trains an SAE, or resumes training it, and measures the saved folder.

    Args:
        config: The recipe.
        out: Gets `cfg.json`, `sae_weights.safetensors`, `metrics.json`, `training.jsonl` and a
            model card; `work/` below it holds shards and checkpoints and may be deleted after.
        base: Folder that relative corpus paths are taken from.
        engine: Where activations are harvested.
        workers: Processes that train together, of a Ray cluster; 1 is this process. Another number
            gives the same SAE, but for rounding, and may be given when a run is resumed.

    Returns:
        The figures of `metrics.json`.

    Raises:
        UserError: The recipe contradicts itself or can not be trained by so many, the corpus is
            too short, `out` belongs to another recipe, or the engine can not be opened.
    """
    engine.check()
    if config.architecture not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise UserError(f"Unknown architecture '{config.architecture}'; known: {known}.")
    check_workers(config, engine, workers)
    work = out / WORK
    model = load_model(config.model)
    resolve_hook_name(model, config.harvest.hook_name)
    identity = content_hash({**asdict(config), "model": model_fingerprint(model)})
    _claim(out, identity)
    test_config = HarvestConfig(
        **{**vars(config.harvest), "split": "test", "tokens": config.test_tokens}
    )
    with open_executor(engine, config.model, model) as opened:
        shards = harvest(model, config.harvest, out / SHARDS, base, opened)
        test_shards = harvest(model, test_config, work / "test", base, opened)
    job = TrainingJob(
        config,
        out.resolve(),
        model_name(model),
        shards.manifest["identity"],
        len(shards.shards),
        "cuda" if model_device(model).type == "cuda" else "cpu",
    )
    if workers == 1:
        fit_and_save(job, shards)
    else:
        _train_together(job, engine, workers)
    rows = [
        list(row.token_ids)
        for row, _ in zip(
            token_rows(config.harvest.corpus, model_tokenizer(model), "test", base),
            range(LOSS_ROWS),
        )
    ]
    return _measure(model, config, out, test_shards, rows, len(shards))


def _claim(out: Path, identity: str) -> None:
    path = out / WORK / "identity.json"
    if path.is_file() and json.loads(path.read_text())["identity"] != identity:
        raise UserError(f"{out} holds a run of another recipe; give an empty output folder.")
    if not path.is_file() and (out / "cfg.json").exists():
        raise UserError(f"{out} already holds an SAE; give an empty output folder.")
    remove_partial_writes(out)
    write_json(path, {"identity": identity})


def check_workers(config: TrainConfig, engine: ComputeConfig, workers: int) -> None:
    """Refuses what several processes can not train together.

    Raises:
        UserError: They need Ray; the batch can not be divided among them, or the architecture
            looks across all of it.
    """
    if workers < 1:
        raise UserError(f"--workers is {workers}; it must be 1 or more.")
    if workers == 1:
        return
    if engine.engine != "ray":
        raise UserError(f"--workers is {workers}; more than one needs --engine ray.")
    if config.architecture in ACROSS_THE_BATCH:
        raise UserError(
            f"Architecture '{config.architecture}' chooses features across the whole batch, so "
            f"--workers {workers} would train another SAE; leave --workers out, or take topk."
        )
    if config.batch_size % workers:
        raise UserError(
            f"batch_size is {config.batch_size}, which {workers} workers can not share evenly; "
            "change one of the two."
        )


def _train_together(job: TrainingJob, engine: ComputeConfig, workers: int) -> None:
    """Trains in the workers of a Ray cluster, with a bar here that follows their log."""
    from saetask.compute.ray_training import run_distributed

    with _progress(job):
        run_distributed(engine, workers, job.device, partial(train_in_group, job))


@contextmanager
def _progress(job: TrainingJob) -> Iterator[None]:
    """Shows the last step in the log of a training that runs elsewhere."""
    from tqdm import tqdm

    done = threading.Event()
    log, n_steps = job.out / LOG, job.config.samples // job.config.batch_size

    def follow() -> None:
        with tqdm(total=n_steps, unit="step", desc="train") as bar:
            while not done.wait(SECONDS_BETWEEN_LOOKS):
                if log.is_file() and (lines := log.read_text().splitlines()):
                    line = json.loads(lines[-1])
                    bar.set_postfix(fvu=f"{line['fvu']:.3f}", dead=line["dead"], refresh=False)
                    bar.update(line["step"] - bar.n)

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    try:
        yield
    finally:
        done.set()
        follower.join()


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

    from saetask.saes.loading import load_sae
    from saetask.saes.metrics import cross_entropy_recovered, measure
    from saetask.training.model_card import model_card

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
