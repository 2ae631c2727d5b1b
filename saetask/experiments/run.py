"""A run: an experiment's config in, a run folder out."""

import json
import platform
import time
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from saetask.annotation.base import configured
from saetask.annotation.generated_notes import count_failed, noting
from saetask.compute.config import LOCAL, ComputeConfig, open_executor
from saetask.data.samples import Study, add_auxiliary_samples, make_folds
from saetask.dictionary.feature_labels import find_feature_labels
from saetask.errors import UserError, did_you_mean
from saetask.experiments.arms import ARM_NAMES, ARMS, DEFAULT_ARMS
from saetask.experiments.context import ExperimentContext
from saetask.experiments.feature_effects import mechanism
from saetask.experiments.metrics import summarise, summarise_seeds
from saetask.experiments.runner import ExperimentResult, run_experiment
from saetask.experiments.scoring import SampleResult
from saetask.inference.client import Asker
from saetask.models.loading import (
    DEFAULT_MODEL,
    load_model,
    model_device,
    model_fingerprint,
    model_name,
)
from saetask.saes.compatibility import SAEFigures, check_sae
from saetask.saes.loading import DEFAULT_SAE, load_sae, sae_fingerprint
from saetask.utils.files import content_hash, remove_partial_writes, write_json, write_text

if TYPE_CHECKING:
    from saetask.data.tasks import Task
    from saetask.plugins import PluginRegistry

PACKAGES = ("torch", "transformers", "transformer-lens", "sae-lens", "numpy", "scikit-learn")
JOURNAL = "answers.jsonl"


@dataclass(frozen=True)
class RunConfig:
    """An experiment; every field is a YAML key and a flag of `saetask run`."""

    task: str
    """Name of a task plugin."""
    data: Path | None = None
    """Items to try, in the task's item format; none takes the built-in items."""
    fit_data: Path | None = None
    """Items to fit on; none fits on the other folds of the items that are tried."""
    model: str = DEFAULT_MODEL
    """Alias, folder, .gguf file or hub id."""
    sae: str = DEFAULT_SAE
    """Alias, SAE-Lens folder or SAE-Lens release/sae_id."""
    other_saes: list[str] = field(default_factory=list)
    """More SAEs, at other hook points for instance; each fold takes the best on its fit split."""
    allow_sae_mismatch: bool = False
    """Go on with an SAE whose figures say that it does not fit the model."""
    dictionary: Path | None = None
    """A dictionary folder of this SAE; none takes the shipped one, if there is."""
    unvalidated_labels: bool = False
    """Let annotations use labels that were not validated, too."""
    detector: str = "failure-probe"
    """Name of a detector plugin."""
    annotators: list[str] = field(default_factory=list)
    """Names of annotator plugins whose wordings compete on the fit split; none: the task's own."""
    annotator_options: dict[str, str] = field(default_factory=dict)
    """Options of annotator plugins, by name; `--annotator-option NAME=VALUE` sets one."""
    arms: list[str] = field(default_factory=lambda: list(DEFAULT_ARMS))
    """Arms to run."""
    scoring: Literal["rank", "generate"] = "rank"
    """Rank the candidate answers by likelihood, or generate answers and parse them."""
    limit: int | None = None
    """Try so many items at most (whole groups, drawn by the seed)."""
    folds: int = 5
    """Folds of items, grouped, when there is no fit_data."""
    max_fit_items: int = 800
    """Fit on so many items of fit_data at most."""
    builtin_items: bool = True
    """With `data`, let the detector learn from the task's built-in items, too; nothing is
    calibrated, chosen or tried on them."""
    seed: int = 0
    """Seed of folds, samples and control features."""
    seeds: int = 1
    """Repeat with so many seeds, from `seed` up, and report the spread; items are of the first."""


def run(
    config: RunConfig,
    registry: "PluginRegistry",
    out: Path | None = None,
    engine: ComputeConfig = LOCAL,
) -> Path:
    """Runs an experiment, or resumes it, and writes the run folder.

    Args:
        config: The experiment.
        registry: The plugins.
        out: The run folder; None takes one below `runs`, named after the config.
        engine: Where the model is asked and prompts are read; a run may go on with another.

    Returns:
        The run folder, complete with `report.html`.

    Raises:
        UserError: A name is unknown, a file does not fit, the folder holds another run, or the
            engine can not be opened.
    """
    started = time.monotonic()
    _check(config)
    engine.check()
    task = registry.get("task", config.task)
    make_detector = registry.get("detector", config.detector)
    names = config.annotators or [n for n in task.annotators if n != "feature-label"]
    plugins = [registry.get("annotator", name) for name in names]
    plugins = configured(plugins, config.annotator_options)
    studies = [_study(task, config, config.seed + number) for number in range(config.seeds)]
    identity = _identity(config)
    folder = out or Path("runs") / f"{config.task}-{identity}"
    _claim(folder, config, identity)
    remove_partial_writes(folder)
    model, sae = load_model(config.model), load_sae(config.sae)
    figures = check_sae(model, sae, allow_mismatch=config.allow_sae_mismatch)
    meanings = find_feature_labels(model, sae, config.dictionary, config.unvalidated_labels)
    with open_executor(engine, config.model, model) as opened:
        asker = Asker(model, folder / JOURNAL, opened)
        annotators = [noting(annotator, asker) for annotator in plugins]
        context = ExperimentContext(
            task, model, sae, make_detector, annotators, asker, meanings, opened
        )
        contexts = [context, *(_other(context, config, name) for name in config.other_saes)]
        generate = config.scoring == "generate"
        results = [
            run_experiment(contexts, study, config.arms, generate, config.seed + number)
            for number, study in enumerate(studies)
        ]
    result = results[0]
    described = _described(config, context, figures)
    if len(results) > 1:
        described["seeds"] = summarise_seeds([r.outcomes for r in results], config.seed)
    described["failed_notes"] = count_failed(annotators)
    if not any(fold["sae"] for fold in result.selection):
        # Features of several SAEs can not be told apart by their numbers.
        described["mechanism"] = mechanism(context, result.outcomes, config.seed)
    _write(folder, config, result, described, started)
    return folder


def _described(
    config: RunConfig, context: ExperimentContext, figures: SAEFigures
) -> dict[str, Any]:
    """Returns what the summary says of the model and the SAE."""
    model, sae = context.model, context.sae
    return {
        "model": {
            "name": model_name(model),
            "fingerprint": model_fingerprint(model),
            "dtype": str(next(model.parameters()).dtype).removeprefix("torch."),
            "device": str(model_device(model)),
        },
        "sae": {
            "name": config.sae,
            "hook_name": sae.cfg.metadata.hook_name,
            "d_sae": sae.cfg.d_sae,
            "fingerprint": sae_fingerprint(sae),
            **figures._asdict(),
        },
    }


def _other(context: ExperimentContext, config: RunConfig, name: str) -> ExperimentContext:
    """Returns the apparatus with another SAE, checked, and without a dictionary folder for it."""
    sae = load_sae(name)
    check_sae(context.model, sae, allow_mismatch=config.allow_sae_mismatch)
    meanings = find_feature_labels(context.model, sae, None, config.unvalidated_labels)
    return replace(context, sae=sae, meanings=meanings)


def _study(task: "Task", config: RunConfig, seed: int) -> Study:
    study = make_folds(
        task,
        config.data,
        config.fit_data,
        config.limit,
        config.folds,
        config.max_fit_items,
        seed,
        generate=config.scoring == "generate",
    )
    if config.data is None or not config.builtin_items:
        return study
    return add_auxiliary_samples(task, study, config.max_fit_items, seed)


def _check(config: RunConfig) -> None:
    unknown = [arm for arm in config.arms if arm not in ARM_NAMES]
    if unknown:
        raise UserError(f"Unknown arm '{unknown[0]}'.{did_you_mean(unknown[0], ARM_NAMES)}")
    if not {"original", "saetask"} <= set(config.arms):
        raise UserError("arms must include 'original' and 'saetask'; the rest are controls.")
    if config.limit is not None and config.limit < 1:
        raise UserError(f"--limit is {config.limit}; it must be 1 or more.")
    if config.seed < 0:
        raise UserError(f"--seed is {config.seed}; it must be 0 or more.")
    if config.seeds < 1:
        raise UserError(f"--seeds is {config.seeds}; it must be 1 or more.")
    if config.folds < 2:
        raise UserError(f"--folds is {config.folds}; it must be 2 or more.")


def _identity(config: RunConfig) -> str:
    """Hashes the config and the content of its data files."""
    contents = [p.read_bytes().hex() for p in (config.data, config.fit_data) if p is not None]
    return content_hash([asdict(config), contents])[:8]


def _claim(folder: Path, config: RunConfig, identity: str) -> None:
    """Writes the resolved config into the folder, unless it holds answers of another run."""
    import yaml

    path, mark = folder / "config.yaml", f"# identity of config and data: {identity}\n"
    if path.is_file():
        if path.read_text(encoding="utf-8").startswith(mark):
            return
        if (folder / JOURNAL).is_file():
            raise UserError(
                f"{folder} holds a run of another config or data; choose another --out."
            )
    document = json.loads(json.dumps(asdict(config), default=str))
    write_text(path, mark + yaml.safe_dump(document, sort_keys=False))


def _write(
    folder: Path,
    config: RunConfig,
    result: ExperimentResult,
    described: dict[str, Any],
    started: float,
) -> None:
    """Writes every artefact of a finished experiment."""
    from saetask.report import write_report

    rows = [_row(outcome, config.seed) for outcome in result.outcomes]
    write_text(folder / "items.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    write_json(folder / "environment.json", environment())
    n_items = sum(outcome.arm == "original" for outcome in result.outcomes)
    summary = {
        "schema_version": 1,
        "experiment": config.task,
        **described,
        "n_items": n_items,
        "seconds": round(time.monotonic() - started, 1),
        "seed": config.seed,
        "scoring": config.scoring,
        "fit_data": config.fit_data and config.fit_data.name,
        **summarise(result, ARMS, config.seed),
        "selection": {"folds": result.selection},
    }
    write_json(folder / "summary.json", summary)
    write_report(folder)


def _row(outcome: SampleResult, seed: int) -> dict[str, Any]:
    written = outcome.written
    annotations = [written.annotation._asdict()] if written.annotation else []
    row = {
        "id": outcome.sample.item.id,
        "arm": outcome.arm,
        "group": outcome.sample.item.group,
        "fold": outcome.fold,
        "prompt": written.prompt.text,
        "output": outcome.output.strip(),
        "parsed": outcome.score.parsed,
        "correct": outcome.score.correct,
        "misunderstandings": [
            {**found._asdict(), "features": [f._asdict() for f in found.features]}
            for found in written.misunderstandings
        ],
        "annotations": annotations,
        "rounds": [
            {**done._asdict(), **done.annotation._asdict(), "annotation": done.annotation.text}
            for done in written.rounds
        ],
        "scores": {text.strip(): value for text, value in outcome.scores.items()},
        "seed": seed,
    }
    if outcome.score.flexible_correct is not None:
        row["flexible_correct"] = outcome.score.flexible_correct
    return row


def environment() -> dict[str, str]:
    """Returns the versions and the hardware that a run was made with."""
    import os

    import torch

    found = {"saetask": version("saetask"), "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    capability = torch.backends.cpu.get_cpu_capability()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    found |= {
        "system": platform.platform(),
        "cpu": f"{platform.processor() or platform.machine()}, {capability}",
        "cores": str(os.cpu_count()),
        "gpu": gpu,
    }
    return found
