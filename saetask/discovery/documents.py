"""`summary.json` and `discoveries.jsonl` of a discovery."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from saetask.discovery.asked_document import ChangedForm, DrawnControl
from saetask.discovery.forms import Vary
from saetask.discovery.mended_document import Difference, Mended
from saetask.report.documents import (
    Count,
    Document,
    Flag,
    Interval,
    Name,
    Number,
    PositiveCount,
    Share,
    Text,
)
from saetask.report.run_folder import DISCOVERIES

SUMMARY = "summary.json"
SCHEMA_VERSION = 1


class GoldDifference(Document):
    """How much more often answers are wrong where a concept is present, by the log's scores."""

    difference: Difference | None
    """Rate of wrong answers with it minus that without, on the confirmation half."""
    ci95: Interval | None
    """Of the difference, by a bootstrap over groups."""
    p: Share
    """One-sided, by permutation, given the confounders."""


class GoldCheck(Document):
    """How well disagreement stands for wrong answers, over all items with a score."""

    n: PositiveCount
    """Number of these items."""
    failure_rate: Share
    """Share of wrong answers."""
    auroc: Share | None
    """Area under the ROC curve of disagreement against wrong answers; null where all answers are
    right, or all wrong."""
    auroc_ci95: Interval | None
    """By a bootstrap over groups."""


class Discovery(Document):
    """A hypothesis that was chosen on one half and tested on the other."""

    concept: Name
    """Its id: that of a concept, or `feature:12`."""
    name: Text
    """A few plain words."""
    kind: Literal["concept", "feature"]
    """Whether it is a group of features or a single one."""
    threshold: Number
    """It is present in a prompt where its activation on some token is above, chosen on the
    discovery half."""
    n_with: Count
    """Number of prompts of the confirmation half in which it is present; the figures below are of
    that half."""
    failure_with: Share | None
    """Failure rate where it is present; null where it is nowhere."""
    failure_without: Share | None
    """Failure rate where it is not; null where it is everywhere."""
    difference: Difference | None
    """`failure_with` minus `failure_without`."""
    ci95: Interval | None
    """Of the difference, by a bootstrap over groups."""
    adjusted_difference: Number | None
    """The difference given the confounders."""
    adjusted_ci95: Interval | None
    """Of the adjusted difference."""
    p: Share
    """One-sided, by permutation, given the confounders."""
    q: Share
    """P-value adjusted by Benjamini and Hochberg's procedure for the hypotheses tested."""
    confirmed: Flag
    """Whether `q` is at most the rate that was asked for."""
    needs_sae: Flag | None
    """Whether it is still significant when what words tell of it is given, and the words and
    classes of words that are confirmed themselves; by Benjamini and Hochberg's procedure over the
    confirmed ones, null for the others."""
    p_beyond_words: Share | None
    """P-value of that test."""
    name_holds: Share | None
    """On which share of the tokens of that half on which it is active its name holds, in at most
    100 prompts; null where it is not confirmed, or its name is no description of words."""
    name_in_prompts: Share | None
    """In which share of the prompts of that half, of at most 500, its name holds on some token,
    whether it is active there or not; null where its name is no description of words."""
    gold: GoldDifference | None
    """Where failure is disagreement and the log has scores: whether answers are wrong more often,
    too; null where it is not confirmed."""
    words: list[Text]
    """What words would look for in its place, the most telling first."""
    merged: list[Text]
    """Names of candidates that told no more than this one on the discovery half."""
    examples: list[Text]
    """Ids of prompts of the confirmation half in which it is present, and which failed, the
    strongest presence first."""
    near_misses: list[Text]
    """Ids of prompts of that half in which it is present, and which did not fail."""


class FiringToken(Document):
    """A token on which a discovery's concept is active."""

    start: Count
    """First character in the shown text."""
    end: Count
    """Its last character, and one more."""
    text: Text
    """The token's text."""
    activation: Number
    """Activation of the concept on the token."""

    def shifted(self, by: int) -> "FiringToken":
        """Returns the token in a text that has more characters before it."""
        return self.model_copy(update={"start": self.start + by, "end": self.end + by})


class ShownPrompt(Document):
    """A prompt that is shown with a discovery."""

    id: Text
    """Id of the item."""
    text: Text
    """What is read of the prompt, in whole sentences: its last message, without those that all
    prompts of the log share."""
    output: Text
    """What the model answered."""
    failure: Share
    """1 for a wrong answer, 0 for a right one, or a score between."""
    tokens: list[FiringToken]
    """Where the concept is active above the threshold, in order."""


class DiscoveryRow(Discovery):
    """A row of `discoveries.jsonl`: a discovery with the prompts that are shown."""

    contexts: list[Text]
    """Contexts of the dictionary in which the concept's features fire, the firing token between «
    and »; empty where there is none."""
    shown_examples: list[ShownPrompt]
    """The prompts of `examples`; none where it is not confirmed."""
    shown_near_misses: list[ShownPrompt]
    """The prompts of `near_misses`; none where it is not confirmed."""


class ControlFound(Document):
    """What the same search finds by other means."""

    n_confirmed: Count
    """Number of hypotheses that were confirmed."""
    n_tested: Count
    """Number of hypotheses that were chosen on the discovery half."""
    confirmed: list[Text]
    """Names of what was confirmed."""


class PermutedFound(Document):
    """What the same search finds where failures are permuted."""

    mean_confirmed: Annotated[float, Field(strict=True, ge=0)]
    """Mean number of hypotheses that were confirmed."""
    share_with_any: Share
    """Share of the permutations in which something was confirmed."""
    n_permutations: Count
    """Number of searches."""


class Controls(Document):
    """Controls of a discovery."""

    words: ControlFound
    """Words and n-grams in place of concepts and features."""
    word_classes: ControlFound = Field(alias="word-classes")
    """The classes and lists of words that concepts are named after, without any model."""
    random_sae: ControlFound = Field(alias="random-sae")
    """A random dictionary, with random groups in place of concepts."""
    permuted: PermutedFound
    """The search with concepts and features in permuted failures."""


class PowerFigure(Document):
    """What difference could have been seen."""

    share: Share
    """Share of the prompts in which a concept is present."""
    concepts: Share | None
    """The smallest difference of failure rates that a concept shows with a probability of 80 %;
    null where none is large enough."""
    features: Share | None
    """The same of a single feature."""


class DiscoverySummary(Document):
    """`summary.json` of a discovery."""

    schema_version: PositiveCount
    """Version of this document's keys."""
    log: Text
    """The log, as it was named; empty for items that were given from Python."""
    model: Name
    """The model that was read."""
    sae: Text
    """The SAE: its hook point and number of features."""
    seed: Count
    """Seed of the split, the permutations and the random dictionary."""
    answer: Text
    """The most frequent answer."""
    answer_share: Share
    """Share of the items that have it."""
    by: Literal["correctness", "disagreement"]
    """What stands for failure."""
    samples: Count
    """Number of further answers that the model was asked for, to each prompt; 0 where the answers
    are the log's own."""
    n_reordered: Count
    """Number of prompts that were asked with their choices in other orders; to the others, answers
    were drawn."""
    vary: Vary = "order"
    """What was varied to have further answers: the order of the choices, or the wording."""
    changed: list[ChangedForm] = Field(default_factory=list)
    """How often the model answers otherwise, by what was changed."""
    drawn: DrawnControl | None = None
    """Control: answers drawn to the unchanged prompts; null where none was asked in other forms."""
    gold: GoldCheck | None
    """Whether disagreement stands for wrong answers; null where that is not known."""
    q: Share
    """False discovery rate that was asked for."""
    n_items: PositiveCount
    """Number of items that have a score."""
    n_without_score: Count
    """Number of items that were left out because they have none."""
    n_too_long: Count
    """Number of items that were left out because their prompts exceed the model's context."""
    n_discovery: Count
    """Number of items that hypotheses were chosen on."""
    n_confirmation: Count
    """Number of items that they were tested on."""
    failure_rate: Share
    """Mean failure of all items."""
    confounders: list[Text]
    """What is given to the model of failures first."""
    n_concepts: Count
    """Number of concepts that were tried."""
    n_features: Count
    """Number of features that were tried."""
    discoveries: list[Discovery]
    """Every hypothesis that was tested, the smallest p-value first."""
    controls: Controls
    """What the same search finds by other means."""
    power: list[PowerFigure]
    """What differences could have been seen."""
    mended: list[Mended]
    """What notes on the discoveries mend; empty where that was not tried, or where too few prompts
    have a discovery to try it."""


def write_discovery(folder: Path, summary: DiscoverySummary, rows: list[DiscoveryRow]) -> None:
    """Writes both documents of a discovery."""
    from saetask.utils.files import json_text, write_json, write_text

    lines = [json_text(row.to_json()) + "\n" for row in rows]
    write_text(folder / DISCOVERIES, "".join(lines))
    write_json(folder / SUMMARY, summary.to_json())
