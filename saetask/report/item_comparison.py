"""The rows of `items.jsonl` for the report: gathered by item, and counted by evidence."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from saetask.errors import UserError
from saetask.report.evidence import LESS
from saetask.report.items import (
    AnnotationRecord,
    ItemRecord,
    MisunderstandingRecord,
    RoundRecord,
    read_item_records,
)


@dataclass
class ItemComparison:
    """One item in all arms; two of these, baseline and method, are compared in full."""

    id: str
    group: str
    fold: int
    baseline: str = "original"
    """Name of the arm with the prompt as it is."""
    method: str = "saetask"
    """Name of the arm that is compared with it."""
    correct: dict[str, bool] = field(default_factory=dict)
    """Whether the calibrated answer is right, by arm."""
    raw_correct: dict[str, bool] = field(default_factory=dict)
    """Whether the raw answer is right, by arm; older runs have none."""
    before: ItemRecord | None = None
    """The item in the baseline arm."""
    after: ItemRecord | None = None
    """The item in the method's arm."""
    rounds: list[RoundRecord] = field(default_factory=list)
    """The notes that a closed loop tried."""

    @property
    def findings(self) -> list[MisunderstandingRecord]:
        """The misunderstandings that the method found in the original prompt."""
        return self.after.misunderstandings if self.after else []

    @property
    def annotations(self) -> list[AnnotationRecord]:
        """The notes that the method wrote into the prompt."""
        return self.after.annotations if self.after else []

    @property
    def change(self) -> str:
        """What became of the answer: fixed, broken, right, wrong (both times) or unknown.

        It is the raw answer, what the model says; the calibrated one in runs without any.
        """
        correct = self.raw_correct or self.correct
        before, after = correct.get(self.baseline), correct.get(self.method)
        if before is None or after is None:
            return "unknown"
        if before == after:
            return "right" if after else "wrong"
        return "fixed" if after else "broken"


@dataclass
class EvidenceUse:
    """How often a feature, or a concept for a reading, was given as evidence, in items."""

    id: int | str
    label: str = ""
    reading: str = ""
    """The reading that a concept speaks for; empty for a feature."""
    named: int = 0
    """Items with a finding that names it."""
    annotated: int = 0
    """Items among them whose prompt was annotated."""
    fixed: int = 0
    """Annotated items whose answer turned right."""
    broken: int = 0
    """Annotated items whose answer turned wrong."""


@dataclass(frozen=True)
class Items:
    """All items of a run."""

    every: list[ItemComparison]
    """In the order of the file."""
    baseline: str
    method: str
    features: list[EvidenceUse]
    """Most often named first."""
    concepts: list[EvidenceUse]
    """Those that speak for a finding's reading, most often named first."""

    @property
    def are_raw(self) -> bool:
        """Whether there are raw answers, by which items then count as fixed or broken."""
        return all(item.raw_correct for item in self.every)


def read_items(path: Path, baseline: str, method: str) -> Items:
    """Reads `items.jsonl` and gathers its rows by item.

    Args:
        path: The file.
        baseline: Name of the arm with the prompt as it is.
        method: Name of the arm that is compared with it.

    Raises:
        UserError: It is missing or damaged; the line is named.
    """
    items: dict[str, ItemComparison] = {}
    for where, row in read_item_records(path):
        fresh = ItemComparison(row.id, row.group, row.fold, baseline, method)
        item = items.setdefault(row.id, fresh)
        if row.arm in item.correct:
            raise UserError(f'{where}: a second row of arm "{row.arm}" for item "{row.id}".')
        _add_row(item, row)
    every = list(items.values())
    return Items(every, baseline, method, _uses(every, _features), _uses(every, _concepts))


def _add_row(item: ItemComparison, row: ItemRecord) -> None:
    item.correct[row.arm] = row.correct
    if row.raw_correct is not None:
        item.raw_correct[row.arm] = row.raw_correct
    if row.rounds:
        item.rounds = row.rounds
    if row.arm == item.baseline:
        item.before = row
    elif row.arm == item.method:
        item.after = row


def _features(finding: MisunderstandingRecord) -> Iterator[EvidenceUse]:
    for feature in finding.features:
        yield EvidenceUse(feature.id, feature.label)


def _concepts(finding: MisunderstandingRecord) -> Iterator[EvidenceUse]:
    for concept in finding.concepts:
        if concept.contribution > 0:
            name = concept.name if concept.tokens else f"{concept.name} ({LESS})"
            yield EvidenceUse(concept.id, name, concept.reading)


def _uses(
    items: list[ItemComparison],
    evidence: Callable[[MisunderstandingRecord], Iterator[EvidenceUse]],
) -> list[EvidenceUse]:
    uses: dict[tuple[int | str, str, str], EvidenceUse] = {}
    for item in items:
        # An item counts once, even if several of its findings name the same.
        # A concept that fires is told apart from one that speaks by firing less; a feature has one
        # label, which some findings lack.
        found = {
            (e.id, e.reading, e.reading and e.label): e for f in item.findings for e in evidence(f)
        }
        for key, fresh in found.items():
            use = uses.setdefault(key, fresh)
            use.label = use.label or fresh.label
            use.named += 1
            # Without an annotation nothing was changed, so nothing is credited or blamed.
            if item.annotations:
                use.annotated += 1
                use.fixed += item.change == "fixed"
                use.broken += item.change == "broken"
    return sorted(uses.values(), key=lambda use: -use.named)
