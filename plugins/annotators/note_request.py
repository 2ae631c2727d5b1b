"""Request to a language model for a note on a finding, and the notes made of its reply."""

import re
import textwrap
from collections.abc import Mapping

from saetask.annotation import PLACEMENTS, Annotation
from saetask.detection import Misunderstanding

MOST_LABELS = 3
LONGEST = 200
"""Maximum length of the sentence, in characters; a longer one is cut off between words."""
_LEAD = re.compile(r"\s*(?:[*#>-]+\s+)?(?:\(?note:)?\s*", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s|\n")


def note_request(misunderstanding: Misunderstanding, labels: Mapping[int, str]) -> str:
    """Returns the request: the misread text, its reading, and what its features are about."""
    reading = misunderstanding.reading
    known = [labels[f.id] for f in misunderstanding.features if labels.get(f.id)][:MOST_LABELS]
    lines = [f'Text: "{misunderstanding.text}"', f"Reading: {reading}"]
    if known:
        lines.append(f"What stands out in it: {'; '.join(known)}")
    lines.append(
        f"Explain in one short sentence why the text is to be read as {reading}. "
        "Do not answer any question in it."
    )
    return "\n".join(lines)


def notes_of(text: str, annotator: str) -> list[Annotation]:
    """Returns the first sentence of a reply as a note at each placement; none of an empty one."""
    sentence = first_sentence(text)
    return [Annotation(f"(Note: {sentence})", place, annotator) for place in PLACEMENTS if sentence]


def first_sentence(text: str) -> str:
    """Returns the first sentence on one line; "" where there is no word in it."""
    sentence, *_ = _SENTENCE_END.split(_LEAD.sub("", text, count=1), maxsplit=1)
    if sentence.count('"') % 2:  # the other half of the pair is in the next sentence
        sentence = sentence.strip('" ')
    if sentence.count(")") > sentence.count("("):
        sentence = sentence.rstrip(") ")
    shortened = textwrap.shorten(sentence, LONGEST, placeholder="")
    return shortened if re.search(r"\w", shortened) else ""
