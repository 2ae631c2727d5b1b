"""The figures in `summary.json`; where a field has the default None, its key may be left out."""

from typing import Literal, Self

from pydantic import Field, model_validator

from saetask.report.arms import ArmKind
from saetask.report.documents import (
    Count,
    Document,
    Flag,
    Interval,
    Number,
    PositiveCount,
    Share,
    Text,
)


class PairedDifference(Document):
    """One arm minus another over the same items."""

    difference: Number
    """Difference in accuracy, as a share of items."""
    ci95: Interval
    """95 % bootstrap interval of the difference, over groups of items."""
    fixed: Count
    """Items that are right in the first arm and wrong in the other."""
    broken: Count
    """Items that are wrong in the first arm and right in the other."""
    mcnemar_p: Share
    """P-value of McNemar's exact test, two-sided."""
    holm_p: Share
    """The p-value corrected over the arms that are compared, by Holm."""


class PairedComparison(PairedDifference):
    """One arm minus another over the same items, by calibrated and by raw answers."""

    raw: PairedDifference | None = None
    """The same of what the model says, without any offset; older runs lack it."""


class AccuracyFigures(Document):
    """Accuracy of an arm's answers, and its comparison with those of the arm `original`."""

    accuracy: Share
    """Share of right answers."""
    ci95: Interval
    """95 % bootstrap interval of the accuracy, over groups of items."""
    difference: Number | None = None
    """Accuracy minus that of `original`; like all of the comparison, not of `original` itself."""
    difference_ci95: Interval | None = None
    """95 % bootstrap interval of the difference, over groups of items."""
    fixed: Count | None = None
    """Items that are wrong in `original` and right in this arm."""
    broken: Count | None = None
    """Items that are right in `original` and wrong in this arm."""
    mcnemar_p: Share | None = None
    """P-value of McNemar's exact test, two-sided."""
    holm_p: Share | None = None
    """The p-value corrected over all arms, by Holm."""

    @model_validator(mode="after")
    def _check_comparison(self) -> Self:
        compared = ("difference", "difference_ci95", "fixed", "broken", "mcnemar_p", "holm_p")
        absent = [name for name in compared if getattr(self, name) is None]
        if absent and len(absent) < len(compared):
            raise ValueError(f'expected "{absent[0]}" beside the comparison\'s other figures')
        return self

    @property
    def change(self) -> PairedDifference | None:
        """The comparison with `original`; None of `original` itself."""
        if self.difference is None:
            return None
        return PairedDifference.model_construct(
            difference=self.difference,
            ci95=self.difference_ci95,
            fixed=self.fixed,
            broken=self.broken,
            mcnemar_p=self.mcnemar_p,
            holm_p=self.holm_p,
        )


class ArmFigures(AccuracyFigures):
    """Figures of an arm: of its calibrated answers, and in `raw` of what the model says."""

    n: PositiveCount
    """Number of items."""
    annotated: Count
    """Number of items whose prompt holds a note."""
    touched: Count | None = None
    """Number of items whose prompt or offset the arm changes; older runs lack it, like the next."""
    same_notes: Count | None = None
    """Number of items whose note is saetask's own, word for word."""
    flexible_accuracy: Share | None = None
    """Share of answers that are right by a looser rule; only of tasks that have one."""
    detectable_difference: Number | None = None
    """Smallest difference that this number of items could show with a power of 80 %; null if none.
    """
    raw: AccuracyFigures | None = None
    """Of the answers without any offset; not of an arm that does not ask the model. Older runs lack
    it."""


def mostly_own_notes(arm: ArmFigures) -> bool:
    """Returns whether most of an arm's notes are those of saetask, so that it controls for little.

    Where a model gives one answer to everything, all findings of two readings are the same, and
    another item's is this item's.
    """
    return arm.same_notes is not None and 2 * arm.same_notes > arm.annotated


class ArmResult(ArmFigures):
    """Figures of an arm, and what the arm is for."""

    purpose: Text
    """What the arm controls for."""
    kind: ArmKind
    """Role of the arm; only controls speak against the SAE."""
    in_sae_credit: Flag
    """Whether finding credit is taken to this arm, if it is the best of them."""


class FindingCredit(Document):
    """saetask minus the best control that uses no finding in the item.

    It is the credit of a finding and its note, whatever the finding was made with.
    """

    control: Text
    """Name of that control."""
    difference: Number
    """Difference in accuracy, as a share of items."""
    ci95: Interval
    """95 % bootstrap interval of the difference, over groups of items."""


class SAECreditFigures(Document):
    """saetask minus the better of the two pipelines that need no trained SAE."""

    over: Literal["dense-probe", "random-sae"]
    """That pipeline; of `random-sae`, the mean over the random dictionaries that were run."""
    difference: Number
    """Difference in accuracy, as a share of items."""
    ci95: Interval
    """95 % bootstrap interval of the difference, over groups of items."""
    holm_p: Share
    """P-value by flipping the sign of groups' differences, corrected over the two, by Holm."""
    n_dictionaries: Count
    """Number of random dictionaries that were run."""


class SAECredit(SAECreditFigures):
    """saetask minus the better of the two, by calibrated and by raw answers."""

    raw: SAECreditFigures | None = None
    """The same of what the model says, by which the other one can be the better; older runs lack
    it."""


class Bias(Document):
    """What the model says to the original prompts, whatever they are about."""

    raw_answers: dict[Text, Share]
    """Share of raw answers that stand for each reading."""
    chance: Share
    """Expected accuracy of a candidate drawn at random."""
    majority: Share
    """Accuracy of always giving the reading that is right most often in the fit split."""


class ProbeAccuracy(Document):
    """How often the detector's most probable reading is right, without asking the model again."""

    n: PositiveCount
    """Number of items of which a right reading is known."""
    accuracy: Share
    """Share of these items whose most probable reading is right."""
    ci95: Interval
    """95 % bootstrap interval of the accuracy, over groups of items."""
    saetask: Share | None = None
    """Accuracy of the arm `saetask` over the same items."""
    comparison: PairedDifference | None = None
    """saetask minus the probe alone over the same items, corrected over nothing else; None where
    the reading is no answer. Older runs lack it."""


class Auroc(Document):
    """Area under the ROC curve of a score."""

    auroc: Share
    """The area; 0.5 is chance."""
    ci95: Interval | None
    """95 % bootstrap interval over groups of items; null if no resample holds every class."""
    n: PositiveCount
    """Number of items."""


class Detection(Document):
    """How well scores predict wrong answers, or the right reading, in the arm `original`."""

    n_wrong: Count | None = None
    """Number of wrong answers; only where these are what is predicted."""
    saetask: Auroc | None
    """saetask's detector; null if there is one class only."""
    baselines: dict[Text, Auroc | None]
    """Other detectors and scores, by name; null if there is one class only."""

    @property
    def measured(self) -> dict[str, Auroc]:
        """The scores that were measured, by name, `saetask` first."""
        entries = {"saetask": self.saetask, **self.baselines}
        return {name: entry for name, entry in entries.items() if entry is not None}


class RankingFigures(Document):
    """How candidates were compared; counts without an arm are of the arm `original`."""

    method: Literal["likelihood", "per-token", "per-character", "per-byte", "pmi"]
    """What they were compared by, before the calibration."""
    n_tied: Count
    """Number of items whose best two candidates had exactly the same score; a hash decided."""
    n_tied_by_arm: dict[Text, Count] = Field(default_factory=dict)
    """The same of every arm, by name."""
    n_prefixes: Count
    """Number of items in which a candidate's tokens begin another one, which can not be likelier by
    `likelihood`."""


class Rounds(Document):
    """Accuracy of annotating once and of annotating in a closed loop."""

    one: Share
    """Accuracy of one round, which is the arm `saetask`."""
    closed_loop: Share
    """Accuracy of the arm `closed-loop`."""
    used: Literal["one", "closed_loop"]
    """Which of the two the arm `saetask` does."""


class SecondQuestion(Document):
    """Figures of another question about the same items, which the note does not answer."""

    n: PositiveCount
    """Number of items that have a second question."""
    arms: dict[Text, ArmFigures]
    """Figures by arm."""


class FeatureEffect(Document):
    """What annotating does to a feature, and what ablating the feature does to the answer."""

    feature: Count
    """Index of the feature in the SAE."""
    label: Text
    """Label of the feature; empty if it has none."""
    n: PositiveCount
    """Number of annotated items whose finding names the feature."""
    before: Number
    """Mean activation in the original prompts."""
    after: Number
    """Mean activation in the annotated prompts."""
    ablation: Number | None = None
    """Change in the log-odds of the answer when the feature is ablated, in nats, to first order;
    like those that follow, in float32, and only of SAEs that write to the residual stream."""
    random: Interval | None = None
    """The same for the controls: lowest and highest. They are edits of the same norm at the same
    tokens, along the decoder directions of other features that are active there (in summaries of
    older versions, in random directions)."""
    rank: PositiveCount | None = None
    """Rank of the feature's effect among it and the controls by size; 1 is the largest."""
    n_controls: Count | None = None
    """Number of controls."""
    p: Share | None = None
    """Share of the feature and the controls with an effect at least as large: `rank` over one more
    than `n_controls`."""
    holm_p: Share | None = None
    """That corrected over the features of the run by Holm's procedure."""
