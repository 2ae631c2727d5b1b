"""Writing the files of a run folder: items, summary, environment and report."""

import json
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from saetask.experiments.metrics import summarise
from saetask.experiments.runner import ExperimentResult
from saetask.experiments.scoring import SampleResult
from saetask.models.loading import model_device, model_fingerprint, model_name
from saetask.saes.compatibility import SAEFigures
from saetask.saes.loading import sae_fingerprint
from saetask.utils.files import write_json, write_text

if TYPE_CHECKING:
    from sae_lens import SAE

    from saetask.models.loading import Model

PACKAGES = ("torch", "transformers", "transformer-lens", "sae-lens", "numpy", "scikit-learn")


class RunDescription(NamedTuple):
    """What `summary.json` says of a run beside the figures of its results."""

    experiment: str
    """Name of the task."""
    model: dict[str, Any]
    sae: dict[str, Any]
    failed_notes: int
    seconds: float
    seed: int
    scoring: str
    fit_data: str | None
    seeds: dict[str, Any] | None = None
    """Spread over several seeds; None if there was one."""
    mechanism: list[dict[str, Any]] | None = None
    """Effects of features; None if they were not measured."""


def describe_model(model: "Model") -> dict[str, Any]:
    """Returns what the summary says of the model."""
    return {
        "name": model_name(model),
        "fingerprint": model_fingerprint(model),
        "dtype": str(next(model.parameters()).dtype).removeprefix("torch."),
        "device": str(model_device(model)),
    }


def describe_sae(name: str, sae: "SAE", figures: SAEFigures) -> dict[str, Any]:
    """Returns what the summary says of the SAE.

    Args:
        name: The SAE as the config names it.
        sae: The SAE.
        figures: How well it fits the model, from `check_sae`.
    """
    return {
        "name": name,
        "hook_name": sae.cfg.metadata.hook_name,
        "d_sae": sae.cfg.d_sae,
        "fingerprint": sae_fingerprint(sae),
        **figures._asdict(),
    }


def write_run_folder(folder: Path, result: ExperimentResult, description: RunDescription) -> None:
    """Writes `items.jsonl`, `environment.json`, `summary.json` and `report.html` of a run."""
    from saetask.report import write_report

    seed = description.seed
    rows = [item_row(outcome, seed) for outcome in result.outcomes]
    write_text(folder / "items.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    write_json(folder / "environment.json", environment())
    n_items = sum(outcome.arm == "original" for outcome in result.outcomes)
    described = description._asdict()
    figures = summarise(result, result.arms, seed)
    head = ("experiment", "model", "sae", "seeds", "failed_notes", "mechanism")
    summary = {
        "schema_version": 1,
        **{name: described[name] for name in head if described[name] is not None},
        "n_items": n_items,
        **{name: described[name] for name in ("seconds", "seed", "scoring", "fit_data")},
        **figures,
        "selection": {"folds": result.selection},
    }
    write_json(folder / "summary.json", summary)
    write_report(folder)


def item_row(outcome: SampleResult, seed: int) -> dict[str, Any]:
    """Returns the row of `items.jsonl` for a sample in an arm."""
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
