"""A run: an experiment's config in, a run folder out."""

import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saetask.annotation.generated_notes import count_failed
from saetask.compute.config import LOCAL, ComputeConfig, open_executor
from saetask.data.answerability import count_candidates
from saetask.data.chat_template import CLOCK, set_template, template_source
from saetask.data.folds import Fold
from saetask.data.tasks import Item, Task
from saetask.experiments.answer_length import answer_tokens
from saetask.experiments.arms import arms_named
from saetask.experiments.config import RunConfig
from saetask.experiments.context import (
    DEFAULT_SETTINGS,
    ExperimentContext,
    ExperimentSettings,
)
from saetask.experiments.feature_effects import mechanism
from saetask.experiments.observation import rank_request
from saetask.experiments.run_folder import (
    JOURNAL,
    RunDescription,
    claim_folder,
    describe_model,
    describe_sae,
    fix_date,
    removed_if_refused,
    write_run_folder,
)
from saetask.experiments.run_identity import claim_identity, run_identity
from saetask.experiments.run_inputs import RunInputs, resolve_inputs
from saetask.experiments.run_plan import RunPlan, make_contexts, plan_run
from saetask.experiments.run_stages import run_stages
from saetask.experiments.runner import ExperimentResult, run_experiment
from saetask.experiments.seed_spread import summarise_seeds
from saetask.inference.client import ModelClient
from saetask.inference.ranking import is_tied
from saetask.models.loading import model_device, model_name, model_tokenizer
from saetask.models.precision import model_dtype
from saetask.plugins import PluginRegistry
from saetask.report.figures import RankingFigures
from saetask.report.summary import CandidateCounts
from saetask.saes.compatibility import check_sae
from saetask.saes.fit import SAEFigures
from saetask.utils import progress
from saetask.utils.files import read_json

if TYPE_CHECKING:
    import pandas

    from saetask.models.loading import Model
    from saetask.saes.loading import SAE


@dataclass(frozen=True)
class RunResult:
    """A finished run, read from its folder."""

    folder: Path

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The document `summary.json`."""
        return read_json(self.folder / "summary.json")

    def to_pandas(self) -> "pandas.DataFrame":
        """Returns `items.jsonl` as a table: a row for every item in every arm."""
        import pandas

        return pandas.read_json(self.folder / "items.jsonl", lines=True, dtype={"id": str})

    def report(self) -> Path:
        """Writes `report.html` anew and returns its path."""
        from saetask.report import write_report

        return write_report(self.folder)


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
        UserError: A name is unknown, a file does not fit, the folder holds another run (of another
            config or data, or made with a model, SAE or dictionary of other content), or the
            cluster can not be reached.
    """
    started = time.monotonic()
    plugins = plugins or PluginRegistry()
    at_hand = {"items": items, "fit_items": fit_items, "model": model, "sae": sae}
    given = {name: value for name, value in at_hand.items() if value is not None}
    inputs = resolve_inputs(experiment, {**options, **given}, plugins)
    inputs.config.check()
    compute.check()
    plan = plan_run(inputs.with_dtype(), plugins)
    config = plan.config
    folder = claim_folder(Path(out) if out else None, config, plan.inputs.identity())
    with removed_if_refused(folder):
        sae, model = plan.inputs.load_sae(), plan.inputs.load_model()
    _set_template(model, folder, config)
    settings = _with_answer_tokens(settings, plan, model)
    figures = check_sae(model, sae, allow_mismatch=config.allow_sae_mismatch)
    with open_executor(compute, config.model, model) as executor:
        client = ModelClient(model, folder / JOURNAL, executor, config.ranking)
        contexts = make_contexts(plan, model, sae, client, executor, settings)
        identity = run_identity(contexts, plan.plugged, settings)
        claim_identity(folder, identity, client.has_answers)
        print(_first_line(model), *plan.warnings, sep="\n", file=sys.stderr)
        results = _repeat(contexts, plan.repetitions, config)
    _write(folder, plan.inputs, contexts[0], figures, results, started)
    return RunResult(folder)


def _set_template(model: "Model", folder: Path, config: RunConfig) -> None:
    """Gives the model's chat template the run's options, and the date of the run's first start."""
    tokenizer = model_tokenizer(model)
    date = fix_date(folder, config, CLOCK in template_source(tokenizer))
    set_template(tokenizer, replace(config, date=date).template_settings())


def _with_answer_tokens(
    settings: ExperimentSettings, plan: RunPlan, model: "Model"
) -> ExperimentSettings:
    """Returns the settings with the length of generated answers, if answers are generated."""
    config = plan.config
    if config.scoring != "generate":
        return settings
    tokens = answer_tokens(plan.inputs.task, config.answer_tokens, settings, model)
    return replace(settings, answer_tokens=tokens)


def _repeat(
    contexts: Sequence[ExperimentContext],
    repetitions: Sequence[Sequence[Fold]],
    config: RunConfig,
) -> list[ExperimentResult]:
    """Runs the experiment once for each seed, with one progress over all of them."""
    arms, generate = arms_named(config.arms), config.scoring == "generate"
    with progress.job(run_stages(contexts[0], repetitions, arms, generate)):
        return [
            run_experiment(
                contexts,
                folds,
                arms,
                generate,
                config.seed + number,
                config.understanding and number == 0,
            )
            for number, folds in enumerate(repetitions)
        ]


def _write(
    folder: Path,
    inputs: RunInputs,
    context: ExperimentContext,
    figures: SAEFigures,
    results: Sequence[ExperimentResult],
    started: float,
) -> None:
    """Writes every artefact of the finished repetitions; items and figures are of the first."""
    config, first, seeds, effects = inputs.config, results[0], None, None
    if len(results) > 1:
        seeds = summarise_seeds([result.results for result in results], config.seed)
    if not any(fold["sae"] for fold in first.selection):
        # Features of several SAEs can not be distinguished by their numbers.
        effects = mechanism(context, first.results, config.seed)
    description = RunDescription(
        experiment=config.task,
        model=describe_model(context.model),
        sae=describe_sae(config.sae, context.sae, figures),
        failed_notes=count_failed(context.annotators, context.self_writer),
        seconds=round(time.monotonic() - started, 1),
        seed=config.seed,
        scoring=config.scoring,
        ranking=_describe_ranking(context.client, first),
        fit_data=config.fit_data and config.fit_data.name,
        seeds=seeds,
        mechanism=effects,
        without_choice=_without_choice(first, config),
    )
    write_run_folder(folder, first, description)


def _first_line(model: "Model") -> str:
    """Returns what a run says first, once nothing refuses it: numbers differ by type."""
    return f"saetask: {model_name(model)} in {model_dtype(model)} on {model_device(model)}"


def _without_choice(result: ExperimentResult, config: RunConfig) -> CandidateCounts | None:
    """Returns how many tested items have no candidates to choose from; None if that is none."""
    if config.scoring == "generate":
        return None
    counts = count_candidates([row.sample for row in result.results if row.arm == "original"])
    return CandidateCounts(**counts._asdict()) if any(counts) else None


def _describe_ranking(client: ModelClient, result: ExperimentResult) -> RankingFigures | None:
    """Returns how candidates were ranked; None where none were."""
    ranked = [row for row in result.results if row.scores]
    originals = [row for row in ranked if row.arm == "original"]
    if not originals:
        return None
    tied = Counter(row.arm for row in ranked if is_tied(list(row.scores.values())))
    return RankingFigures(
        method=client.ranking,
        n_tied=tied["original"],
        n_tied_by_arm={arm.name: tied[arm.name] for arm in result.arms},
        n_prefixes=client.count_prefixes(rank_request(row.sample) for row in originals),
    )
