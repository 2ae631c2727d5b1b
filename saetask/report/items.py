"""The rows of `items.jsonl`, gathered by item and counted by feature."""

from dataclasses import dataclass, field
from pathlib import Path

from saetask.data.items import read_rows
from saetask.errors import UserError
from saetask.report.fields import Fields

BROWSER_LIMIT = 2000
"""A browser stays quick with this many items; the figures are of all items all the same."""


@dataclass(frozen=True)
class Answer:
    """What the model was asked in one arm, and what it answered."""

    prompt: str
    output: str
    parsed: str | None
    correct: bool
    scores: dict[str, float | None]


@dataclass(frozen=True)
class Evidence:
    """A feature behind a finding."""

    id: str
    label: str
    activation: float | None
    weight: float | None


@dataclass(frozen=True)
class Finding:
    """A misunderstanding that the saetask arm found in the original prompt."""

    detector: str
    span: tuple[int, int] | None
    text: str
    reading: str
    probability: float | None
    features: list[Evidence]


@dataclass(frozen=True)
class Annotation:
    """A note that the saetask arm wrote into the prompt."""

    text: str
    placement: str
    annotator: str


@dataclass(frozen=True)
class Round:
    """One round of annotating in a closed loop."""

    annotation: str
    placement: str
    failure_before: float | None
    """The detector's probability that the answer is wrong; `failure_after` with the annotation."""
    failure_after: float | None
    kept: bool


@dataclass
class ItemRecord:
    """One item in all arms."""

    id: str
    group: str
    fold: str
    correct: dict[str, bool] = field(default_factory=dict)
    before: Answer | None = None
    after: Answer | None = None
    findings: list[Finding] = field(default_factory=list)
    annotations: list[Annotation] = field(default_factory=list)
    rounds: list[Round] = field(default_factory=list)

    @property
    def change(self) -> str:
        """What saetask did to the answer: fixed, broken, right, wrong (both times) or unknown."""
        before, after = self.correct.get("original"), self.correct.get("saetask")
        if before is None or after is None:
            return "unknown"
        if before == after:
            return "right" if after else "wrong"
        return "fixed" if after else "broken"


@dataclass
class FeatureUse:
    """How often a feature was given as evidence, in items."""

    id: str
    label: str = ""
    named: int = 0
    annotated: int = 0
    fixed: int = 0
    broken: int = 0


@dataclass(frozen=True)
class Items:
    """All items of a run."""

    shown: list[ItemRecord]
    """The first `BROWSER_LIMIT`."""
    n_items: int
    features: list[FeatureUse]
    """Most often named first."""


def read_items(path: Path) -> Items:
    """Reads `items.jsonl`.

    Raises:
        UserError: It is missing or damaged; the line is named.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing.")
    records: dict[str, ItemRecord] = {}
    for number, row in read_rows(path):
        fields = Fields(row, f"{path}:{number}")
        item_id, arm = fields.text("id"), fields.text("arm")
        if not item_id or not arm:
            raise fields.error("arm" if item_id else "id", "a text that is not empty")
        if item_id not in records:
            records[item_id] = ItemRecord(item_id, fields.text("group"), fields.text("fold"))
        record = records[item_id]
        if arm in record.correct:
            raise UserError(f'{fields.where}: a second row of arm "{arm}" for item "{item_id}".')
        _add_row(record, arm, fields)
    every = list(records.values())
    return Items(every[:BROWSER_LIMIT], len(every), _feature_uses(every))


def _add_row(record: ItemRecord, arm: str, fields: Fields) -> None:
    correct = record.correct[arm] = fields.flag("correct")
    if rounds := fields.objects("rounds"):
        record.rounds = [_round(entry) for entry in rounds]
    if arm not in ("original", "saetask"):
        return
    scores = fields.nested("scores")
    answer = Answer(
        prompt=fields.text("prompt"),
        output=fields.text("output"),
        parsed=fields.text("parsed") or None,
        correct=correct,
        scores={name: scores.number(name) for name in scores.document},
    )
    if arm == "original":
        record.before = answer
        return
    record.after = answer
    record.findings = [_finding(entry) for entry in fields.objects("misunderstandings")]
    record.annotations = [
        Annotation(entry.text("text"), entry.text("placement"), entry.text("annotator"))
        for entry in fields.objects("annotations")
    ]


def _finding(fields: Fields) -> Finding:
    span = fields.interval("span")
    return Finding(
        detector=fields.text("detector"),
        span=(int(span[0]), int(span[1])) if span else None,
        text=fields.text("text"),
        reading=fields.text("reading"),
        probability=fields.number("probability"),
        features=[
            Evidence(
                entry.text("id"),
                entry.text("label"),
                entry.number("activation"),
                entry.number("weight"),
            )
            for entry in fields.objects("features")
        ],
    )


def _round(fields: Fields) -> Round:
    return Round(
        annotation=fields.text("annotation"),
        placement=fields.text("placement"),
        failure_before=fields.number("failure_before"),
        failure_after=fields.number("failure_after"),
        kept=fields.flag("kept"),
    )


def _feature_uses(records: list[ItemRecord]) -> list[FeatureUse]:
    uses: dict[str, FeatureUse] = {}
    for record in records:
        # An item counts once, however many of its findings name the feature.
        labels = {e.id: e.label for finding in record.findings for e in finding.features}
        for feature_id, label in labels.items():
            use = uses.setdefault(feature_id, FeatureUse(feature_id))
            use.label = use.label or label
            use.named += 1
            # Without an annotation nothing was changed, so nothing is credited or blamed.
            if record.annotations:
                use.annotated += 1
                use.fixed += record.change == "fixed"
                use.broken += record.change == "broken"
    return sorted(uses.values(), key=lambda use: -use.named)
