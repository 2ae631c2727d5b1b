"""A run folder: claimed for one config, and filled with items, summary, environment and report."""

import datetime
import json
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from saetask.annotation.prompt_writer import Round
from saetask.errors import UserError
from saetask.experiments.config import RunConfig
from saetask.experiments.metrics import summarise
from saetask.experiments.runner import ExperimentResult
from saetask.experiments.scoring import SampleResult
from saetask.models.loading import model_device, model_fingerprint, model_name
from saetask.models.precision import model_dtype
from saetask.report.documents import Environment
from saetask.report.figures import FeatureEffect, RankingFigures
from saetask.report.finding_record import misunderstanding_record
from saetask.report.items import AnnotationRecord, ItemRecord, RoundRecord
from saetask.report.seed_spread import SeedSpread
from saetask.report.summary import (
    CandidateCounts,
    ModelDescription,
    SAEDescription,
    Selection,
    Summary,
)
from saetask.saes.fit import SAEFigures
from saetask.saes.loading import sae_fingerprint
from saetask.utils.files import json_text, remove_partial_writes, write_json, write_text
from saetask.utils.output_folders import check_output_folder

if TYPE_CHECKING:
    from saetask.models.loading import Model
    from saetask.saes.loading import SAE

JOURNAL = "answers.jsonl"
"""The answers of the model under test, by which a killed run goes on."""
MARK = "# identity of config and data: "
"""Begins the `config.yaml` of every run folder; the identity follows."""
PACKAGES = ("torch", "transformers", "transformer-lens", "sae-lens", "numpy", "scikit-learn")


def claim_folder(folder: Path | None, config: RunConfig, identity: str) -> Path:
    """Writes the resolved config into a run folder and removes partial writes of a killed run.

    Args:
        folder: The run folder; None takes one below `runs`, named after task and identity.
        config: The run's config.
        identity: Hash of everything that its results depend on.

    Returns:
        The run folder.

    Raises:
        UserError: It holds answers of another run, or files that no run wrote.
    """
    import yaml

    folder = folder or Path("runs") / f"{config.task}-{identity}"
    path, mark = folder / "config.yaml", f"{MARK}{identity}\n"
    first_line = _first_line(path) if path.is_file() else ""
    if first_line != mark:
        if path.is_file() and (folder / JOURNAL).is_file():
            raise UserError(
                f"{folder} holds a run of another config or data; choose another --out. (The "
                "config holds the model's type; see --dtype.)"
            )
        check_output_folder(folder, first_line.startswith(MARK))
        document = json.loads(json.dumps(asdict(config), default=str))
        write_text(path, mark + yaml.safe_dump(document, sort_keys=False))
    remove_partial_writes(folder)
    return folder


@contextmanager
def removed_if_refused(folder: Path) -> Iterator[None]:
    """Removes a run folder that holds nothing but its config, if what follows is refused."""
    try:
        yield
    except UserError:
        if [path.name for path in folder.iterdir()] == ["config.yaml"]:
            shutil.rmtree(folder)
        raise


def _first_line(path: Path) -> str:
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        return file.readline()


def fix_date(folder: Path, config: RunConfig, asks_for_date: bool) -> str | None:
    """Returns the date that a run's chat template is told, on whatever day the run goes on.

    Args:
        folder: The run folder; its `config.yaml` keeps the date.
        config: The run's config.
        asks_for_date: Whether the template asks for it; the first day's is kept then.

    Raises:
        UserError: The run was told another date before.
    """
    import yaml

    path = folder / "config.yaml"
    text = path.read_text(encoding="utf-8")
    document = yaml.safe_load(text)
    recorded = document.get("date")
    if recorded and config.date and recorded != config.date:
        raise UserError(
            f"{folder} holds a run whose prompts were told the date {recorded}, not {config.date}; "
            "leave --date out or choose another --out."
        )
    day = recorded or config.date
    if day is None and asks_for_date:
        day = str(datetime.date.today())
    if day != recorded:
        mark, _, _ = text.partition("\n")
        dated = yaml.safe_dump({**document, "date": day}, sort_keys=False)
        write_text(path, f"{mark}\n{dated}")
    return day


class RunDescription(NamedTuple):
    """Fields of `summary.json` beside the figures of the results; see `Summary`."""

    experiment: str
    model: ModelDescription
    sae: SAEDescription
    failed_notes: int
    seconds: float
    seed: int
    scoring: Literal["rank", "generate"]
    fit_data: str | None
    ranking: RankingFigures | None = None
    """How candidates were compared; None if there were none."""
    seeds: SeedSpread | None = None
    """Spread over several seeds; None if there was one."""
    mechanism: list[FeatureEffect] | None = None
    """Effects of features; None if they were not measured."""
    without_choice: CandidateCounts | None = None
    """Items that ranking cannot tell apart; None if there are none."""


def describe_model(model: "Model") -> ModelDescription:
    """Returns the description of a language model for the summary."""
    return ModelDescription(
        name=model_name(model),
        fingerprint=model_fingerprint(model),
        dtype=model_dtype(model),
        device=str(model_device(model)),
    )


def describe_sae(name: str, sae: "SAE", figures: SAEFigures) -> SAEDescription:
    """Returns the description of an SAE for the summary.

    Args:
        name: The SAE as the config names it.
        sae: The SAE.
        figures: How well it fits the model, from `check_sae`.
    """
    return SAEDescription(
        name=name,
        hook_name=str(sae.cfg.metadata.hook_name),
        d_sae=sae.cfg.d_sae,
        fingerprint=sae_fingerprint(sae),
        **figures._asdict(),
    )


def write_run_folder(folder: Path, result: ExperimentResult, description: RunDescription) -> None:
    """Writes `items.jsonl`, `environment.json`, `summary.json` and `report.html` of a run.

    Args:
        folder: The run folder.
        result: What `run_experiment` returned, of the first seed.
        description: What the summary says of the run beside its figures.
    """
    from saetask.report import write_report

    rows = [item_record(row, description.seed).to_json() for row in result.results]
    write_text(
        folder / "items.jsonl", "".join(json_text(row, ascii_only=True) + "\n" for row in rows)
    )
    write_json(folder / "environment.json", environment().to_json())
    write_json(folder / "summary.json", make_summary(result, description).to_json())
    write_report(folder)


def make_summary(result: ExperimentResult, description: RunDescription) -> Summary:
    """Returns the summary of a run; figures that were not measured are left out."""
    figures = summarise(result, result.arms, description.seed)
    entries = {**description._asdict(), **figures._asdict()}
    entries["credit"] = figures.finding_credit
    optional = (
        "seeds",
        "mechanism",
        "finding_credit",
        "credit",
        "sae_credit",
        "bias",
        "explanation",
        "understanding",
        "steering",
        "without_choice",
        "ranking",
    )
    left_out = [name for name in optional if entries[name] is None]
    return Summary(
        schema_version=1,
        n_items=sum(row.arm == "original" for row in result.results),
        selection=Selection.model_validate({"folds": result.selection}),
        **{name: value for name, value in entries.items() if name not in left_out},
    )


def item_record(result: SampleResult, seed: int) -> ItemRecord:
    """Returns the row of `items.jsonl` for a sample in an arm."""
    written, score = result.written, result.score
    record = ItemRecord(
        id=result.sample.id,
        arm=result.arm,
        group=result.sample.group,
        fold=result.fold,
        prompt=written.prompt.text,
        answer_prefix=_answer_prefix(result),
        output=result.output.strip(),
        parsed=score.parsed,
        correct=score.correct,
        misunderstandings=[misunderstanding_record(m) for m in written.misunderstandings],
        annotations=[AnnotationRecord(**written.annotation._asdict())]
        if written.annotation
        else [],
        rounds=[_round_record(entry) for entry in written.rounds],
        scores={text.strip(): value for text, value in result.scores.items()},
        raw_output=result.raw_output.strip(),
        raw_correct=result.raw_score.correct,
        raw_scores={text.strip(): value for text, value in result.raw_scores.items()},
        seed=seed,
    )
    if score.flexible_correct is not None:
        record.flexible_correct = score.flexible_correct
    return record


def _answer_prefix(result: SampleResult) -> str:
    """Returns what stood before the answer, with the blanks that `output` and `scores` lack."""
    blanks = {text[: len(text) - len(text.lstrip())] for text in result.raw_scores}
    return result.written.prompt.answer_prefix + (blanks.pop() if len(blanks) == 1 else "")


def _round_record(entry: Round) -> RoundRecord:
    return RoundRecord(
        annotation=entry.annotation.text,
        failure_before=entry.failure_before,
        failure_after=entry.failure_after,
        kept=entry.kept,
        **entry.annotation._asdict(),
    )


def environment() -> Environment:
    """Returns the versions and the hardware of this process."""
    import os

    import torch

    capability = torch.backends.cpu.get_cpu_capability()
    return Environment.model_validate(
        {
            "saetask": version("saetask"),
            "python": platform.python_version(),
            **{package: _version(package) for package in PACKAGES},
            "system": platform.platform(),
            "cpu": f"{platform.processor() or platform.machine()}, {capability}",
            "cores": str(os.cpu_count()),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        }
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
