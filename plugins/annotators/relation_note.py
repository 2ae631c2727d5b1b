"""Notes that say how the quantities of a word problem are related, and which ones matter.

The relation follows from the reading that was found, in words that the question's own choose; the
quantities are the problem's, told apart by the nouns behind them. No note holds a result.
"""

import re
from collections.abc import Mapping
from itertools import takewhile
from typing import NamedTuple

from saetask.annotation import PLACEMENTS, Annotation
from saetask.data import find_numbers, number_text, same_number
from saetask.detection import Misunderstanding

from .operation_note import result


class Relation(NamedTuple):
    """What is known and what is asked, in problems whose words have a pattern."""

    pattern: str
    text: str


_MULTIPLE = r"\btimes (?:as|the|his|her|its|their|[A-Z]\w*['’]s)\b"

RELATIONS: Mapping[str, tuple[Relation, ...]] = {
    "addition": (
        Relation(
            r"\b(?:than)\b", "One amount and a difference are known, the larger amount is asked."
        ),
        Relation("", "The parts are known, the total is asked."),
    ),
    "subtraction": (
        Relation(
            r"\bthan\b[^.?!]*\?|\b(?:difference|by how (?:much|many))\b",
            "Two amounts are known, the difference between them is asked.",
        ),
        Relation("", "The total is known, a part of it is asked."),
    ),
    "multiplication": (
        Relation(_MULTIPLE, "One amount is known, a multiple of it is asked."),
        Relation("", "Equal groups are known, the total of all of them is asked."),
    ),
    "division": (
        Relation(_MULTIPLE, "A multiple of an amount is known, the amount is asked."),
        Relation(
            r"\b(?:each|every|per|apiece)\b[^.?!]*\?",
            "The total is known, what one of several equal groups has is asked.",
        ),
        Relation("", "The total is known, it is shared equally, and a share of it is asked."),
    ),
}
"""By reading: the first whose pattern is found in the problem holds."""
MOST_WORDS = 3
"""Maximum number of words behind a number that say what it counts."""
_WORD = re.compile(r"[A-Za-z][A-Za-z'’-]*")
_GROUPS = re.compile(r"\b(?:each|every|per|apiece|twice|times|equal|equally)\b", re.IGNORECASE)
"""Words of problems in which quantities of several kinds belong together."""
_BEHIND = re.compile(rf"(?:[ -]*{_WORD.pattern})*")
_STOP = re.compile(
    r"a|about|after|again|all|altogether|also|an|and|another|are|as|at|be|been|before|began"
    r"|but|by|can|did|do|does|during|each|every|first|for|from|gets?|got|had|has|have|he|her"
    r"|his|how|if|in|into|is|it|its|last|left|many|more|much|new|now|of|off|on|or|other|out"
    r"|over|per|she|so|some|than|that|the|their|them|then|there|they|this|to|today|total|up"
    r"|was|we|were|what|when|which|while|who|will|with|would|you",
    re.IGNORECASE,
)
"""Words that end what a number counts, and tell nothing of it."""


class Quantity(NamedTuple):
    """A number of a problem and the nouns, or other telling words, right behind it."""

    value: float
    behind: tuple[str, ...]
    """These words, as they stand there."""

    @property
    def words(self) -> frozenset[str]:
        """The words without the ending of the plural, in lower case."""
        return _words(" ".join(self.behind))

    def text(self, asked: frozenset[str]) -> str:
        """Returns the number with what it counts, up to a word that is asked about, if any is."""
        places = [n for n, word in enumerate(self.behind) if _words(word) & asked]
        return " ".join([number_text(self.value), *self.behind[: 1 + max(places, default=0)]])


class RelationNote:
    """States what is known and what is asked, and which quantities matter."""

    name = "relation-note"

    def candidates(
        self, misunderstanding: Misunderstanding, labels: Mapping[int, str]
    ) -> list[Annotation]:
        """Returns each text at each place that does not cut the problem in two."""
        reading, problem = misunderstanding.reading, misunderstanding.text
        if reading not in RELATIONS:
            return []
        relation = next(
            each.text for each in RELATIONS[reading] if re.search(each.pattern, problem, re.I)
        )
        with_quantities = f"{relation} {what_matters(problem, reading)}".rstrip()
        return [
            Annotation(f"(Note: {text})", place, self.name)
            for text in (relation, with_quantities)
            for place in PLACEMENTS
            if place != "inline"
        ]


def what_matters(problem: str, reading: str) -> str:
    """Returns which of more than two quantities matter; "" where their nouns do not tell.

    They tell in sums and differences without equal groups, if just two quantities count what the
    last question, which compares nothing, asks about, and each of the others counts something else.
    A text with the result of the operation, which one of the quantities may happen to be, is left
    out.
    """
    if reading not in ("addition", "subtraction") or _GROUPS.search(problem):
        return ""
    quantities, question = quantities_of(problem), _question(problem)
    asked = _words(question)
    relevant = [each for each in quantities if each.words & asked]
    others = [each for each in quantities if not each.words & asked]
    if len(relevant) != 2 or not others or re.search(r"\bthan\b", question):
        return ""
    counted = relevant[0].words | relevant[1].words
    if any(not each.words or each.words & counted for each in others):
        return ""
    value = result(reading, *(each.value for each in relevant))
    if any(same_number(value, each.value) for each in quantities):
        return ""
    used, unused = (" and ".join(each.text(asked) for each in part) for part in (relevant, others))
    return f"What matters: {used}. The {unused} do not matter."


def quantities_of(problem: str) -> list[Quantity]:
    """Returns the quantities of a problem, in order; those that are written alike count once."""
    found: dict[tuple[float, frozenset[str]], Quantity] = {}
    for number in find_numbers(problem):
        behind = _BEHIND.match(problem[number.end :])
        words = _WORD.findall(behind[0] if behind else "")
        telling = tuple(takewhile(lambda word: not _STOP.fullmatch(word), words))
        quantity = Quantity(number.value, telling[:MOST_WORDS])
        found.setdefault((quantity.value, quantity.words), quantity)
    return list(found.values())


def _question(problem: str) -> str:
    """Returns the last sentence with a question mark; the whole problem where there is none."""
    asking = re.findall(r"[^.?!]*\?", problem)
    return asking[-1] if asking else problem


def _words(text: str) -> frozenset[str]:
    words = (word.lower() for word in _WORD.findall(text))
    return frozenset(
        re.sub(r"(?<=[a-z]{2})s$", "", word) for word in words if not _STOP.fullmatch(word)
    )
