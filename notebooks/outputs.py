"""Comparison of a notebook's stored outputs with those of a new execution.

Compared are what cells print to stdout and the texts of their results (text/plain, text/html), but
for white space, which follows the width of numbers. Whole numbers must be equal; numbers with
decimals may differ by a unit of their last printed place or by one percent, since processors sum in
different orders. Durations and memory addresses are not compared.
"""

import difflib
import math
import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

RELATIVE = 0.01
TEXT_TYPES = ("text/plain", "text/html")
NUMBER = re.compile(r"\d+(?:\.\d*)?(?:[eE][-+]?\d+)?")
UNCOMPARED = (
    (re.compile(r"\d+(?:\.\d+)? ?(?:ms|s|seconds?|min|minutes?)\b"), "<duration>"),
    (re.compile(r"\b0x[0-9a-fA-F]+\b"), "<address>"),
)
PADDING = re.compile(r"(?<=[\[(]) | (?=[,\])])")
"""Spaces by which arrays are aligned."""
LINE_LENGTH = 160


def differences(stored: Mapping[str, Any], executed: Mapping[str, Any]) -> str:
    """Returns a diff of two notebooks' outputs, cell by cell; empty if they are the same.

    Args:
        stored: A notebook (JSON of format 4) as it is in the repository.
        executed: The same notebook after an execution.
    """
    parts = []
    for number, (before, after) in enumerate(zip(stored["cells"], executed["cells"]), 1):
        old, new = "\n".join(texts(before)), "\n".join(texts(after))
        if not is_same(old, new):
            parts += difflib.unified_diff(
                *_lines(old, new), f"cell {number}, stored", f"cell {number}, executed", n=1
            )
    return "\n".join(line.rstrip("\n") for line in parts)


def texts(cell: Mapping[str, Any]) -> Iterator[str]:
    """Yields the texts of a cell's outputs; what it printed in several parts is one text."""
    printed = ""
    for output in cell.get("outputs", ()):
        if output["output_type"] == "stream":
            printed += _joined(output["text"]) if output["name"] == "stdout" else ""
            continue
        if printed:
            yield printed
        printed = ""
        for kind in TEXT_TYPES:
            if kind in output.get("data", {}):
                yield f"[{kind}]\n{_joined(output['data'][kind])}"
    if printed:
        yield printed


def is_same(old: str, new: str) -> bool:
    """Returns whether two texts are the same but for rounding, white space and the like."""
    old, new = _compared(old), _compared(new)
    if NUMBER.sub("#", old) != NUMBER.sub("#", new):
        return False
    return all(map(_is_close, NUMBER.findall(old), NUMBER.findall(new)))


def _is_close(old: str, new: str) -> bool:
    if old == new:
        return True
    if old.isdigit() or new.isdigit():
        return False
    unit = max(_unit(old), _unit(new))
    if not unit:  # numbers at the end of a sentence
        return False
    return math.isclose(float(old), float(new), rel_tol=RELATIVE, abs_tol=1.01 * unit)


def _unit(number: str) -> float:
    """Returns the worth of the last digit of a number, such as 0.01 of 7.93; 0 of "7."."""
    mantissa, _, exponent = number.lower().partition("e")
    places = len(mantissa.partition(".")[2])
    return 10.0 ** (int(exponent or 0) - places) if places or exponent else 0.0


def _compared(text: str) -> str:
    for pattern, name in UNCOMPARED:
        text = pattern.sub(name, text)
    return PADDING.sub("", " ".join(text.split()))


def _joined(text: str | list[str]) -> str:
    return text if isinstance(text, str) else "".join(text)


def _lines(old: str, new: str) -> tuple[list[str], list[str]]:
    """Returns the lines of both, short ones; a line that is the same is shown as it was stored."""
    left, right = _short_lines(old), _short_lines(new)
    if len(left) == len(right):
        right = [before if is_same(before, after) else after for before, after in zip(left, right)]
    return left, right


def _short_lines(text: str) -> list[str]:
    lines = text.replace("<span", "\n<span").splitlines()
    return [part for line in lines for part in textwrap.wrap(line, LINE_LENGTH) or [""]]
