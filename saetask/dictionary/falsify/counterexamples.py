"""Counterexample test: whether a feature separates texts that fit its label from near misses.

A language model that is given the label, and nothing else about the feature, writes pairs of
texts: one to which the label applies, and one as similar as possible to which it does not. The
label is tested on new texts that are written to show where it is too wide or too narrow. The result
depends on the writer's understanding of the label: a writer that is too weak to follow the label
makes a right label look wrong, so read some of the texts before trusting a finding.
"""

from functools import partial
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from saetask.dictionary.falsify.base import ALPHA, HALF
from saetask.dictionary.falsify.text_requests import TextRequest, check_text
from saetask.inference.endpoint import EndpointError, json_object

if TYPE_CHECKING:
    from jaxtyping import Bool

CounterexampleFinding = Literal["holds", "falsified", "undecided"]
FORMS = (
    "a story",
    "a news report",
    "a textbook",
    "a talk between two people",
    "a letter to a friend",
    "instructions",
    "a review",
    "a diary",
)
"""Kinds of text; they differ between requests, since equal requests yield equal texts."""
PROMPT = (
    "Someone has described, perhaps wrongly, at which words of a text a certain feature of a "
    "language model is active:\n\n{label}\n\nWrite {n} pairs of short texts, every text two or "
    "three sentences out of {form}, every pair on a subject of its own. The first text of a pair "
    "has words to which the description applies. The second resembles the first as closely as it "
    "can in subject, style and length, but the description applies to none of its words. Do not "
    'speak of the description. Answer with {{"pairs": [["...", "..."], ...]}}, {n} pairs.'
)


class CounterexampleResult(NamedTuple):
    """Shares of generated texts in which a feature reaches its median activation."""

    n_pairs: int
    """Number of different pairs."""
    fitting_share: float
    """Share of the texts that fit the label in which the feature fires."""
    resembling_share: float
    """Share of the texts that only resemble them in which it fires."""
    failed: int
    """Number of requested pairs that are missing, repeated or could not be used."""
    p_value: float
    """One-sided (fitting more often than resembling); not corrected for the number of features."""


class TextPair(NamedTuple):
    """Two similar texts."""

    fitting: str
    """The label applies to it."""
    resembling: str
    """The label does not apply to it."""


def pair_requests(label: str, n: int) -> list[TextRequest]:
    """Returns the requests for pairs of texts, spread evenly over the kinds of text.

    Args:
        label: The feature's label.
        n: Number of pairs.
    """
    sizes = [len(range(place, n, len(FORMS))) for place in range(len(FORMS))]
    return [
        TextRequest(PROMPT.format(label=label, n=size, form=form), partial(read_pairs, size))
        for form, size in zip(FORMS, sizes)
        if size
    ]


def read_pairs(n: int, answer: str) -> list[str]:
    """Returns the texts of the pairs in an answer, one pair after another.

    Raises:
        EndpointError: The answer does not hold `n` pairs of different texts.
    """
    value = json_object(answer).get("pairs")
    pairs = value if isinstance(value, list) else []
    if len(pairs) != n or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise EndpointError(f"not {n} pairs: {answer[:60]!r}")
    texts = [check_text(text) for pair in pairs for text in pair]
    if any(first == second for first, second in zip(texts[::2], texts[1::2])):
        raise EndpointError(f"a pair of the same text: {answer[:60]!r}")
    return texts


def different_pairs(texts: list[str]) -> list[TextPair]:
    """Returns the distinct pairs of texts that are given one pair after another."""
    return list(dict.fromkeys(TextPair(*pair) for pair in zip(texts[::2], texts[1::2])))


def compare_pairs(
    fitting: "Bool[np.ndarray, ' n_pairs']",
    resembling: "Bool[np.ndarray, ' n_pairs']",
    failed: int,
) -> CounterexampleResult:
    """Compares texts that fit a label with those that only resemble them.

    By McNemar's exact test: among the pairs in which the feature fires in one text only, the
    number in which that is the fitting one is compared with that of a fair coin.

    Args:
        fitting: Whether the feature fires in the fitting text of each pair.
        resembling: Whether it fires in the other text.
        failed: Number of pairs that are missing.
    """
    from scipy.stats import binomtest

    right, wrong = int((fitting & ~resembling).sum()), int((resembling & ~fitting).sum())
    discordant = right + wrong
    p_value = 1.0
    if discordant:
        p_value = binomtest(right, discordant, alternative="greater").pvalue
    shares = float(fitting.mean()), float(resembling.mean())
    return CounterexampleResult(len(fitting), *shares, failed, float(p_value))


def counterexample_finding(result: CounterexampleResult, q_value: float) -> CounterexampleFinding:
    """Returns the finding of the counterexample test.

    `holds`: the feature fires in half of the fitting texts or more, in fewer than half of the
    resembling ones, and significantly more often in the former.

    `falsified`: it fires in most texts to which the label does not apply (the 95 % Wilson interval
    lies above one half); or in few of those to which it does (the interval lies below) and not
    significantly more often than in the others.

    Else `undecided`: as when it fires in one fitting text in three and in no other. "Fires" means
    that the median of the feature's activations is reached, which a right label does not imply
    for every text.

    Args:
        result: The comparison.
        q_value: Its p-value, corrected for the number of features.
    """
    from scipy.stats import binomtest

    significant = q_value < ALPHA
    if significant and result.fitting_share >= HALF > result.resembling_share:
        return "holds"
    fitting, resembling = (
        binomtest(round(share * result.n_pairs), result.n_pairs).proportion_ci(method="wilson")
        for share in (result.fitting_share, result.resembling_share)
    )
    beyond = resembling.low > HALF
    misses = fitting.high < HALF and not significant
    return "falsified" if beyond or misses else "undecided"
