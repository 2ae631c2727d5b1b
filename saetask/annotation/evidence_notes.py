"""Notes that name the concepts behind a finding, and not its reading."""

import re
from collections.abc import Collection, Mapping, Sequence
from functools import cache

from saetask.annotation.base import PLACEMENTS, Annotation
from saetask.detection.base import ConceptEvidence, Misunderstanding

NAMED = 2
"""Maximum number of concepts that a note names on each side."""
LONGEST = 40
"""Maximum length of a misread text that a note quotes, in characters."""
TEMPLATES = (
    ("(Note: here {text} goes with {found}, not with {other}.)", "goes with", "does not go with"),
    ("Note: {text} fits {found}, not {other}.", "fits", "does not fit"),
)
"""The wording with both sides, and the verbs of one with a single side."""
ONE_SIDE = ("(Note: here {text} {verb} {named}.)", "Note: {text} {verb} {named}.")


class EvidenceNotes:
    """Names the concepts that speak for a reading and against it, and not the reading."""

    name = "evidence"

    def candidates(
        self, misunderstanding: Misunderstanding, labels: Mapping[int, str]
    ) -> list[Annotation]:
        """Returns each wording at each place; none where no concept can be named.

        A concept whose name shares a word with a reading (by its stem) is not named, and no
        contrast: one of `verbs used figuratively` would state the reading in other words.
        """
        concepts = [c for c in misunderstanding.concepts if not c.id.startswith("contrast:")]
        concepts.sort(key=lambda concept: -abs(concept.contribution))
        readings = [misunderstanding.reading, *(concept.reading for concept in concepts)]
        barred = frozenset(_stems(" ".join(readings)))
        found = _names([c for c in concepts if c.contribution > 0], barred)
        other = [
            name
            for name in _names([c for c in concepts if c.contribution < 0], barred)
            if name not in found
        ]
        text = misunderstanding.text
        quoted = f'"{text}"' if len(text) <= LONGEST and not _shares(text, barred) else "this text"
        return [
            Annotation(note, place, self.name)
            for note in _wordings(quoted, _joined(found), _joined(other))
            for place in PLACEMENTS
        ]


def _wordings(text: str, found: str, other: str) -> list[str]:
    if found and other:
        return [template.format(text=text, found=found, other=other) for template, *_ in TEMPLATES]
    return [
        form.format(text=text, verb=speaks if found else denies, named=found or other)
        for form, (_, speaks, denies) in zip(ONE_SIDE, TEMPLATES)
        if found or other
    ]


def _names(concepts: Sequence[ConceptEvidence], barred: Collection[str]) -> list[str]:
    """Returns the plain names of the strongest concepts that have no word among `barred`."""
    names = dict.fromkeys(plain_name(concept) for concept in concepts)
    return [name for name in names if name and not _shares(name, barred)][:NAMED]


def plain_name(concept: ConceptEvidence) -> str:
    """Returns a concept's name without its kind and its telling words."""
    name, kind = concept.name.split(" (", maxsplit=1)[0], concept.id.partition(":")[0]
    return name.removeprefix({"near": "near ", "promotes": "before "}.get(kind, ""))


def _joined(names: Sequence[str]) -> str:
    return " and ".join(names)


def _shares(text: str, barred: Collection[str]) -> bool:
    """Returns whether a text has one of some stems, or a word that begins like one of them."""
    return any(
        stem == other or (min(len(stem), len(other)) > 2 and _begins_alike(stem, other))
        for stem in _stems(text)
        for other in barred
    )


def _begins_alike(one: str, other: str) -> bool:
    """Returns whether one of two stems begins with the other, such as `add` and `addit`."""
    return one.startswith(other) or other.startswith(one)


def _stems(text: str) -> set[str]:
    """Returns the stems of a text's words."""
    return {_stem(word) for word in re.findall(r"[^\W_]+", text.lower())}


@cache
def _stem(word: str) -> str:
    from snowballstemmer import stemmer

    return stemmer("english").stemWord(word)
