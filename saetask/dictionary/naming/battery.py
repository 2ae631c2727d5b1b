"""The battery of predicates that names of features are chosen from.

A predicate says of every token of a text whether a plain description holds there: the word is of a
class, or such words stand before it, or one comes next. A reader can apply it, and so can a test.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from saetask.data.class_names import CLASS_NAMES, WIDE_CLASSES, classes_together
from saetask.data.word_classes import FUNCTION_WORDS, class_names, class_of, lemma_of, word_lists
from saetask.dictionary.naming.token_words import TokenWords
from saetask.saes.concepts import ConceptKind

if TYPE_CHECKING:
    from jaxtyping import Bool
    from scipy.sparse import csc_matrix

REACH = 12
"""Number of tokens before a word in which `near` looks."""
AMONG, AT_LEAST = 24, 3
"""Number of tokens before a word in which `among` looks, and how many must be of the kind."""
OWN_WORDS = "words"
"""Source of names that are made of a feature's own words; see `own_words`."""
SIGNS = {
    "sentence ends": (".", "!", "?"),
    "commas": (",",),
    "colons and semicolons": (":", ";"),
    "quotation marks": ('"', "“", "”", "'", "‘", "’"),
    "brackets": ("(", ")", "[", "]", "{", "}"),
    "arithmetic signs": ("+", "-", "*", "/", "=", "<<", ">>", "×", "÷", "%"),
    "money signs": ("$", "£", "€"),
    "dashes": ("–", "—", "--"),
}
"""Tokens that hold nothing but these signs."""
ENDINGS = {
    "words ending in -ing": r"[a-z]{2,}ing",
    "adverbs ending in -ly": r"[a-z]{3,}ly",
    "nouns of actions and qualities": r"[a-z]{2,}(tion|sion|ness|ment|ity|ance|ence|ism)s?",
    "adjectives ending in -ful, -ous, -ive or -able": r"[a-z]{2,}(ful|ous|ive|able|ible|less|ical)",
}
"""Words of these endings."""
NEAR_TOO = ("digits", "negation", "comparison words", "quantity words", "arithmetic signs", "names")
"""Beside the classes of words: what `near` is tried for."""
AMONG_TOO = (
    *NEAR_TOO,
    "first person",
    "second person",
    "he and she",
    "past forms of verbs",
    "quotation marks",
    "line breaks",
    "nouns of actions and qualities",
)
"""What `among` is tried for: these tell talk, stories, textbooks and sums from each other."""


NO_LISTS: Mapping[str, Collection[str]] = MappingProxyType({})


class Predicate(NamedTuple):
    """A plain description of a token."""

    id: str
    """Relation and source, such as `near:noun.food`."""
    name: str
    """As it is shown, such as `near food`."""
    kind: ConceptKind
    source: str


KINDS: Mapping[str, ConceptKind] = MappingProxyType(
    {
        "on": "on",
        "after": "near",
        "near": "near",
        "among": "near",
        "in": "near",
        "before": "promotes",
    }
)
"""Kind of a concept by the relation of what its name says to the token."""


def predicate(relation: str, source: str, shown: str) -> Predicate:
    """Returns the predicate that a source, shown in plain words, stands in a relation."""
    name = shown if relation in ("on", "in") else f"{relation} {shown}"
    return Predicate(f"{relation}:{source}", name, KINDS[relation], source)


class Predicates(NamedTuple):
    """Where each predicate holds."""

    predicates: list[Predicate]
    holds: "csc_matrix"
    """`[n_tokens, n_predicates]`, boolean."""

    def where(self, predicate_id: str) -> "Bool[np.ndarray, ' n_tokens']":
        """Returns on which tokens the predicate of an id holds."""
        column = [predicate.id for predicate in self.predicates].index(predicate_id)
        return np.asarray(self.holds[:, [column]].todense(), bool).ravel()


def apply_battery(tokens: TokenWords, own: Mapping[str, Collection[str]] = NO_LISTS) -> Predicates:
    """Returns where each predicate of the battery holds in some rows.

    Args:
        tokens: The rows.
        own: Word lists of the user's, by name: lower-case words, whose lemma counts as well.
    """
    from scipy.sparse import csc_matrix

    listed = list(_battery(tokens, own))
    columns = np.stack([mask for _, mask in listed], axis=1)
    return Predicates([predicate for predicate, _ in listed], csc_matrix(columns))


def _battery(
    tokens: TokenWords, own: Mapping[str, Collection[str]]
) -> Iterator[tuple[Predicate, "Bool[np.ndarray, ' n']"]]:
    here = dict(_descriptions(tokens))
    for name, words in own.items():
        here[name] = _of_words(tokens, lambda word, words=words: {word, lemma_of(word)} & {*words})
    classes = {*CLASS_NAMES, *WIDE_CLASSES}
    for source, mask in here.items():
        name = CLASS_NAMES.get(source, source)
        yield predicate("on", source, name), mask
        yield predicate("after", source, name), _after(tokens, mask)
        yield predicate("before", source, name), _before(tokens, mask)
        if source in classes or source in NEAR_TOO:
            yield predicate("near", source, name), _within(tokens, mask, REACH, 1)
        if source in classes or source in AMONG_TOO:
            yield predicate("among", source, name), _within(tokens, mask, AMONG, AT_LEAST)
    for source, mask in _places(tokens):
        yield predicate("in", source, source), mask


def _descriptions(tokens: TokenWords) -> Iterator[tuple[str, "Bool[np.ndarray, ' n']"]]:
    """Yields what tokens are, whatever stands around them."""
    classes = np.array([class_of(word) or "" for word in tokens.words], dtype=object)
    for name in class_names():
        yield name, classes == name
    for name, together in classes_together(class_names()).items():
        yield name, np.isin(classes, together)
    for name, listed in word_lists().items():
        yield name, _of_words(tokens, listed.__contains__)
    for name, ending in ENDINGS.items():
        yield name, _of_words(tokens, re.compile(ending).fullmatch)
    yield "plurals", _of_words(tokens, _is_plural)
    yield "past forms of verbs", _of_words(tokens, _is_past)
    texts = np.array(tokens.texts, dtype=object)
    for name, signs in SIGNS.items():
        yield name, np.array([bool(text) and not text.strip("".join(signs)) for text in texts])
    yield "digits", np.array([text.isdigit() for text in texts], bool)
    yield "line breaks", tokens.breaks
    yield "capitalised words", tokens.capital
    yield (
        "names",
        tokens.capital
        & (classes == "")
        & ~_of_words(tokens, word_lists()[FUNCTION_WORDS].__contains__),
    )
    yield "beginnings of long words", tokens.last > np.arange(len(texts))
    yield "control tokens", np.array([text.startswith("<|") for text in texts], bool)


def _of_words(tokens: TokenWords, test: Callable[[str], object]) -> "Bool[np.ndarray, ' n']":
    known = {word: bool(word and test(word)) for word in set(tokens.words)}
    return np.array([known[word] for word in tokens.words], bool)


def _is_plural(word: str) -> bool:
    lemma = lemma_of(word)
    return word.endswith("s") and lemma != word and (class_of(lemma) or "").startswith("noun")


def _is_past(word: str) -> bool:
    lemma = lemma_of(word)
    is_verb = lemma != word and (class_of(lemma) or "").startswith("verb")
    return is_verb and not word.endswith(("s", "ing", "er", "est"))


def _places(tokens: TokenWords) -> Iterator[tuple[str, "Bool[np.ndarray, ' n']"]]:
    """Yields predicates of the place of a token in its text."""
    place = np.arange(len(tokens.words)) - tokens.row_start
    yield "beginning of a text", place < REACH // 2
    ends = np.array([text[-1:] in (".", "!", "?") for text in tokens.texts], bool)
    yield "first word of a sentence", _after(tokens, ends | tokens.breaks)
    marks = np.array([text.count('"') % 2 for text in tokens.texts])
    total = np.concatenate([[0], np.cumsum(marks)])
    opened = total[1:] - total[tokens.row_start]
    yield "inside quotation marks", opened % 2 == 1


def _after(tokens: TokenWords, mask: "Bool[np.ndarray, ' n']") -> "Bool[np.ndarray, ' n']":
    """Returns where the unit before the token's own satisfies a mask."""
    inside = tokens.first > tokens.row_start
    return mask[np.maximum(tokens.first - 1, 0)] & inside


def _before(tokens: TokenWords, mask: "Bool[np.ndarray, ' n']") -> "Bool[np.ndarray, ' n']":
    """Returns where the unit after the token's own satisfies a mask."""
    inside = tokens.last + 1 < tokens.row_end
    return mask[np.minimum(tokens.last + 1, len(mask) - 1)] & inside


def _within(
    tokens: TokenWords, mask: "Bool[np.ndarray, ' n']", reach: int, least: int
) -> "Bool[np.ndarray, ' n']":
    """Returns where so many tokens have the mask, of those up to `reach` before the own unit."""
    total = np.concatenate([[0], np.cumsum(mask)])
    low = np.maximum(tokens.row_start, tokens.first - reach)
    return total[tokens.first] - total[low] >= least
