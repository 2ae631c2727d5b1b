"""Whether a written answer is the right one, where nothing but the right answer's text is known."""

import re

from saetask.data.numbers import (
    last_number,
    number_text,
    numbers_in,
    same_number,
    stated_number,
)
from saetask.data.reasoning import without_reasoning

_WORD = re.compile(r"\w+")


LONGEST_SHORT = 12
"""Number of words up to which an answer is taken as a whole."""
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")


def final_answer(output: str) -> str:
    """Returns what an answer comes to, for comparing answers where the right one is not known.

    The number that it states (`stated_number`); or else a short answer as a whole, without regard
    to case and blanks; or else, of a long one, the last number or, without any, the last sentence.

    Args:
        output: What a model wrote; what it thought aloud is passed over.
    """
    answer = without_reasoning(output)
    number = stated_number(answer)
    if number is None and len(answer.split()) > LONGEST_SHORT:
        number = last_number(answer)
        answer = _SENTENCE_END.split(answer.strip())[-1]
    return " ".join(answer.split()).casefold() if number is None else number_text(number)


def matches_target(output: str, target: str) -> bool:
    """Returns whether an output gives the right answer.

    A target that is one number, or states one (`#### 72`), is compared with the number that the
    output states (`stated_number`), or with its last one if it states none. Any other target must
    be the whole output, its beginning, or its last words, without regard to case.

    Args:
        output: What a model wrote; what it thought aloud is passed over.
        target: The right answer.
    """
    answer = without_reasoning(output)
    right = stated_number(target)
    if right is None and not re.search(r"[^\W\d_]", target) and len(numbers_in(target)) == 1:
        right = numbers_in(target)[0]
    if right is not None:
        stated = stated_number(answer)
        return same_number(last_number(answer) if stated is None else stated, right)
    wanted, said = (_WORD.findall(text.casefold()) for text in (target, answer))
    return bool(wanted) and wanted in (said[: len(wanted)], said[-len(wanted) :])
