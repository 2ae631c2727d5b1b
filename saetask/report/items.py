"""`items.jsonl`: one row for each item in each arm."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from saetask.data.items import read_rows
from saetask.report.documents import Count, Document, Flag, Name, Number, Share, Text
from saetask.utils.validation import validate


class EvidenceRecord(Document):
    """A feature behind a misunderstanding."""

    id: Count
    """Index of the feature in the SAE."""
    label: Text
    """Label of the feature; empty if it has none."""
    activation: Number
    """The feature's pooled activation in the prompt."""
    weight: Number
    """What a unit of log(1 + activation) adds to the log-odds of the reading."""


class ConceptTokenRecord(Document):
    """A token on which a concept's features fire."""

    start: Count
    """Its first character in the last message's content."""
    end: Count
    """The character after its last one."""
    text: Text
    """Text of the token."""
    activation: Number
    """The strongest activation of the concept's features on it."""
    adds: Number = 0.0
    """What those of the features add to the reading's log-odds that fire on no token more; 0 in
    older runs."""
    word: Text = ""
    """The whole word that it is part of; empty where it is of none, and in older runs."""
    described: Flag | None = None
    """Whether the concept's name describes the word; null where a word alone does not tell, and in
    older runs."""


class AlikeRecord(Document):
    """Prompts that a detector was fitted on in which a concept is as active as in a prompt."""

    n: Count
    """Number of them; of rare concepts, that of the nearest prompts."""
    share: Share
    """Share of them whose right reading is the one that the concept speaks for."""
    of_all: Share
    """The same share of all prompts that the detector was fitted on."""
    activity: Number
    """How active the concept is here: the sum of the log-activations of its features."""
    usual: Number
    """The mean of that over the prompts that the detector was fitted on."""


class ConceptRecord(Document):
    """A concept that speaks for or against the reading of a misunderstanding."""

    id: Name
    """Id of the concept in the dictionary."""
    name: Text
    """Name of the concept, as it is shown."""
    contribution: Number
    """What it adds to the reading's log-odds; negative speaks against it."""
    verdict: Text
    """Whether the name was validated on unseen documents."""
    reading: Text = Field(alias="for")
    """The reading that it speaks for."""
    tokens: list[ConceptTokenRecord]
    """Where its features fire in the prompt and speak as the concept does, what adds most first;
    empty where they speak by firing less than usual, and for another item's finding."""
    features: list[Count]
    """Its features that fire in the prompt."""
    contexts: list[Text]
    """Up to three contexts of the dictionary in which its features fire."""
    fires_less: Flag = False
    """Whether it speaks by firing less than in the average prompt; false in older runs."""
    less_on: list[Text] = Field(default_factory=list)
    """With `fires_less`, up to two words on which it fires all the same, where it fires most first,
    without those that its name does not describe; empty in older runs."""
    alike: AlikeRecord | None = None
    """Prompts that the detector was fitted on in which it fires at least as much as here, or, with
    `fires_less`, at most as much; null where unknown, and in older runs."""


class NearPromptRecord(Document):
    """A prompt that the detector was fitted on, with evidence like that of a finding."""

    text: Text
    """The text that it asks about, shortened."""
    reading: Text
    """Its right reading."""
    similarity: Number
    """Cosine of what the features of the two prompts tell of readings; 1 is the same."""


class MisunderstandingRecord(Document):
    """A span that the model is predicted to misread."""

    detector: Text
    """Name of the detector."""
    span: tuple[Count, Count]
    """Start and end of the span in the last message's content, in characters."""
    text: Text
    """Text of the span."""
    reading: Text
    """The reading that the features support and the model's answer does not follow."""
    probability: Number
    """Calibrated probability that the model's answer is wrong."""
    features: list[EvidenceRecord]
    """The features behind it, strongest first."""
    log_odds: Number | None = None
    """Log-odds of the reading against the one of `against`, by the detector alone (in older runs,
    against the mean of the others); this key and the next six are absent where the detector knows
    no concepts."""
    rest: Number | None = None
    """The part of `log_odds` that no listed concept adds."""
    unlisted: Number | None = None
    """The part of `rest` that named concepts beyond the listed ones add; absent in older runs."""
    concepts: list[ConceptRecord] = Field(default_factory=list)
    """Concepts for the reading, then against it; their contributions and `rest` add up to
    `log_odds`."""
    against: Text = ""
    """The reading that `log_odds` is counted against: that of the model's calibrated answer, or,
    where it gives none or this one, the likeliest other one; absent in older runs."""
    unnamed_tokens: list[ConceptTokenRecord] = Field(default_factory=list)
    """Where features without a telling name fire that add, together, as what is left of `rest`
    without `unlisted` does; what adds most first. Absent in older runs."""
    nearest: list[NearPromptRecord] = Field(default_factory=list)
    """Prompts that the detector was fitted on with the most alike evidence, the most alike first;
    absent where the detector keeps none, and in older runs."""
    why: Text | None = None
    """One sentence, made of these concepts: why the prompt counts as misread; absent where the
    detector knows no concepts, and in older runs."""
    margin: Number | None = None
    """Log-odds of the reading against that of the model's calibrated answer, by the probe alone, in
    nats; this key and the next are absent where the detector is no probe, and in older runs."""
    kind: Literal["misreading", "misreport"] | None = None
    """`misreport`: the inside supports the reading, and the answer does not say it; `misreading`:
    the inside supports the answer, which is likely to be wrong all the same."""


class AnnotationRecord(Document):
    """A note that was written into the prompt."""

    text: Text
    """Text of the note."""
    placement: Text
    """Where it stands: `end`, `start`, `inline` or `system`."""
    annotator: Text
    """Name of the annotator."""


class RoundRecord(Document):
    """A note that was tested in the `closed-loop` arm."""

    annotation: Text
    """Text of the note."""
    failure_before: Number
    """Probability that the model's answer is wrong, without the note."""
    failure_after: Number
    """Probability that the model's answer is wrong, with the note."""
    kept: Flag
    """Whether the note stays in the prompt."""
    text: Text
    """Text of the note, as in `annotation`."""
    placement: Text
    """Where it stands: `end`, `start`, `inline` or `system`."""
    annotator: Text
    """Name of the annotator."""


class ItemRecord(Document):
    """A row of `items.jsonl`: one item in one arm."""

    id: Name
    """Id of the item."""
    arm: Name
    """Name of the arm."""
    group: Text
    """Group of near-duplicates that the item belongs to."""
    fold: Count
    """Number of the fold in which the item was tested."""
    prompt: Text
    """The prompt as it was given to the model, all messages."""
    answer_prefix: Text | None = None
    """What the model's answer was made to begin with, which `output` lacks; older runs lack it."""
    output: Text
    """The chosen candidate answer, calibrated, or the generated text."""
    parsed: Text | None
    """The answer that was read from the output; null if none was recognised."""
    correct: Flag
    """Whether the answer is right."""
    misunderstandings: list[MisunderstandingRecord]
    """What the arm's detector found, most probable first."""
    annotations: list[AnnotationRecord]
    """The notes in the prompt."""
    rounds: list[RoundRecord]
    """The notes that were tried, in the `closed-loop` arm."""
    scores: dict[Text, Number]
    """Calibrated log-probability of each candidate answer; empty if none was ranked."""
    raw_output: Text | None = None
    """What the model says, without any offset; older runs lack it, like the next two."""
    raw_correct: Flag | None = None
    """Whether that is right."""
    raw_scores: dict[Text, Number] | None = None
    """What the raw answer was the best by: the log-likelihood of each candidate, in nats, unless
    candidates were compared by something else."""
    seed: Count
    """Seed of the run."""
    flexible_correct: Flag | None = None
    """Whether the answer is right by a looser rule; only of tasks that have one."""


def read_item_records(path: Path) -> Iterator[tuple[str, ItemRecord]]:
    """Yields each row of `items.jsonl` with its place, such as `items.jsonl:12`.

    Raises:
        UserError: The file is missing or a row is damaged; file, line and field are named.
    """
    for number, row in read_rows(path):
        where = f"{path}:{number}"
        yield where, validate(ItemRecord, row, where)
