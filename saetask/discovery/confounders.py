"""Confounders: what may explain failures before any hypothesis does."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from saetask.data.evaluated_items import EvaluatedItem

if TYPE_CHECKING:
    from jaxtyping import Float64, Int64

NUMBER = re.compile(r"\d[\d.,]*")
MOST_ANSWERS = 10
"""Logs with more different answers than this have no classes of answers."""


class Confounders(NamedTuple):
    """What is given to the model of failures first."""

    names: list[str]
    values: "Float64[np.ndarray, 'n k']"


def confounders(
    items: Sequence[EvaluatedItem],
    failures: "Float64[np.ndarray, ' n']",
    texts: Sequence[str],
    n_tokens: "Int64[np.ndarray, ' n']",
) -> Confounders:
    """Returns the confounders of each prompt.

    They are the logarithms of its numbers of tokens and words, and the square of the first; the
    number of numbers in it; its place in the log, and the square; and the answer, where the log
    has few different ones.

    Args:
        items: The items, in the order of the log.
        failures: Failure of each.
        texts: What is read of each prompt.
        n_tokens: Number of tokens of that text.
    """
    length = _standard(np.log(np.maximum(n_tokens, 1)))
    place = np.linspace(-1, 1, len(items)) if len(items) > 1 else np.zeros(len(items))
    columns = {
        "tokens": length,
        "tokens squared": length**2,
        "words": _standard(np.log([1 + len(text.split()) for text in texts])),
        "numbers": np.log([1 + len(NUMBER.findall(text)) for text in texts]),
        "position": place,
        "position squared": place**2,
        **_answers(items, failures),
    }
    return Confounders(list(columns), np.column_stack(list(columns.values())).astype(float))


def _standard(values: "Float64[np.ndarray, ' n']") -> "Float64[np.ndarray, ' n']":
    spread = values.std()
    return (values - values.mean()) / (spread if spread > 0 else 1.0)


def _answers(
    items: Sequence[EvaluatedItem], failures: "Float64[np.ndarray, ' n']"
) -> dict[str, "Float64[np.ndarray, ' n']"]:
    """Returns an indicator of each answer but the most frequent one; none where there are many.

    Nor where every answer always fails or never does, as in a log in which only one is ever
    right: then they are the failures, and would leave nothing to explain.
    """
    outputs = [" ".join(item.output.split()).casefold() for item in items]
    counts = Counter(outputs)
    judged = set(zip(outputs, failures.tolist()))
    if len(counts) > MOST_ANSWERS or len(judged) == len(counts):
        return {}
    given = np.array(outputs, dtype=object)
    return {f"answer {text!r}": given == text for text, _ in counts.most_common()[1:]}
