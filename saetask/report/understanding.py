"""What a note changes inside the model: the block `understanding` of `summary.json`."""

from pydantic import Field

from saetask.detection.base import Misunderstanding
from saetask.report.documents import (
    Count,
    Document,
    Interval,
    Number,
    PositiveCount,
    Share,
    Text,
)
from saetask.report.evidence import WEAK, odds_of

UNANNOTATED, RIGHT_NOTE, WRONG_NOTE = "none", "right", "wrong"
"""Names of kinds of notes: none at all, and findings that state the right or another reading."""
NOTE_KINDS = {
    UNANNOTATED: "no note",
    RIGHT_NOTE: "a note that states the right reading",
    WRONG_NOTE: "a note that states another reading",
    "placebo": "a neutral note",
    "other": "another item's note",
    "evidence": "a note that names concepts and no reading",
    "oracle": "the right reading, in every prompt",
}
"""Kinds of notes, in the order in which they are reported."""


class Obedience(Document):
    """How often the answer follows what a note states, on the same items: right and wrong notes.

    Of items that got both, one by `saetask` and the other by `contrary`.
    """

    n: PositiveCount
    """Number of items."""
    right: Share
    """Share of items whose answer follows the note that states the right reading."""
    wrong: Share
    """Share of items whose answer follows the note that states another one."""
    before: Share
    """Share of items whose answer to the original prompt stands for the right reading."""
    difference: Number
    """`right` minus `wrong`: 0 where a note is obeyed whatever it states."""
    ci95: Interval
    """95 % bootstrap interval of the difference, over groups of items."""
    p: Share
    """Two-sided p-value by flipping the signs of groups' differences."""


class FindingKinds(Document):
    """What findings are by the probe's own margin, and how often their reading is the right one."""

    n: Count
    """Number of findings in tested items."""
    misreport: Count
    """Findings whose reading the probe supports: the inside has it, and the answer does not say it.
    """
    misreading: Count
    """Findings in which the probe supports the reading of the answer, which is likely wrong."""
    unknown: Count
    """Findings without a margin: the detector is no probe, or the answer stands for no reading."""
    misreport_right: Share | None
    """Share of the misreports whose reading is the right one; null without any. Scoring only."""
    misreading_right: Share | None
    """The same of misreadings."""


class LayerFigures(Document):
    """What probes read in some items; lists have one entry for each of `readers`."""

    n: PositiveCount
    """Number of items."""
    accuracy: list[Share]
    """Share of items of which the probe's most probable reading is the right one."""
    accuracy_ci95: list[Interval]
    """95 % bootstrap interval of the accuracy, over groups of items."""
    shift: list[Number] | None = None
    """Mean change of the reading's log-odds against the same items without a note, in nats: of the
    reading that the note states or, where it states none, of the right one."""
    shift_ci95: list[Interval] | None = None
    """95 % bootstrap interval of the shift, over groups of items."""
    p: list[Share] | None = None
    """Two-sided p-value of the shift: sign flips of groups, corrected over the readers (maxT)."""
    holm_p: Share | None = None
    """The smallest of these, corrected over all kinds of notes and places by Holm."""


class NoteFigures(Document):
    """What probes read under one kind of note."""

    every: LayerFigures | None
    """Over all items with such a note; null without any."""
    right: LayerFigures | None
    """Over those whose raw answer to the original prompt is right."""
    wrong: LayerFigures | None
    """Over those whose raw answer to the original prompt is wrong."""


class Inside(Document):
    """What probes, fitted on prompts without a note, read at one place of the prompt."""

    place: Text
    """`target`: mean over the target's tokens, or the text's; `answer`: the prompt's last token."""
    readers: list[Text]
    """Hook points whose raw activations are read, from the first layer on; last, `SAE`: the
    features at the SAE's own hook point."""
    notes_before: Share
    """Share of the notes that stand before the place. Only these can change what is read there:
    attention looks back."""
    notes: dict[Text, NoteFigures]
    """By kind of note: `none`, `right`, `wrong`, `placebo`, `other`, `evidence`, `oracle`."""


class Understanding(Document):
    """Whether notes are understood or obeyed, and whether findings are misreadings."""

    findings: FindingKinds
    """What saetask's findings are by the probe's own margin."""
    obedience: Obedience | None = None
    """By raw answers, which are what the model says; only with the arm `contrary`."""
    obedience_calibrated: Obedience | None = None
    """By calibrated answers."""
    sae_reader: Text | None = None
    """The one of `readers` that the SAE reads, too; only with `--understanding`, like the next."""
    inside: list[Inside] = Field(default_factory=list)
    """What probes read inside, by place."""

    @property
    def own_reader(self) -> int:
        """Index among `readers` of the raw activations that the SAE reads; of the SAE if none."""
        readers = self.inside[0].readers
        return readers.index(self.sae_reader) if self.sae_reader in readers else -1


def kind_sentence(found: Misunderstanding) -> str:
    """Returns whether a finding is a misreading or a misreport.

    It is "" where that is not known, or near a tie.
    """
    if found.margin is None or abs(found.margin) < WEAK:
        return ""
    odds = odds_of(found.margin)
    if found.kind == "misreport":
        told = f"read inside as {found.reading} ({odds}), and the calibrated answer is otherwise"
    else:
        told = f"read inside as the calibrated answer says ({odds}), and such answers often fail"
    return f"kind: {found.kind}, that is, {told}."
