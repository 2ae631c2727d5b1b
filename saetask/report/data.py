"""What a run folder holds, read and checked."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saetask.errors import UserError
from saetask.report.fields import Fields, Interval, read_document, read_text
from saetask.report.items import Items, read_items

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Arm:
    """One arm's figures. What the summary lacks is None."""

    name: str
    n: int
    accuracy: float
    ci95: Interval | None
    annotated: int | None
    difference: float | None
    difference_ci95: Interval | None
    fixed: int | None
    broken: int | None
    mcnemar_p: float | None
    holm_p: float | None


@dataclass(frozen=True)
class Detection:
    """How well something told wrong answers from right ones."""

    name: str
    auroc: float
    ci95: Interval | None
    n: int | None


@dataclass(frozen=True)
class Summary:
    """The figures of a run."""

    experiment: str
    model: dict[str, Any]
    sae: dict[str, Any]
    n_items: int
    seconds: float | None
    seed: int | None
    scoring: str
    arms: dict[str, Arm]
    detection: list[Detection]
    """`saetask` first if it was measured, then the baselines."""
    selection: dict[str, Any]


@dataclass(frozen=True)
class Run:
    """A run folder."""

    name: str
    summary: Summary
    items: Items
    config: str
    environment: dict[str, Any]


def read_run(folder: Path) -> Run:
    """Reads a run folder.

    Raises:
        UserError: The folder or one of its files is missing or damaged.
    """
    if not folder.is_dir():
        raise UserError(f"Run folder {folder} does not exist. Give one that `saetask run` wrote.")
    try:
        return Run(
            name=folder.resolve().name,
            summary=read_summary(folder / "summary.json"),
            items=read_items(folder / "items.jsonl"),
            config=read_text(folder / "config.yaml"),
            environment=read_document(folder / "environment.json").document,
        )
    except UserError as error:
        mend = "Mend the file, or let `saetask run` write a new run folder."
        raise UserError(f"{error} {mend}") from error


def read_summary(path: Path) -> Summary:
    """Reads `summary.json`.

    Raises:
        UserError: It is missing, damaged, or of another schema version.
    """
    fields = read_document(path)
    if (version := fields.document.get("schema_version")) != SCHEMA_VERSION:
        known = f"this saetask reads {SCHEMA_VERSION}"
        raise UserError(f'{path}: "schema_version" is {version!r}; {known}.')
    if not (n_items := fields.count("n_items")):
        raise fields.error("n_items", "a number above 0")
    arms = fields.nested("arms")
    return Summary(
        experiment=fields.text("experiment"),
        model=fields.mapping("model"),
        sae=fields.mapping("sae"),
        n_items=n_items,
        seconds=fields.number("seconds"),
        seed=fields.count("seed"),
        scoring=fields.text("scoring"),
        arms={name: _arm(name, arms.nested(name)) for name in arms.document},
        detection=_detection(fields.nested("detection")),
        selection=fields.mapping("selection"),
    )


def _arm(name: str, fields: Fields) -> Arm:
    n, accuracy = fields.count("n"), fields.number("accuracy")
    if not n:
        raise fields.error("n", "a number above 0")
    if accuracy is None or not 0 <= accuracy <= 1:
        raise fields.error("accuracy", "a share from 0 to 1")
    return Arm(
        name=name,
        n=n,
        accuracy=accuracy,
        ci95=fields.interval("ci95"),
        annotated=fields.count("annotated"),
        difference=fields.number("difference"),
        difference_ci95=fields.interval("difference_ci95"),
        fixed=fields.count("fixed"),
        broken=fields.count("broken"),
        mcnemar_p=fields.number("mcnemar_p"),
        holm_p=fields.number("holm_p"),
    )


def _detection(fields: Fields) -> list[Detection]:
    baselines = fields.nested("baselines")
    measured = {"saetask": fields.nested("saetask")}
    measured |= {name: baselines.nested(name) for name in baselines.document}
    return [
        Detection(name, auroc, entry.interval("ci95"), entry.count("n"))
        for name, entry in measured.items()
        if (auroc := entry.number("auroc")) is not None
    ]
