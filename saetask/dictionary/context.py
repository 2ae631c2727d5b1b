"""What the steps of labelling and validating one dictionary share."""

from dataclasses import dataclass
from pathlib import Path

from saetask.dictionary.label.base import Labeler, is_in_words
from saetask.dictionary.label.rules import Vocabulary


@dataclass(frozen=True)
class DictionaryContext:
    """Vocabulary, labeler, seed and working folder of one dictionary."""

    vocabulary: Vocabulary
    """The model's tokens."""
    labeler: Labeler
    """Writes the labels."""
    seed: int
    """Seed of the examples drawn."""
    work: Path
    """The dictionary's `work/`, where slow answers are kept."""

    @property
    def in_words(self) -> bool:
        """Whether the labels never have a rule, so that only a judge can validate them."""
        return is_in_words(self.labeler)
