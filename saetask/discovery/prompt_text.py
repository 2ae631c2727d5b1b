"""What is read of a prompt: the user's text, without what all prompts of a log share."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from saetask.data.prompts import Prompt, Span

READ = "read"
"""Name of the prompt's span that is read."""
MOST_ADDED = 300
"""Maximum number of characters that are shown before or after what is read, to make it whole
sentences; where a sentence goes on for longer, it is shown from where it is read."""
_SENTENCE_END = re.compile(r"[.!?…][\"'”’)\]]*(?=\s)|[。！？]|\n")


class ShownText(NamedTuple):
    """What is read of a prompt, in whole sentences."""

    text: str
    start: int
    """Where in it begins what is read."""


def content_of(prompt: Prompt | str) -> str:
    """Returns the text that is asked about: a chat's last message, or the running text."""
    return prompt if isinstance(prompt, str) else prompt.content


def own_texts(prompts: Sequence[Prompt | str]) -> list[Span]:
    """Returns the range of each content without the words with which all contents begin or end.

    Instructions, examples and question marks that are the same everywhere tell no prompt from
    another. Where nothing is left of a prompt, its whole content is taken.
    """
    contents = [content_of(prompt) for prompt in prompts]
    whole = [Span(0, len(content)) for content in contents]
    if len(set(contents)) < 2:
        return whole
    head, tail = _shared(contents), _shared([content[::-1] for content in contents])
    own = [Span(head, len(content) - tail) for content in contents]
    kept = zip(contents, own, whole)
    return [span if text[span.start : span.end].strip() else all_ for text, span, all_ in kept]


def whole_sentences(content: str, span: Span) -> ShownText:
    """Returns a range of a content with the rest of the sentences that it begins and ends in.

    Where all prompts begin alike, what is read of them may begin in the middle of a sentence. A
    sentence ends with a mark before a blank, or with its line.
    """
    first = span.end - len(content[span.start : span.end].lstrip())
    last = span.start + len(content[span.start : span.end].rstrip())
    ends = [match.end() for match in _SENTENCE_END.finditer(content)]
    start = max((end for end in ends if end <= first), default=0)
    end = min((end for end in ends if end >= last), default=len(content))
    start += len(content[start:first]) - len(content[start:first].lstrip())
    start = min(start if first - start <= MOST_ADDED else first, span.start)
    end = max(end if end - last <= MOST_ADDED else last, span.end)
    return ShownText(content[start:end], span.start - start)


def _shared(contents: Sequence[str]) -> int:
    """Returns the number of characters of the whole words with which all contents begin."""
    first, last = min(contents), max(contents)
    pairs = enumerate(zip(first, last))
    length = next((i for i, (a, b) in pairs if a != b), min(len(first), len(last)))
    blanks = (i for i in range(length, 0, -1) if first[i - 1].isspace())
    return next(blanks, 0)


def with_span(prompt: Prompt | str, span: Span) -> Prompt | str:
    """Returns a chat with the range of its content as a span named `READ`; a string as it is.

    What an answer is to begin with is left out: it comes after what is read.
    """
    if isinstance(prompt, str):
        return prompt
    return replace(prompt, answer_prefix="", spans={READ: span})
