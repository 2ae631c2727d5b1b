"""Where a token of a prompt stands in its content, and of which word it is."""

from saetask.data.prompts import Span
from saetask.detection.base import DetectorInput


def place_in_content(detector_input: DetectorInput, token: int) -> Span | None:
    """Returns where a token stands in the last message's content; None for one of the template.

    Args:
        detector_input: The prompt.
        token: Index of the token.
    """
    prompt, content = detector_input.activations.prompts[0], detector_input.content
    start = prompt.regions["text"].start - detector_input.spans["text"].start
    first, last = (place - start for place in prompt.token_spans[token])
    first, last = max(first, 0), min(last, len(content))
    return Span(first, last) if first < last else None


def token_word(detector_input: DetectorInput, token: int) -> str:
    """Returns the word of the content that a token is part of; "" for none."""
    place = place_in_content(detector_input, token)
    return word_at(detector_input.content, place) if place else ""


def word_at(content: str, place: Span) -> str:
    """Returns the word that overlaps a range of characters; "" where none does."""
    first, last = place.start, place.end
    while first < last and not content[first].isalpha():
        first += 1
    while first and content[first - 1].isalpha() and first < last:
        first -= 1
    end = first
    while end < len(content) and content[end].isalpha():
        end += 1
    return content[first:end] if first < last else ""
