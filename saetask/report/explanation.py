"""How well concepts explain the detector of a run: the block `explanation` of `summary.json`."""

from pydantic import Field

from saetask.report.documents import Count, Document, Interval, Number, PositiveCount, Share, Text


class Faithfulness(Document):
    """Effect of features of named concepts, beside as many random firing features."""

    effect: Number | None
    """Effect of the features of the named concepts; null where it is not defined."""
    random: Number | None
    """The same of as many random features that fire in the prompt."""
    p: Share
    """P-value of the difference: one-sided sign-flip test, paired by prompt, over groups."""


class TradeOff(Document):
    """How well the right reading is told from k inputs, chosen and fitted on other items."""

    inputs: Text
    """`concepts`, `named-features` (single ones, of meaning), `features`, `neurons`, or
    `random-sae`: features of a random dictionary."""
    k: PositiveCount
    """Number of inputs of a probe."""
    auroc: Share
    """Macro AUROC of the right reading."""
    ci95: Interval | None
    """95 % bootstrap interval over groups of items; null if no resample holds every reading."""


class Explanation(Document):
    """How well concepts explain what the detector finds in test items."""

    detector: Text
    """Name of the detector."""
    n_concepts: Count
    """Maximum number of different concepts that the findings of one fold name."""
    k_per_finding: Number
    """Mean number of concepts that a finding names."""
    auroc: Share | None = None
    """Macro AUROC of the right reading, by the detector; of this and the next three null if there
    is one reading only, or if it was not measured."""
    auroc_dense: Share | None = None
    """The same by the dense probe, which names nothing."""
    auroc_words: Share | None = None
    """The same by the classes of the prompt's words, without the model."""
    auroc_random_sae: Share | None = None
    """The same by the detector through a random dictionary, with random features as concepts."""
    named_share: Share | None
    """Share of the listed concepts in the sum of |contribution|, `rest` included: weaker concepts,
    what has no name, and what an average prompt gets."""
    validated_share: Share | None
    """The same of listed concepts whose verdict is `validated`."""
    additive_error: Number
    """Maximum of |log-odds - contributions - rest|, in nats."""
    stability: Share | None
    """Mean Jaccard index of the five strongest concepts of a prompt, by detectors that were fitted
    on two halves of the first fold's groups; null where the halves are too small."""
    necessity: Faithfulness
    """Mean fall of the log-odds of the reading when the features of the concepts named for it are
    silenced, in nats."""
    sufficiency: Faithfulness
    """Share of the log-odds of the reading that is kept when only the features of all named
    concepts are left."""
    described: Faithfulness | None = None
    """Share of what listed concepts add on single words that lies on words which the concept's name
    describes, beside names exchanged among the listed concepts (p by permutation); null where no
    name tells of single words, and in older runs."""
    trade_off: list[TradeOff] = Field(default_factory=list)
    """Fewer inputs make a shorter explanation: what that costs, beside inputs without names."""
