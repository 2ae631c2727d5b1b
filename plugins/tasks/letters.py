"""The letter by which an output answers a question with lettered choices.

What is read as which letter stands in `docs/answers.md`, whose tables are the test.
"""

import re
from collections.abc import Iterator, Sequence

from saetask.data import without_reasoning

LONGEST_DENIAL = 100
"""How many characters in front of a letter may deny it, so that long outputs take linear time."""
LETTERS = ("A", "B", "C", "D", "E", "F", "G", "H")

_OPENING = r"[\s*_~`\"'“‘(\[{$>#]*"
_UPPER = r"(?P<upper>[A-H])(?!_*[^\W_]|['’]|-\w|\.\w\.)"
_LOWER = r"(?P<lower>[a-h])(?=[*_`\"'”]*(?:[.):\]](?!\w)|\s*[.!]?\s*$))"
"""A letter in lower case where it can be no word: closed as in a list, or all that is left."""
_LETTER = rf"(?:{_UPPER}|{_LOWER})"
_AT_START = re.compile(_OPENING + _LETTER)
_STATED = re.compile(
    rf"""
    (?i: (?<![^\W_])(?:answer|choice|option|solution|letter)(?![^\W_]) [*_]*
        (?:\s+(?:is|was|would\ be|should\ be|must\ be|has\ to\ be)\b)? [*_]* \s* [:=–—-]?
        (?:\s+(?:clearly|definitely|probably|therefore|thus|option|choice|letter)\b)*
      | \b(?:it|that|this)(?:\s+is|\s+must\ be|['’]s)
      | \b(?:choose|chose|pick|select|say|go\ with)\b
      | \\boxed\{{(?:\\text\{{)? )
    {_OPENING}{_LETTER}
    """,
    re.VERBOSE,
)
_ALONE = re.compile(rf"(?<![^\W_])(?<![^\W_]_)(?<!['’-])(?:{_UPPER}|(?P<lower>[a-h])\))")
_LISTED = re.compile(r"\s*\(?([A-H])[.):]\s+\S")

_NOUN_PHRASE = re.compile(
    r"""
    \s+ (?!(?:because|as|since|for|and|but|or|so|if|when|while|where|which|that|though|although
        |is|was|are|were|seems|looks|would|could|should|can|must|will|may|might|has|had|does|did
        |fits|it|its|the|this|these|he|she|they|we|you|i|by|from|in|on|with|to|than|then|not|also
        |only|therefore)\b(?!-))
    [a-z\d]
    """,
    re.VERBOSE,
)
"""What makes an A the article: a word behind it that can follow the article."""
_NAMED = re.compile(r"(?i:\b(?:option|choice|letter|answer))[\s*_:(\"'“]*$")
_START, _END = r"(?<![^\W_])", r"(?![^\W_])"
"""Borders of a word, which Markdown may emphasize by underscores."""
_OPENED, _CLOSED = r"[\s*_`\"'“‘(\[]*", r"[)\]*_`\"'”]*"
_NOUN = r"(?i:\s+(?:option|choice|letter|answer))?"
_MARKED = rf"(?:\s*options?{_END})?{_OPENED}[A-H]{_END}{_CLOSED}"
_OR = rf"\s*,?\s+n?or{_END}"
_COMMA = rf"(?:\s*,(?:\s*(?:and|n?or){_END})?|\s+(?:and|n?or){_END}|\s*[&/])"
_DENIED_BEFORE = re.compile(
    rf"(?:(?i:{_START}not|n['’]t(?:\s+be)?|{_START}(?:rather\s+than|instead\s+of))[*_]*{_NOUN}"
    rf"(?:{_MARKED}{_OR})*"
    rf"|(?i:{_START}(?:neither|nor|except(?:\s+for)?))[*_]*{_NOUN}(?:{_MARKED}{_COMMA})*)"
    rf"{_NOUN}{_OPENED}$"
)
"""What denies the letter behind it, or all letters up to it, as in `not A or B`."""
_ADVERBS = r"(?:\s+(?:clearly|obviously|definitely|also|both|all))*"
_FAULT = r"\s+[*_]*(?:not|wrong|false|incorrect|impossible|ruled\s+out)"
_DENIED_AFTER = re.compile(
    rf"{_CLOSED}(?:"
    rf"\s+(?:(?:is|was|are|were|seems|looks){_ADVERBS}{_FAULT}"
    r"|isn['’]t|wasn['’]t|aren['’]t|weren['’]t|can['’]t\s+be|cannot\s+be"
    r"|(?:does\s+not|doesn['’]t|do\s+not|don['’]t)\s+(?:fit|work|match|apply))"
    rf"|(?:{_COMMA}{_MARKED})+\s+(?:(?:are|were|seem|look){_ADVERBS}{_FAULT}"
    r"|aren['’]t|weren['’]t|can['’]t\s+be|cannot\s+be"
    rf"|(?:do\s+not|don['’]t)\s+(?:fit|work|match|apply))){_END}"
)
"""What denies the letter before it, or all letters from it on, as in `A and B are wrong`."""


def stated_letter(output: str, choices: Sequence[str]) -> str | None:
    """Returns the letter of the choice that an output states, or None.

    That is the letter that the output begins with; else the one after words such as `the answer
    is`; else the first that stands alone. Passed over are a closed `<think>` block, a list of the
    choices in front of all, letters that are denied (`not A`, `A and B are wrong`), and the
    article: an A before a word that can follow the article. Where there is no letter, the choice
    counts whose text the output begins with; and else an A at the very start is the answer after
    all.

    Args:
        output: What the model answered.
        choices: The choices, which are lettered from A.
    """
    output, known = _without_list(without_reasoning(output)), LETTERS[: len(choices)]
    first = _AT_START.match(output)
    if first and _is_denied(first, output):
        first = None
    if first and not _is_article(first, output):
        return _known(first, known)
    for found in _asserted(_STATED, output):
        return _known(found, known)
    for found in _asserted(_ALONE, output):
        if letter := _known(found, known):
            return letter
    begun = [
        (len(choice), letter)
        for letter, choice in zip(known, choices)
        if re.match(rf"{_OPENING}{re.escape(choice.strip())}(?!\w|[-'’]\w)", output, re.IGNORECASE)
    ]
    if begun:
        return max(begun)[1]
    return _known(first, known) if first else None


def _asserted(pattern: re.Pattern[str], output: str) -> Iterator[re.Match[str]]:
    """Yields the letters that a pattern finds, without the denied ones and the article."""
    for found in pattern.finditer(output):
        if not _is_denied(found, output) and not _is_article(found, output):
            yield found


def _known(found: re.Match[str], known: tuple[str, ...]) -> str | None:
    letter = found[_group(found)].upper()
    return letter if letter in known else None


def _group(found: re.Match[str]) -> str:
    return "upper" if found["upper"] else "lower"


def _is_article(found: re.Match[str], output: str) -> bool:
    """Tells whether a letter is an A that begins a noun phrase."""
    if found["upper"] != "A" or _NAMED.search(output, 0, found.start("upper")):
        return False
    return _NOUN_PHRASE.match(output, found.end("upper")) is not None


def _is_denied(found: re.Match[str], output: str) -> bool:
    start, end = found.span(_group(found))
    before = _DENIED_BEFORE.search(output, max(0, start - LONGEST_DENIAL), start)
    return before is not None or _DENIED_AFTER.match(output, end) is not None


def _without_list(output: str) -> str:
    """Returns what follows the choices where the output repeats them, from A to B at least."""
    lines = output.lstrip().splitlines()
    listed = [found[1] if (found := _LISTED.match(line)) else "" for line in lines]
    length = 0
    while length < min(len(lines), len(LETTERS)) and listed[length] == LETTERS[length]:
        length += 1
    return "\n".join(lines[length:]) if length > 1 else output
