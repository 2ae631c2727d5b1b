"""Counterexamples: does a feature tell texts that fit its label from texts that nearly do?

A writer that knows the label, and nothing else of the feature, writes texts in pairs: one to which
the label applies, and one as like it as can be to which it does not. A label is put to the test
here on texts that nobody had when it was made, and that were made to show where it is too wide or
too narrow. What a writer makes of a label is its own reading: one that is too weak to write what
the label says makes a right label look wrong, so read some of the texts before you believe it.
"""

from functools import partial
from typing import Literal, NamedTuple

import numpy as np

from saetask.dictionary.falsify.text_requests import TextRequest, written_text
from saetask.inference.endpoint import EndpointError, json_object

CounterexampleFinding = Literal["holds", "falsified", "undecided"]
ALPHA = 0.05
HALF = 0.5
"""Share of texts in which a feature must fire where its label applies, and must not elsewhere."""
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
"""Kinds of text: asked for the same thing twice, a model writes the same text twice."""
PROMPT = (
    "Someone has described, perhaps wrongly, at which words of a text a certain feature of a "
    "language model is active:\n\n{label}\n\nWrite {n} pairs of short texts, every text two or "
    "three sentences out of {form}, every pair on a subject of its own. The first text of a pair "
    "has words to which the description applies. The second resembles the first as closely as it "
    "can in subject, style and length, but the description applies to none of its words. Do not "
    'speak of the description. Answer with {{"pairs": [["...", "..."], ...]}}, {n} pairs.'
)


class CounterexampleResult(NamedTuple):
    """How often a feature fires in written texts, at its natural level or above."""

    n_pairs: int
    """Pairs that differ from each other."""
    fitting_share: float
    """Share of the texts that fit the label in which the feature fires."""
    resembling_share: float
    """Share of those that only resemble them."""
    failed: int
    """Pairs asked for that did not come, could not be used, or came twice."""
    p_value: float
    """One-sided (fitting more often than resembling); not corrected for the number of features."""


class TextPair(NamedTuple):
    """Two texts."""

    fitting: str
    """The label applies."""
    resembling: str
    """It does not."""


def pair_requests(label: str, n: int) -> list[TextRequest]:
    """Returns the requests for pairs of texts, of all kinds of text as evenly as may be.

    Args:
        label: What the feature is said to be about.
        n: Pairs wanted.
    """
    sizes = [len(range(place, n, len(FORMS))) for place in range(len(FORMS))]
    return [
        TextRequest(PROMPT.format(label=label, n=size, form=form), partial(read_pairs, size))
        for form, size in zip(FORMS, sizes)
        if size
    ]


def read_pairs(n: int, answer: str) -> list[str]:
    """Reads pairs out of an answer; they come one after another.

    Raises:
        EndpointError: It does not hold `n` pairs of different texts.
    """
    found = json_object(answer).get("pairs")
    pairs = found if isinstance(found, list) else []
    if len(pairs) != n or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise EndpointError(f"not {n} pairs: {answer[:60]!r}")
    texts = [written_text(text) for pair in pairs for text in pair]
    if any(first == second for first, second in zip(texts[::2], texts[1::2])):
        raise EndpointError(f"a pair of the same text: {answer[:60]!r}")
    return texts


def different_pairs(texts: list[str]) -> list[TextPair]:
    """Returns pairs that come one after another, each once: a repeated one is no new evidence."""
    return list(dict.fromkeys(TextPair(*pair) for pair in zip(texts[::2], texts[1::2])))


def compare_pairs(fitting: np.ndarray, resembling: np.ndarray, failed: int) -> CounterexampleResult:
    """Compares texts that fit a label with those that only resemble them.

    By McNemar's test, exactly: of the pairs in which the feature fires in one text only, it does
    so in the fitting one no more often than a fair coin would have it.

    Args:
        fitting: Does the feature fire in the fitting text of each pair? `[n_pairs]`, bool.
        resembling: Does it in the other? `[n_pairs]`, bool.
        failed: Pairs that are missing.
    """
    from scipy.stats import binomtest

    right, wrong = int((fitting & ~resembling).sum()), int((resembling & ~fitting).sum())
    tells = right + wrong
    p_value = binomtest(right, tells, alternative="greater").pvalue if tells else 1.0
    shares = float(fitting.mean()), float(resembling.mean())
    return CounterexampleResult(len(fitting), *shares, failed, float(p_value))


def counterexample_finding(result: CounterexampleResult, q_value: float) -> CounterexampleFinding:
    """Returns what written texts say of a label.

    `holds`: the feature fires in half of the fitting texts or more, in fewer than half of the
    resembling ones, and significantly more often in the former.

    `falsified`: it fires in most texts to which the label does not apply (the 95 % Wilson interval
    lies above one half); or in few of those to which it does (the interval lies below) and not
    significantly more often than in the others.

    Else `undecided`: as when it fires in one fitting text in three and in no other. "Fires" means
    that the natural level, the median of the feature's activations, is reached, which a right
    label does not promise for every text.

    Args:
        result: The texts.
        q_value: Their p-value, corrected for the number of features.
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
