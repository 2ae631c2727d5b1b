"""Numbers in texts: one grammar for problems and answers, and one way to find the answer.

What is read as which number stands in `docs/answers.md`, whose tables are the test.
"""

import math
import re
import unicodedata
from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

from saetask.data.reasoning import without_reasoning

ROUNDING = 0.00501
"""Half of the second decimal: how far a number rounded to two decimals is from the exact one."""
ROUNDING_SHARE = 0.05
"""How far, at most, a number rounded to two significant digits is, as a share of it."""
FLOAT_ERROR = 1e-12
"""Relative error of a few operations on floats."""
LONGEST_EXACT = 10
"""Maximum number of decimals of a number that is written as it is."""

VULGAR = "½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒↉"
RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻"
NBSP = "\N{NO-BREAK SPACE}"
LETTER = "A-Za-zÀ-ÖØ-öø-ɏͰ-ӿ"
"""Letters of scripts with blanks between words; a Chinese word may end where a number begins."""


class _Plain(dict[int, str]):
    """Maps a character to the one that stands for all of its kind in the grammar."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if character.isdecimal():
            plain = str(unicodedata.decimal(character))
        elif unicodedata.category(character) == "Sc":
            plain = "$"
        elif character in "\N{MINUS SIGN}\N{SMALL HYPHEN-MINUS}" or "‐" <= character <= "―":
            plain = "-"
        elif character in "\N{THIN SPACE}\N{NARROW NO-BREAK SPACE}\N{FIGURE SPACE}":
            plain = NBSP
        elif "！" <= character <= "～" and character != "，":  # the comma between items in Chinese
            plain = unicodedata.normalize("NFKC", character)
        else:
            plain = {"’": "'", "⁄": "/", "٫": ".", "٬": ","}.get(character, character)
        self[code] = plain
        return plain


_PLAIN = _Plain()
_EMPHASIS = re.compile(r"(?<![\w)\]}])_{1,3}(?=[^\s_][^\n]{0,200}?(?<!\s)_(?!\w))")
"""Underscores that open emphasis in Markdown, unlike those of a subscript: others close it."""
_SEPARATOR = (",", "'", "_", NBSP, r"\{,\}", r"\\[,!]", r",\\!")
_GROUPED = "|".join(rf"[1-9]\d{{0,2}}(?:{mark}\d{{3}})+(?!\d|{mark}\d)" for mark in _SEPARATOR)
_WHOLE = rf"(?:(?<!\d[,'{NBSP}])(?:{_GROUPED})|\d+)"
_DECIMAL = rf"(?:{_WHOLE}(?:\.\d+)?|\.\d+)"
_CURRENCY = rf"(?:\\?[A-Z]{{0,3}}\$|(?<![{LETTER}])(?:Rs\.?|USD|EUR|GBP|CHF|INR|JPY|CNY))"
_NUMBER = re.compile(
    rf"""
    (?: # a sign, which stands after no word, figure or closing bracket; a currency; or none
        (?<![\w)\]}}%°.^$-]) (?<!\^\{{) (?P<sign>[-+]) (?:{_CURRENCY}[ {NBSP}]?)?
      | (?<!\d) {_CURRENCY} [ {NBSP}]? (?P<inner_sign>[-+])
      | {_CURRENCY} [ {NBSP}]?
      | (?<![{LETTER}_\d^]) (?<!\d\.) (?<!\^[-+{{]) (?<!\^\{{[-+])
      | (?<=\d[xX]) | (?<=\d[ ][xX])
    )
    (?:
        (?P<none> \d+(?:\.\d+){{2,}} | {_DECIMAL}(?:/{_DECIMAL}){{2,}}
          | (?!{_GROUPED}) \d+(?:_\d+)+ )
      | (?:(?P<whole>{_WHOLE})[ {NBSP}]?)?
        (?: (?P<vulgar>[{VULGAR}])
          | \\[dt]?frac\{{[ ]*(?P<top>[-+]?{_DECIMAL})[ ]*\}}
            \{{[ ]*(?P<bottom>[-+]?{_DECIMAL})[ ]*\}} )
      | (?:(?P<units>{_WHOLE})[ {NBSP}])? (?P<over>{_DECIMAL})/(?P<under>{_DECIMAL})(?![./]?\d)
      | (?P<decimal> {_WHOLE}(?:\.\d+)? | (?<![{LETTER}\d)\].])\.\d+ )
        (?: [eE](?P<exponent>[-+]?\d+)
          | [ {NBSP}]?(?:[×x*·⋅]|\\times|\\cdot)[ {NBSP}]?10
            (?:\^\{{?(?P<power>[-+]?\d+)\}}?|(?P<raised>[{RAISED}]+))
          | (?P<base>\^|[{RAISED}]) )?
    )
    """,
    re.VERBOSE,
)


class FoundNumber(NamedTuple):
    """A number, and where it stands in its text."""

    value: float
    start: int
    """With sign and currency."""
    end: int


def find_numbers(text: str) -> Iterator[FoundNumber]:
    """Yields the numbers in a text from left to right; those that are not finite are passed over.

    Figures that are no number of the grammar, such as dates with slashes and quotients by zero, are
    passed over as well.
    """
    text, place = _EMPHASIS.sub(lambda marks: "~" * len(marks[0]), text.translate(_PLAIN)), 0
    while match := _NUMBER.search(text, place):
        place, value = match.end(), _value(match)
        if value is None and match["units"]:  # of "3 5/2" the 3 is a number of its own
            place, value = match.end("units"), _float(match["units"])
        if value is not None and math.isfinite(value):
            negative = "-" in (match["sign"], match["inner_sign"])
            # Adding 0 makes of a negative zero a plain one.
            yield FoundNumber(-value + 0.0 if negative else value, match.start(), place)


def _value(match: re.Match[str]) -> float | None:
    """Returns the number without its sign; None where there is none."""
    if match["none"] or match["base"]:
        return None
    if match["decimal"]:
        raised = match["raised"] and unicodedata.normalize("NFKC", match["raised"])
        exponent = match["exponent"] or match["power"] or raised
        exponent = exponent and exponent.replace("\N{MINUS SIGN}", "-")
        return _float(match["decimal"], exponent or "0")
    if match["vulgar"]:
        return unicodedata.numeric(match["vulgar"]) + _float(match["whole"] or "0")
    over = _float(match["over"] or match["top"])
    under = _float(match["under"] or match["bottom"])
    whole = match["whole"] or match["units"]
    signs = "".join(re.findall(r"[-+]", f"{match['top']}{match['bottom']}"))
    if (
        not under
        or not math.isfinite(over)
        or not math.isfinite(under)
        or (whole and (signs or over >= under))
    ):
        return None
    value = _float(whole or "0") + over / under
    return -value + 0.0 if signs.count("-") == 1 else value


def _float(figures: str, exponent: str = "0") -> float:
    return float(re.sub(r"[^\d.]", "", figures) + f"e{exponent}")


def numbers_in(text: str) -> list[float]:
    """Returns the numbers in a text, in order."""
    return [number.value for number in find_numbers(text)]


def first_number(text: str) -> float | None:
    """Returns the first number in an answer, without what is thought before it."""
    return next(iter(numbers_in(without_reasoning(text))), None)


def last_number(text: str) -> float | None:
    """Returns the last number in an answer (flexible extraction), see `first_number`."""
    return (numbers_in(without_reasoning(text)) or [None])[-1]


_OPENING = r"[\s*_`~:\\(\[{\"'$>]*"
_AFTER_MARK = re.compile(rf"####{_OPENING}")
_AFTER_STATEMENT = re.compile(
    rf"(?:(?<![^\W_])answer[\s*_]*(?:\bis\b(?:\s+equal\s+to)?[\s*_]*:?|[:=])"
    rf"|(?<![<>!])[=≈]){_OPENING}",
    re.IGNORECASE,
)
_WORD = rf"[{LETTER}]{{2,}}(?:[-'][{LETTER}]+)*"
_UNIT = re.compile(
    rf"(?:[ {NBSP}]?(?:{_WORD}(?:[ {NBSP}]{_WORD}){{0,3}}|\\(?:text|mathrm)\{{[^{{}}\d]*\}}))?"
    r"[\W_]*"
)
"""What may follow the number with which a text ends: up to four words that say what it counts."""
_BOXED = re.compile(r"\\boxed\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}")


def stated_number(text: str) -> float | None:
    r"""Returns the number that an answer states (strict extraction).

    That is the first number right after `####`, whatever follows it; or else the one in the last
    `\boxed{...}`; or else the one after `answer is`, `answer:` or `=` that ends the text, up to
    four words that say what it counts aside.
    A closed `<think>` block is passed over.
    """
    text = without_reasoning(text)
    numbers = list(find_numbers(text))
    for number in numbers:
        if _stands_after(_AFTER_MARK, text, number):
            return number.value
    boxed = _BOXED.findall(text)
    if boxed:
        inside = numbers_in(boxed[-1])
        return inside[0] if len(inside) == 1 else _ending_number(boxed[-1])
    return _ending_number(text)


def _ending_number(text: str) -> float | None:
    """Returns the number that is stated as the answer at the end of a text."""
    for number in list(find_numbers(text))[-1:]:
        if _stands_after(_AFTER_STATEMENT, text, number) and _UNIT.fullmatch(text, number.end):
            return number.value
    return None


def _stands_after(mark: re.Pattern[str], text: str, number: FoundNumber) -> bool:
    return any(found.end() == number.start for found in mark.finditer(text, 0, number.start))


def same_number(value: float | None, gold: float | None) -> bool:
    """Tells whether an answer is the right number; an unknown one equals none.

    It may be rounded to two decimals that hold two significant digits: it differs from the gold
    number by half of the second decimal and by 5 % of the gold number at most.
    """
    if value is None or gold is None:
        return False
    rounding = min(ROUNDING, ROUNDING_SHARE * abs(gold))
    return abs(value - gold) <= max(rounding, FLOAT_ERROR * abs(gold))


def number_text(number: float) -> str:
    """Writes a number without exponent: as it is, or rounded if it has more than ten decimals."""
    whole, _, decimals = format(Decimal(repr(float(number))), "f").partition(".")
    if len(decimals) > LONGEST_EXACT:
        return rounded_text(number)
    decimals = decimals.rstrip("0")
    text = f"{whole}.{decimals}" if decimals else whole
    return "0" if text == "-0" else text


def rounded_text(number: float, decimals: int = 2) -> str:
    """Writes a number with up to `decimals` decimals, or as many as show three significant digits.

    Fewer than two decimals count as two.
    """
    small = 2 - (math.floor(math.log10(abs(number))) if 0 < abs(number) < 1 else 0)
    text = f"{number:.{max(2, decimals, small)}f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
