"""Trains an SAE from a recipe: harvest, training, measurement of the saved SAE-Lens folder."""

import itertools
import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saetask.compute.config import LOCAL, ComputeConfig, open_executor
from saetask.data.corpus import rows_passed_over, token_rows
from saetask.errors import UserError
from saetask.models.hooks import resolve_hook_name
from saetask.models.loading import (
    load_model,
    model_device,
    model_name,
    model_tokenizer,
)
from saetask.training.activation_store import MANIFEST, ActivationShards
from saetask.training.checkpoints import CHECKPOINT
from saetask.training.config import BATCH_SELECTING_ARCHITECTURES, HarvestConfig, TrainConfig
from saetask.training.harvest import harvest, harvest_identity
from saetask.training.recipe import check_recipe
from saetask.training.trainer import (
    DIVERGED,
    LOG,
    SHARDS,
    TEST_SHARDS,
    WORK,
    TrainingJob,
    fit_and_save,
    train_in_group,
)
from saetask.utils.files import (
    content_hash,
    read_json,
    remove_partial_writes,
    write_json,
    write_text,
)
from saetask.utils.progress import stage

if TYPE_CHECKING:
    from saetask.models.loading import Model

EVALUATION_BATCH = 1024
LOSS_ROWS = 40
"""Number of test rows that the recovered cross-entropy is measured on."""
SECONDS_BETWEEN_LOOKS = 1.0
"""Interval at which the progress bar reads the log, in seconds."""


def train(
    config: TrainConfig,
    out: Path,
    base: Path = Path(),
    compute: ComputeConfig = LOCAL,
    workers: int = 1,
) -> dict[str, Any]:
    """Trains an SAE, or resumes training it, and measures the saved folder.

    Args:
        config: The recipe.
        out: Gets `cfg.json`, `sae_weights.safetensors`, `metrics.json`, `training.jsonl` and a
            model card; `work/` below it holds shards and checkpoints and may be deleted after.
        base: Folder that relative corpus paths are taken from.
        compute: Where activations are harvested.
        workers: Number of processes of a Ray cluster that train together; 1 is this process. The
            SAE is the same for any number, up to rounding, and a resumed run may use another one.

    Returns:
        The figures of `metrics.json`.

    Raises:
        UserError: The recipe contradicts itself or can not be trained by this number of processes,
            the corpus is too short, `out` belongs to another recipe, or the cluster can not be
            reached.
    """
    compute.check()
    check_workers(config, compute, workers)
    check_recipe(config)
    model = load_model(config.model)
    resolve_hook_name(model, config.harvest.hook_name)
    test_config = replace(config.harvest, split="test", tokens=config.test_tokens)
    harvests = {
        out / SHARDS: harvest_identity(model, config.harvest, base),
        out / TEST_SHARDS: harvest_identity(model, test_config, base),
    }
    _claim(out, content_hash({**asdict(config), "harvests": [*harvests.values()]}), harvests)
    with open_executor(compute, config.model, model) as executor:
        shards = harvest(model, config.harvest, out / SHARDS, base, executor)
        test_shards = harvest(model, test_config, out / TEST_SHARDS, base, executor)
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
        _train_distributed(job, compute, workers)
    rows = _test_rows(model, config.harvest, base)
    passed_over = rows_passed_over(config.harvest.corpus, base)
    return _measure(model, job, test_shards, rows, len(shards), passed_over)


def _test_rows(model: "Model", config: HarvestConfig, base: Path) -> list[list[int]]:
    """Returns the first `LOSS_ROWS` token rows of the test split."""
    stream = token_rows(config.corpus, model_tokenizer(model), "test", base)
    return [list(row.token_ids) for row in itertools.islice(stream, LOSS_ROWS)]


def _claim(out: Path, identity: str, harvests: dict[Path, str]) -> None:
    """Marks an output folder as this run's.

    What a start with another recipe has left is removed if nothing was trained, or if that training
    diverged; activations that this run needs are kept.

    Args:
        out: The folder.
        identity: Hash of the recipe, the model and the texts.
        harvests: Identity of each harvest, by folder.

    Raises:
        UserError: It holds another run or an SAE.
    """
    path = out / WORK / "identity.json"
    claimed = path.is_file()
    if claimed and read_json(path)["identity"] != identity:
        if held := _trained(out):
            raise UserError(
                f"{out} holds {held} of another recipe, model or corpus; give another --out, or "
                "remove that folder."
            )
        for file in (CHECKPOINT, DIVERGED.name, "inference"):
            _remove(out / WORK / file)
        _remove(out / LOG)
        for folder, needed in harvests.items():
            manifest = folder / MANIFEST
            if not manifest.is_file() or read_json(manifest)["identity"] != needed:
                _remove(folder)
    elif not claimed and (out / "cfg.json").exists():
        raise UserError(f"{out} already holds an SAE; give another --out.")
    remove_partial_writes(out)
    write_json(path, {"identity": identity})


def _trained(out: Path) -> str:
    """Returns what was trained in a claimed folder, in words; empty if nothing of use."""
    if (out / "cfg.json").exists():
        return "an SAE"
    checkpoint = out / WORK / CHECKPOINT
    return "unfinished training" if checkpoint.exists() and not (out / DIVERGED).exists() else ""


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def check_workers(config: TrainConfig, compute: ComputeConfig, workers: int) -> None:
    """Checks that a number of processes can train a recipe together.

    Raises:
        UserError: They need Ray, the batch can not be divided among them, or the architecture
            selects features across all of it.
    """
    if workers < 1:
        raise UserError(f"--workers is {workers}; it must be 1 or more.")
    if workers == 1:
        return
    if compute.engine != "ray":
        raise UserError(f"--workers is {workers}; more than one needs --engine ray.")
    if config.architecture in BATCH_SELECTING_ARCHITECTURES:
        raise UserError(
            f"Architecture '{config.architecture}' chooses features across the whole batch, so "
            f"--workers {workers} would train another SAE; leave --workers out, or take topk."
        )
    if config.batch_size % workers:
        raise UserError(
            f"batch_size is {config.batch_size}, which {workers} workers can not share evenly; "
            "change one of the two."
        )


def _train_distributed(job: TrainingJob, compute: ComputeConfig, workers: int) -> None:
    """Trains in the workers of a Ray cluster, with a progress bar that follows their log."""
    from saetask.compute.ray_training import run_distributed

    with _progress(job):
        run_distributed(compute, workers, job.device, partial(train_in_group, job))


@contextmanager
def _progress(job: TrainingJob) -> Iterator[None]:
    """Shows a progress bar that follows the log of a training in other processes."""
    done = threading.Event()
    log, n_steps = job.out / LOG, job.config.n_steps

    def follow() -> None:
        seen = 0
        with stage("train", n_steps, "step") as advance:
            while not done.wait(SECONDS_BETWEEN_LOOKS):
                if log.is_file() and (lines := log.read_text(encoding="utf-8").splitlines()):
                    step = json.loads(lines[-1])["step"]
                    advance(step - seen)
                    seen = step

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    try:
        yield
    finally:
        done.set()
        follower.join()


def _measure(
    model: "Model",
    job: TrainingJob,
    test_shards: ActivationShards,
    rows: list[list[int]],
    n_activations: int,
    passed_over: int,
) -> dict[str, Any]:
    """Measures and checks the saved SAE; writes the figures, their record and the model card."""
    import torch

    from saetask.saes.compatibility import fit_after_training
    from saetask.saes.loading import load_sae
    from saetask.saes.metrics import cross_entropy_recovered, measure
    from saetask.saes.training_origin import make_training_origin, write_training_origin
    from saetask.training.model_card import model_card

    config, sae = job.config, load_sae(job.out)
    indices = torch.arange(len(test_shards)).split(EVALUATION_BATCH)
    quality = measure(sae, (test_shards.rows(i) for i in indices))
    recovered = cross_entropy_recovered(model, sae, rows)
    origin = make_training_origin(model, sae, quality.fvu, recovered)
    write_training_origin(job.out, origin)
    metrics = {
        "normalised_mse": quality.normalised_mse,
        "fvu": quality.fvu,
        "l0": quality.l0,
        "sparsity": quality.l0 / config.d_sae,
        "dead_share": 1 - quality.alive_share,
        "cross_entropy_recovered": recovered,
        "test_tokens": quality.n_tokens,
        "activations_harvested": n_activations,
        "samples_trained": config.n_steps * config.batch_size,
        "check": fit_after_training(model, load_sae(job.out)),
    }
    if passed_over:
        metrics["rows_passed_over"] = passed_over
    write_json(job.out / "metrics.json", metrics)
    write_text(job.out / "README.md", model_card(config, metrics))
    return metrics
