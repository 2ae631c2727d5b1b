"""Questions to a judge about a label (detection and fuzzing), and the parsing of its answers."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from saetask.dictionary.collect.contexts import WINDOW, ActivationIndex
from saetask.dictionary.context import DictionaryContext
from saetask.dictionary.label.rules import context_text
from saetask.inference.endpoint import EndpointError, json_object

if TYPE_CHECKING:
    from jaxtyping import Bool, Int, Int32

QuestionKind = Literal["detection", "fuzzing"]
TEXTS = 5
"""Number of texts in a question."""
DETECTION_CONTEXTS = 40
"""Number of strongly firing contexts; there are twice as many silent ones."""
FUZZING_CONTEXTS = 40
"""Number of marked contexts; half of the marks are wrong."""
MAX_DISTANCE = 12
"""A mark is less than this number of tokens before the context's end, whether right or wrong, so
that its place carries no information."""
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
    """Texts of one question to a judge."""

    feature: int
    kind: QuestionKind
    messages: list[dict[str, str]]
    truth: "Bool[np.ndarray, ' n_texts']"
    """Whether the feature is active in each text: at its end, or at the marked token."""


class _ShownTexts(NamedTuple):
    """All texts of one kind of question about a feature."""

    kind: QuestionKind
    texts: list[str]
    truth: "Bool[np.ndarray, ' n_texts']"


def make_judge_questions(
    feature: int, label: str, test: ActivationIndex, context: DictionaryContext
) -> Iterator[JudgeQuestion]:
    """Yields the questions about one label, in an order that depends on the seed only.

    Detection and fuzzing are the two scores of Paulo et al. 2024 ("Automatically interpreting
    millions of features in large language models"), with one difference: there, detection asks
    whether a feature is active anywhere in a text; here, at its last token, which is what
    verdicts are about. Firing and silent contexts are shuffled.

    Args:
        feature: The feature.
        label: Its label.
        test: Activations on documents that no label was made from.
        context: Vocabulary, and seed of the contexts drawn.
    """
    generator = np.random.default_rng([context.seed, 5, feature])
    examples = test.draw(feature, DETECTION_CONTEXTS, [context.seed, 6])
    asked = np.flatnonzero(examples.firing | examples.silent)[: 3 * examples.firing.sum()]
    plain = [context_text(window, context.vocabulary) for window in examples.windows[asked]]
    marked = draw_marked(test, feature, FUZZING_CONTEXTS, generator)
    fuzzed = [
        context_text(window, context.vocabulary, int(place))
        for window, place in zip(marked.windows, marked.marked)
    ]
    for shown in (
        _ShownTexts("detection", plain, examples.firing[asked]),
        _ShownTexts("fuzzing", fuzzed, marked.right),
    ):
        order = generator.permutation(len(shown.texts))
        for start in range(0, len(order), TEXTS):
            chosen = order[start : start + TEXTS]
            messages = _messages(shown.kind, label, [shown.texts[i] for i in chosen])
            yield JudgeQuestion(feature, shown.kind, messages, shown.truth[chosen])


def _messages(kind: QuestionKind, label: str, texts: Sequence[str]) -> list[dict[str, str]]:
    listed = "\n".join(f"Text {number}: {text}" for number, text in enumerate(texts, 1))
    content = (
        f"Description of the feature: {label}\n\n{TASKS[kind]}\n\n{listed}\n\n"
        f'Answer with {{"answers": [...]}}: {len(texts)} numbers, one for each text in order, '
        "1 for active and 0 for silent."
    )
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": content}]


def read_answers(text: str, n: int) -> list[bool]:
    """Returns a judge's answers about `n` texts.

    Raises:
        EndpointError: There is not one yes or no for each text.
    """
    answers = json_object(text).get("answers")
    if not isinstance(answers, list) or len(answers) != n or any(a not in (0, 1) for a in answers):
        raise EndpointError(f"not {n} answers: {text[:60]!r}")
    return [bool(answer) for answer in answers]


class MarkedContexts(NamedTuple):
    """Contexts in which a feature fires, each with a mark on one token."""

    windows: "Int32[np.ndarray, 'n WINDOW']"
    """Token ids."""
    marked: "Int[np.ndarray, ' n']"
    """Place of the marked token in its window."""
    right: "Bool[np.ndarray, ' n']"
    """True where the feature fires strongly on the marked token; elsewhere it is silent there."""


def draw_marked(
    index: ActivationIndex, feature: int, n: int, generator: np.random.Generator
) -> MarkedContexts:
    """Draws contexts of a feature, one per row of the corpus; half have a silent token marked.

    Where the feature fires on all tokens near, the mark is right, so there may be fewer wrong
    marks than right ones.

    Args:
        index: Activations on test documents.
        feature: The feature.
        n: Maximum number of contexts.
        generator: Draws rows, places and marks.
    """
    firing, strong = index.tokens_firing(feature), index.tokens_firing_strongly(feature)
    starts = index.activations.row_starts
    rows = np.searchsorted(starts, strong, side="right") - 1
    ends, marks, right = [], [], []
    for row in generator.permutation(np.unique(rows))[:n]:
        token = int(generator.choice(strong[rows == row]))
        end = min(token + int(generator.integers(MAX_DISTANCE)), int(starts[row + 1]) - 1)
        near = np.arange(max(int(starts[row]), end - MAX_DISTANCE + 1), end + 1)
        silent = np.setdiff1d(near, firing)
        wrong = len(right) % 2 == 1 and len(silent) > 0
        marks.append(int(generator.choice(silent)) if wrong else token)
        ends.append(end)
        right.append(not wrong)
    places = np.array(marks, int) - np.array(ends, int) + WINDOW - 1
    return MarkedContexts(index.windows(np.array(ends, np.int64)), places, np.array(right, bool))
