"""What a judge is asked about a label, and how its answers are read."""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np

from saetask.dictionary.collect.contexts import WINDOW, ActivationIndex
from saetask.dictionary.label.rules import Vocabulary, context_text
from saetask.inference.endpoint import EndpointError, json_object

TEXTS = 5
"""Texts to a question."""
DETECTION_CONTEXTS = 40
"""Strongly firing contexts, and twice as many silent ones. Enough for a verdict."""
FUZZING_CONTEXTS = 40
"""Marked contexts, half of them wrongly."""
SYSTEM = (
    "You check descriptions of features of a language model. A feature is a number that the model "
    "computes at every token of a text: at some tokens it is active, at the others silent. Go by "
    "the description alone, and answer with a JSON object and nothing else."
)
TASKS = {
    "detection": (
        "Each of the following texts breaks off after a certain token. Is the feature active at "
        "that last token?"
    ),
    "fuzzing": (
        "In each of the following texts one token is marked <<like this>>. Is the feature active "
        "at the marked token?"
    ),
}


class JudgeQuestion(NamedTuple):
    """A few texts about which a judge is asked."""

    feature: int
    kind: Literal["detection", "fuzzing"]
    messages: list[dict[str, str]]
    truth: np.ndarray
    """Is the feature active there? `[n_texts]`, bool."""


def make_judge_questions(
    feature: int,
    label: str,
    test: ActivationIndex,
    neighbour: int,
    vocabulary: Vocabulary,
    seed: int,
) -> Iterator[JudgeQuestion]:
    """Yields the questions about one label, the same for the same seed.

    Detection and fuzzing are the two scores of Paulo et al. 2024 ("Automatically interpreting
    millions of features in large language models"), with one difference: there, detection asks
    whether a feature is active anywhere in a text; here, at its last token, which is what
    verdicts are about. Firing and silent contexts come shuffled.

    Args:
        feature: The feature.
        label: What it is said to be about.
        test: TokenActivations on documents that no label was made from.
        neighbour: The nearest other feature: half of the hard silent contexts are its.
        vocabulary: The model's tokens.
        seed: Seed of the contexts drawn.
    """
    generator = np.random.default_rng([seed, 5, feature])
    examples = test.draw(feature, neighbour, DETECTION_CONTEXTS, [seed, 6])
    asked = np.flatnonzero(examples.firing | examples.silent)[: 3 * examples.firing.sum()]
    plain = [context_text(window, vocabulary) for window in examples.windows[asked]]
    marked = draw_marked(test, feature, FUZZING_CONTEXTS, generator)
    fuzzed = [
        context_text(window, vocabulary, int(place))
        for window, place in zip(marked.windows, marked.marked)
    ]
    kinds: tuple[tuple[Literal["detection", "fuzzing"], list[str], np.ndarray], ...] = (
        ("detection", plain, examples.firing[asked]),
        ("fuzzing", fuzzed, marked.right),
    )
    for kind, texts, truth in kinds:
        order = generator.permutation(len(texts))
        for start in range(0, len(order), TEXTS):
            chosen = order[start : start + TEXTS]
            shown = [texts[i] for i in chosen]
            yield JudgeQuestion(feature, kind, _messages(kind, label, shown), truth[chosen])


def _messages(kind: str, label: str, texts: Sequence[str]) -> list[dict[str, str]]:
    listed = "\n".join(f"Text {number}: {text}" for number, text in enumerate(texts, 1))
    content = (
        f"Description of the feature: {label}\n\n{TASKS[kind]}\n\n{listed}\n\n"
        f'Answer with {{"answers": [...]}}: {len(texts)} numbers, one for each text in order, '
        "1 for active and 0 for silent."
    )
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": content}]


def read_answers(text: str, n: int) -> list[bool]:
    """Reads what a judge says of `n` texts.

    Raises:
        EndpointError: It does not say yes or no to each.
    """
    answers = json_object(text).get("answers")
    if not isinstance(answers, list) or len(answers) != n or any(a not in (0, 1) for a in answers):
        raise EndpointError(f"not {n} answers: {text[:60]!r}")
    return [bool(answer) for answer in answers]


REACH = 12
"""A mark is at most so many tokens before the context's end, right or wrong alike, so that where
it stands tells nothing."""


class MarkedContexts(NamedTuple):
    """Contexts in which a feature fires, each with a mark on one token."""

    windows: np.ndarray
    """Token ids, `[n, WINDOW]`."""
    marked: np.ndarray
    """Place of the marked token in its window, `[n]`."""
    right: np.ndarray
    """Does the feature fire strongly on the marked token? `[n]`, bool; else it is silent there."""


def draw_marked(
    index: ActivationIndex, feature: int, n: int, generator: np.random.Generator
) -> MarkedContexts:
    """Draws contexts of a feature, one a row of the corpus; half have a silent token marked.

    A row in which all tokens fire takes the right mark only, so there may be fewer wrong ones.

    Args:
        index: TokenActivations on test documents.
        feature: The feature.
        n: Contexts wanted.
        generator: Draws rows, places and marks.
    """
    firing, strong = index.tokens_firing(feature), index.tokens_firing_strongly(feature)
    starts = index.firings.row_starts
    rows = np.searchsorted(starts, strong, side="right") - 1
    ends, marks, right = [], [], []
    for row in generator.permutation(np.unique(rows))[:n]:
        token = int(generator.choice(strong[rows == row]))
        end = min(token + int(generator.integers(REACH)), int(starts[row + 1]) - 1)
        near = np.arange(max(int(starts[row]), end - REACH + 1), end + 1)
        silent = np.setdiff1d(near, firing)
        wrong = len(right) % 2 == 1 and len(silent) > 0
        marks.append(int(generator.choice(silent)) if wrong else token)
        ends.append(end)
        right.append(not wrong)
    places = np.array(marks, int) - np.array(ends, int) + WINDOW - 1
    return MarkedContexts(index.windows(np.array(ends, np.int64)), places, np.array(right, bool))
