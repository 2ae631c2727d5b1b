"""`summary.json`: the figures of a run.

Where a field has the default None, a run that did not measure it leaves its key out. Summaries of
the runs in `docs/runs` that are older than `not_measured`, `ProbeAccuracy.saetask` and
`FoldSelection.n_borrowed` lack these three.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from saetask.report.arms import ArmKind
from saetask.report.documents import (
    Count,
    Document,
    Number,
    PositiveCount,
    Share,
    Text,
    read_document,
)
from saetask.report.explanation import Explanation
from saetask.report.figures import (
    ArmResult,
    Bias,
    Detection,
    FeatureEffect,
    FindingCredit,
    PairedComparison,
    ProbeAccuracy,
    RankingFigures,
    Rounds,
    SAECredit,
    SecondQuestion,
)
from saetask.report.seed_spread import SeedSpread
from saetask.report.steering import SteeringFigures
from saetask.report.understanding import Understanding


class ModelDescription(Document):
    """The language model of a run."""

    name: Text
    """Alias, folder, file or hub id."""
    fingerprint: Text
    """Hash of config and weights."""
    dtype: Text
    """Type of the weights, such as `float32`."""
    device: Text
    """Device that the model is on."""


class SAEDescription(Document):
    """The sparse autoencoder of a run, and how well it fits the model on a probe text."""

    name: Text
    """Alias, folder or SAE-Lens release and id."""
    hook_name: Text
    """Hook point whose activations it encodes."""
    d_sae: PositiveCount
    """Number of features."""
    fingerprint: Text
    """Hash of config and weights."""
    fvu: Number
    """Fraction of variance unexplained."""
    l0: Number
    """Mean number of features that are active on a token."""
    cross_entropy_recovered: Number
    """Share of the model's loss that reconstruction keeps, against zero-ablation."""


class WordingLoss(Document):
    """Loss of a note template on the fit split."""

    annotator: Text
    """Name of the annotator."""
    wording: Count
    """Number of the note template among the annotator's."""
    fit_loss: Number | None
    """Mean negative log-probability of the right reading, in nats; None if never asked with."""
    n: Count | None = None
    """Number of items that the loss is of; those that did worst on a part are not asked about the
    rest. Older runs lack it."""
    fit_accuracy: Share | None = None
    """Share of right answers among the generated ones; None where answers are ranked, or it was not
    among the best by loss."""


class SAELoss(Document):
    """Loss of the detector that was fitted with an SAE."""

    hook_name: Text
    """Hook point of the SAE."""
    fit_loss: Number
    """Mean negative log-probability of the right reading, groups held out, in nats."""


class CandidateCounts(Document):
    """Number of items whose candidate answers leave nothing to choose; each counts once."""

    none_right: Count
    """No candidate is right, or there is none."""
    one_only: Count
    """There is one candidate, and it is right."""
    all_right: Count
    """Every one of several candidates is right."""


class FoldSelection(Document):
    """What was chosen on the fit split of a fold."""

    n_fit: Count
    """Number of items that the detector was fitted on."""
    n_borrowed: Count = 0
    """Number of auxiliary items that it was fitted on, too."""
    annotator: Text
    """Name of the chosen annotator."""
    wording: Count
    """Number of its chosen note template."""
    wordings: list[WordingLoss]
    """Losses of all note templates."""
    answer_slope: Number | None = None
    """Factor of the model's scores in the calibration of its answers to the original prompts: near
    0, next to nothing of what it says is left in the calibrated ones. Older runs lack it."""
    detector: dict[Text, Any]
    """What the detector chose, in its own terms."""
    silence: Text | None = None
    """Why the detector finds nothing, where its fit determines that."""
    sae: Count
    """Number of the chosen SAE."""
    saes: list[SAELoss]
    """Losses with each SAE."""


class Selection(Document):
    """What was chosen on fit splits."""

    folds: list[FoldSelection]
    """By fold."""


class Summary(Document):
    """`summary.json`: the figures of a run."""

    schema_version: Literal[1]
    """Version of this format."""
    experiment: Text
    """Name of the task."""
    model: ModelDescription
    """The language model."""
    sae: SAEDescription
    """The sparse autoencoder; the first, if there are several."""
    seeds: SeedSpread | None = None
    """Spread over seeds, if there are several."""
    failed_notes: Count
    """Number of notes that a language model failed to write."""
    mechanism: list[FeatureEffect] | None = None
    """Effects of the features that findings name most often, if one SAE was used."""
    n_items: PositiveCount
    """Number of items that were tried."""
    seconds: Number
    """Duration of the run, in seconds; of the last part, if it was resumed."""
    seed: Count
    """Seed of folds, samples, control features and resamples."""
    scoring: Literal["rank", "generate"]
    """Whether candidate answers were ranked or answers generated."""
    without_choice: CandidateCounts | None = None
    """Items that ranking cannot tell apart, if there are any and candidates were ranked."""
    ranking: RankingFigures | None = None
    """How candidate answers were compared, if there were any."""
    fit_data: Text | None
    """File name of the items that the run was fitted on; null if it was fitted on other folds."""
    arms: dict[Text, ArmResult]
    """Figures by arm, in the order of the tables."""
    against: dict[Text, PairedComparison]
    """saetask minus each control, by name of the control."""
    finding_credit: FindingCredit | None = None
    """saetask over the best control without a finding, if one was run."""
    credit: FindingCredit | None = None
    """The same, under its first name."""
    sae_credit: SAECredit | None = None
    """saetask over the better pipeline without a trained SAE, if one was run."""
    bias: Bias | None = None
    """What the model says to the original prompts, if candidates were ranked; older runs lack it.
    """
    probe_alone: ProbeAccuracy | None
    """The detector without the model; null if no right reading is known, or nothing was fitted."""
    detection: Detection
    """Detection of wrong answers."""
    reading_detection: Detection
    """Detection of the right reading, each against the rest, averaged."""
    explanation: Explanation | None = None
    """How well concepts explain the findings, if the dictionary has concepts and any are found."""
    understanding: Understanding | None = None
    """Whether notes are understood or obeyed, and what kind of failure findings are; older runs
    lack it."""
    steering: SteeringFigures | None = None
    """Strength and side effects of the arms that steer, if one was run."""
    rounds: Rounds | None
    """One round and the closed loop; null without the arm `closed-loop`."""
    second_question: SecondQuestion | None
    """The second question; null if none was asked."""
    not_measured: dict[Text, Text] = Field(default_factory=dict)
    """Why figures that runs usually have are missing, by the name of the arm or figure."""
    selection: Selection
    """What was chosen on the fit split of each fold."""

    @property
    def baseline(self) -> str:
        """Name of the arm with the prompt as it is."""
        return self._first("baseline", "original")

    @property
    def method(self) -> str:
        """Name of the arm that the others are compared with."""
        return self._first("method", "saetask")

    def _first(self, kind: ArmKind, default: str) -> str:
        return next((name for name, arm in self.arms.items() if arm.kind == kind), default)

    @property
    def controls(self) -> dict[str, ArmResult]:
        """The arms that are evidence against the SAE when they do as well as saetask, by name."""
        return {name: arm for name, arm in self.arms.items() if arm.kind == "control"}


def read_summary(path: Path) -> Summary:
    """Reads `summary.json`.

    Raises:
        UserError: It is missing, damaged, or of another schema version.
    """
    return read_document(Summary, path)
