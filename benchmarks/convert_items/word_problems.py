"""What word problems of several data sets share: answer, group, and what one step solves."""

import re

from pydantic import FiniteFloat

from benchmarks.convert_items.rows import FieldError, LeftOutError, Row, field
from saetask.data.numbers import numbers_in, same_number


def answer(row: Row, name: str) -> float:
    """Returns the number in a field, which may stand in a text."""
    value = row.get(name)
    if isinstance(value, str):
        found = numbers_in(value)
        if len(found) != 1 or re.search(r"[^\W\d_]", value):
            raise FieldError(name, f"expected a number, found {value!r}.")
        value = found[0]
    value = field({name: value}, name, FiniteFloat)
    return int(value) if value.is_integer() else value


def template(text: str) -> str:
    """Names a text by its set of words, without numbers and capitalised words.

    The order is left out as well, because SVAMP's variations change the order of sentences.
    """
    words = {word for word in re.findall(r"[A-Za-z]+", text) if word[0].islower()}
    return " ".join(sorted(words)) or text


def one_step(item: Row) -> Row:
    """Returns the problem if one operation on two numbers solves it.

    Raises:
        LeftOutError: None does.
    """
    numbers = numbers_in(item["question"])
    if len(numbers) != 2:
        raise LeftOutError("not exactly two numbers in digits")
    low, high = sorted(numbers, key=abs)
    results = [low + high, abs(high - low), low * high, *([high / low] if low else [])]
    if not any(same_number(result, item["answer"]) for result in results):
        raise LeftOutError("the answer is none of a + b, |a - b|, a * b, a / b (larger by smaller)")
    return item
