"""What tasks on arithmetic stories share: a problem's parts, and numbers as answers."""

import re
from typing import Literal

from saetask.data import Score, Span, last_number, number_text, same_number, stated_number

Operation = Literal["addition", "subtraction", "multiplication", "division"]
OPERATIONS: dict[str, str] = {
    "addition": "+",
    "subtraction": "-",
    "multiplication": "*",
    "division": "/",
}

ANSWER_TOKENS = 320
"""Room for the steps of a solution, in tokens."""
STATED = r"(?:####|\\boxed\{|(?i:answer[ \t*]*(?:is|:)))[^\n\d]*\d[^\n]*(?=\n)"
"""A line that states the answer, where another one follows."""
EQUATION = (
    r"\A[\s\S]*?\d\W{0,3}[-+*/×÷−]\W{0,3}\d[\s\S]*?"
    r"=[ \t$]*-?[\d.,]+(?:[ \t]+[^\W\d_]+)*[ \t.]*(?=\n)"
)
"""A text up to a line that ends with a result, with or without what it counts, once something is
calculated: a list of what is given ends no answer."""


def problem_spans(question: str) -> dict[str, Span]:
    """Returns the spans `text`, `story` and `question`, none of them empty."""
    asked = _asking_sentence(question)
    told_part = Span(0, asked.start) if asked.start else Span(asked.end, len(question))
    return {
        "text": Span(0, len(question)),
        "story": told_part if question[told_part.start : told_part.end].strip() else asked,
        "question": asked,
    }


def _asking_sentence(question: str) -> Span:
    """Returns the last sentence with a question mark, or else the last sentence."""
    sentences = [
        Span(*found.span()) for found in re.finditer(r"\S.*?(?:[.?!](?=\s)|$)", question, re.DOTALL)
    ]
    asking = [span for span in sentences if "?" in question[span.start : span.end]]
    return (asking or sentences)[-1]


def template(question: str) -> str:
    """Names a problem by its words without numbers, names and case: the template it came from."""
    words = re.findall(r"[A-Za-z]+", re.sub(r"(?<![.?!]\s)(?<!^)\b[A-Z]\w*", "", question))
    return " ".join(words).lower()


def score_number(output: str, gold: float | None) -> Score:
    """Judges the number that an output ends with: stated as the answer (strict), or any."""
    strict, flexible = stated_number(output), last_number(output)
    parsed = None if strict is None else number_text(strict)
    return Score(parsed, same_number(strict, gold), same_number(flexible, gold))
