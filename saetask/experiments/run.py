"""A run: an experiment's config in, a run folder out."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from saetask.annotation.base import configured
from saetask.annotation.generated_notes import count_failed, with_generated_notes
from saetask.compute.config import LOCAL, ComputeConfig, open_executor
from saetask.data.samples import Fold, ItemSet, add_auxiliary_samples, make_folds
from saetask.data.tasks import Item, Task
from saetask.dictionary.feature_labels import find_feature_labels
from saetask.errors import UserError, did_you_mean
from saetask.experiments.arms import arms_named
from saetask.experiments.config import RunConfig
from saetask.experiments.context import (
    DEFAULT_SETTINGS,
    ExperimentContext,
    ExperimentSettings,
    task_annotators,
)
from saetask.experiments.feature_effects import mechanism
from saetask.experiments.metrics import summarise_seeds
from saetask.experiments.run_folder import (
    RunDescription,
    describe_model,
    describe_sae,
    write_run_folder,
)
from saetask.experiments.runner import ExperimentResult, run_experiment
from saetask.inference.client import ModelClient
from saetask.models.loading import load_model, model_fingerprint, model_name
from saetask.plugins import PluginRegistry
from saetask.saes.compatibility import SAEFigures, check_sae
from saetask.saes.loading import load_sae, sae_fingerprint
from saetask.utils.files import content_hash, remove_partial_writes, write_text

if TYPE_CHECKING:
    import pandas

    from saetask.models.loading import Model
    from saetask.saes.loading import SAE

JOURNAL = "answers.jsonl"


@dataclass(frozen=True)
class RunResult:
    """A finished run, read from its folder."""

    folder: Path

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The document `summary.json`."""
        return json.loads((self.folder / "summary.json").read_text(encoding="utf-8"))

    def to_pandas(self) -> "pandas.DataFrame":
        """Returns `items.jsonl` as a table: a row for every item in every arm."""
        import pandas

        return pandas.read_json(self.folder / "items.jsonl", lines=True, dtype={"id": str})

    def report(self) -> Path:
        """Writes `report.html` anew and returns its path."""
        from saetask.report import write_report

        return write_report(self.folder)


class _AtHand(NamedTuple):
    """Objects passed by the caller instead of names."""

    items: Sequence[Item] | None
    fit_items: Sequence[Item] | None
    model: "Model | None"
    sae: "SAE[Any] | None"


def run(
    experiment: RunConfig | Task | str,
    *,
    items: Sequence[Item] | None = None,
    fit_items: Sequence[Item] | None = None,
    model: "Model | str | None" = None,
    sae: "SAE[Any] | str | None" = None,
    plugins: PluginRegistry | None = None,
    out: str | Path | None = None,
    compute: ComputeConfig = LOCAL,
    settings: ExperimentSettings = DEFAULT_SETTINGS,
    **options: Any,
) -> RunResult:
    """Runs an experiment, or resumes it, and writes the run folder.

    Args:
        experiment: A config, a task, or the name of a task plugin.
        items: Items to test; None takes the config's data file, or the task's built-in items.
        fit_items: Items to fit on; None takes the config's fit file, or folds of the items.
        model: A model at hand, or its name; None takes the config's.
        sae: An SAE at hand, or its name; None takes the config's.
        plugins: Where names are looked up; None takes the plugins of the installed packages.
        out: The run folder; None takes one below `runs`, named after the config.
        compute: Where the model is asked and prompts are read; a run may go on elsewhere.
        settings: Number of requests of each step.
        **options: Fields of `RunConfig`, such as `limit=60`.

    Returns:
        The finished run.

    Raises:
        UserError: A name is unknown, a file does not fit, the folder holds another run, or the
            cluster can not be reached.
    """
    started = time.monotonic()
    plugins = plugins or PluginRegistry()
    at_hand = _AtHand(items, fit_items, None, None)
    if isinstance(model, str):
        options["model"] = model
    else:
        at_hand = at_hand._replace(model=model)
    if isinstance(sae, str):
        options["sae"] = sae
    else:
        at_hand = at_hand._replace(sae=sae)
    config, task = _resolve(experiment, options, plugins)
    config.check()
    compute.check()
    annotators = configured(
        task_annotators(task, plugins, config.annotators), config.annotator_options
    )
    make_detector = plugins.get("detector", config.detector)
    repetitions = [_folds(task, config, at_hand, config.seed + n) for n in range(config.seeds)]
    identity = _identity(config, at_hand)
    folder = Path(out) if out else Path("runs") / f"{config.task}-{identity}"
    _claim(folder, config, identity)
    remove_partial_writes(folder)
    loaded, loaded_sae = at_hand.model or load_model(config.model), at_hand.sae
    loaded_sae = loaded_sae if loaded_sae is not None else load_sae(config.sae)
    figures = check_sae(loaded, loaded_sae, allow_mismatch=config.allow_sae_mismatch)
    with open_executor(compute, config.model, loaded) as executor:
        client = ModelClient(loaded, folder / JOURNAL, executor)
        context = ExperimentContext(
            task,
            loaded,
            loaded_sae,
            make_detector,
            [with_generated_notes(annotator, client) for annotator in annotators],
            client,
            find_feature_labels(loaded, loaded_sae, config.dictionary, config.unvalidated_labels),
            executor,
            settings,
        )
        contexts = [context, *(_with_sae(context, config, name) for name in config.other_saes)]
        arms, generate = arms_named(config.arms), config.scoring == "generate"
        results = [
            run_experiment(contexts, folds, arms, generate, config.seed + number)
            for number, folds in enumerate(repetitions)
        ]
    _write(folder, config, context, figures, results, started)
    return RunResult(folder)


def _resolve(
    experiment: RunConfig | Task | str, options: dict[str, Any], plugins: PluginRegistry
) -> tuple[RunConfig, Task]:
    """Returns the config with options set, and its task."""
    known = [field.name for field in fields(RunConfig)]
    for name in options:
        if name not in known:
            raise UserError(f"A run has no option '{name}'.{did_you_mean(name, known)}")
    for name in ("data", "fit_data", "dictionary"):
        if options.get(name) is not None:
            options[name] = Path(options[name])
    if isinstance(experiment, RunConfig):
        config = replace(experiment, **options)
        return config, plugins.get("task", config.task)
    if isinstance(experiment, str):
        return RunConfig(experiment, **options), plugins.get("task", experiment)
    return RunConfig(experiment.name, **options), experiment


def _folds(task: Task, config: RunConfig, at_hand: _AtHand, seed: int) -> list[Fold]:
    """Returns the folds of one repetition."""
    tested = _item_set(task, at_hand.items, config.data)
    separate = None
    if at_hand.fit_items is not None or config.fit_data is not None:
        separate = _item_set(task, at_hand.fit_items, config.fit_data)
    split, generate = config.split(seed), config.scoring == "generate"
    folds = make_folds(task, tested, split, separate, generate)
    built_in = at_hand.items is None and config.data is None
    if built_in or not config.builtin_items:
        return folds
    return add_auxiliary_samples(task, folds, config.max_fit_items, seed)


def _item_set(task: Task, items: Sequence[Item] | None, path: Path | None) -> ItemSet:
    if items is not None:
        return ItemSet(list(items), f"the items given to the task {task.name}")
    if path is not None:
        return ItemSet(task.items(path), str(path))
    return ItemSet(task.items(), f"the task {task.name}")


def _with_sae(context: ExperimentContext, config: RunConfig, name: str) -> ExperimentContext:
    """Returns the context with another SAE, checked, and without a dictionary folder for it."""
    sae = load_sae(name)
    check_sae(context.model, sae, allow_mismatch=config.allow_sae_mismatch)
    labels = find_feature_labels(context.model, sae, None, config.unvalidated_labels)
    return replace(context, sae=sae, feature_labels=labels)


def _identity(config: RunConfig, at_hand: _AtHand) -> str:
    """Hashes the config and the content of its data files, and of what was passed as objects."""
    parts: list[Any] = [asdict(config)]
    parts.append([p.read_bytes().hex() for p in (config.data, config.fit_data) if p is not None])
    for items in (at_hand.items, at_hand.fit_items):
        if items is not None:
            parts.append([[i.id, i.group, repr(i.question), repr(i.gold)] for i in items])
    if at_hand.model is not None:
        parts.append([model_name(at_hand.model), model_fingerprint(at_hand.model)])
    if at_hand.sae is not None:
        parts.append([str(at_hand.sae.cfg.metadata.hook_name), sae_fingerprint(at_hand.sae)])
    return content_hash(parts)[:8]


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
    context: ExperimentContext,
    figures: SAEFigures,
    results: Sequence[ExperimentResult],
    started: float,
) -> None:
    """Writes every artefact of the finished repetitions; items and figures are of the first."""
    first, seeds, effects = results[0], None, None
    if len(results) > 1:
        seeds = summarise_seeds([result.results for result in results], config.seed)
    if not any(fold["sae"] for fold in first.selection):
        # Features of several SAEs can not be distinguished by their numbers.
        effects = mechanism(context, first.results, config.seed)
    description = RunDescription(
        experiment=config.task,
        model=describe_model(context.model),
        sae=describe_sae(config.sae, context.sae, figures),
        failed_notes=count_failed(context.annotators),
        seconds=round(time.monotonic() - started, 1),
        seed=config.seed,
        scoring=config.scoring,
        fit_data=config.fit_data and config.fit_data.name,
        seeds=seeds,
        mechanism=effects,
    )
    write_run_folder(folder, first, description)
