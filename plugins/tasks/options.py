"""Which of several options an output states, and whether that is the right one."""

from collections.abc import Mapping
from typing import Any

from saetask.data import Score


def checked_index(index: int, length: int) -> int:
    """Returns the index of an option once their number is checked; for a validator.

    Raises:
        ValueError: There is no such option.
    """
    if not 0 <= index < length:
        raise ValueError(f"expected a whole number from 0 to {length - 1}, found {index}")
    return index


def option_score(output: str, options: Mapping[Any, str], right: Any) -> Score:
    """Scores an output by the option whose text it states, whatever the case.

    An output that is an option states it. In a longer one the first to occur counts, and the
    longest where several begin together.

    Args:
        output: What the model answered.
        options: The text of each option, by name.
        right: The right one's name.
    """
    stated = output.strip().lower()
    texts = {name: option.strip().lower() for name, option in options.items()}
    found = [name for name, text in texts.items() if text == stated] or sorted(
        (name for name, text in texts.items() if text in stated),
        key=lambda name: (stated.find(texts[name]), -len(texts[name])),
    )
    if not found:
        return Score(None, False)
    return Score(options[found[0]], found[0] == right)
