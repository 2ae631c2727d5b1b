"""The cues that `python -m benchmarks.planted_cues` plants."""

from typing import NamedTuple


class Cue(NamedTuple):
    """A sentence of two kinds; what stands for `{}` differs between the halves."""

    templates: tuple[str, str]
    words: tuple[tuple[tuple[str, ...], tuple[str, ...]], tuple[tuple[str, ...], tuple[str, ...]]]
    """Of each kind: the words of the first half, and those of the second."""
    struck: tuple[str, ...]
    """Parts of the names of concepts that a person would strike."""


CUES = {
    "nouns": Cue(
        (" There was a {} as well.", " There was a {} as well."),
        (
            (("dog", "horse", "sheep", "fox"), ("cat", "goat", "rabbit", "wolf")),
            (("cake", "pie", "sandwich", "salad"), ("pizza", "pudding", "biscuit", "stew")),
        ),
        ("animals", "food"),
    ),
    "name": Cue(
        (" {} said so.", " {} said so."),
        (
            (("Maria", "Peter", "Anna", "Robert"), ("Laura", "Thomas", "Julia", "Edward")),
            (("Somebody", "Everybody"), ("Someone", "Everyone")),
        ),
        ("names", "capitalised words", "people"),
    ),
    "length": Cue(
        (" It was {}, as it often is, and after that it was read out once more.", " It was {}."),
        (
            (("written down", "printed"), ("copied", "put on paper")),
            (("written down", "printed"), ("copied", "put on paper")),
        ),
        ("commas", "sentence ends"),
    ),
}
"""Fixed before anything was tested."""
