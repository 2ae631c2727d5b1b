"""A run: an experiment's config in, a run folder out."""

import json
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from saetask.annotation.base import configured
from saetask.annotation.generated_notes import count_failed, noting
from saetask.compute.config import LOCAL, ComputeConfig, open_executor
from saetask.data.samples import Study, add_auxiliary_samples, make_folds
from saetask.dictionary.feature_labels import find_feature_labels
from saetask.errors import UserError, did_you_mean
from saetask.experiments.arms import ARM_NAMES, DEFAULT_ARMS
from saetask.experiments.context import ExperimentContext
from saetask.experiments.feature_effects import mechanism
from saetask.experiments.metrics import summarise_seeds
from saetask.experiments.run_folder import (
    RunDescription,
    describe_model,
    describe_sae,
    write_run_folder,
)
from saetask.experiments.runner import run_experiment
from saetask.inference.client import Asker
from saetask.models.loading import DEFAULT_MODEL, load_model
from saetask.saes.compatibility import check_sae
from saetask.saes.loading import DEFAULT_SAE, load_sae
from saetask.utils.files import content_hash, remove_partial_writes, write_text

if TYPE_CHECKING:
    from saetask.data.tasks import Task
    from saetask.plugins import PluginRegistry

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
    seeds = effects = None
    if len(results) > 1:
        seeds = summarise_seeds([r.outcomes for r in results], config.seed)
    if not any(fold["sae"] for fold in result.selection):
        # Features of several SAEs can not be told apart by their numbers.
        effects = mechanism(context, result.outcomes, config.seed)
    description = RunDescription(
        experiment=config.task,
        model=describe_model(model),
        sae=describe_sae(config.sae, sae, figures),
        failed_notes=count_failed(annotators),
        seconds=round(time.monotonic() - started, 1),
        seed=config.seed,
        scoring=config.scoring,
        fit_data=config.fit_data and config.fit_data.name,
        seeds=seeds,
        mechanism=effects,
    )
    write_run_folder(folder, result, description)
    return folder


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
