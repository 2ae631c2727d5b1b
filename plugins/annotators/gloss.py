"""Notes that quote WordNet's definition of a sense."""

import re
from collections.abc import Mapping

from saetask import UserError
from saetask.annotation import Annotation
from saetask.detection import Misunderstanding

SYNSET = re.compile(r"\S+\.[nvasr]\.(?!0+$)\d{2,}")
SENSE_KEY = re.compile(r"[^\s%]+%[1-5]:\d\d:\d\d:[^\s:]*:(?:\d\d)?")
TEMPLATES = (
    '(Note: in this sentence "{text}" means: {gloss}.)',
    'Note: "{text}" here: {gloss}.',
)
NEEDED = (
    "The annotator 'gloss' needs WordNet: install it with "
    "pip install 'saetask[wordnet]' and python -m nltk.downloader wordnet."
)


class Gloss:
    """States what the word means, where the reading is a sense of WordNet."""

    name = "gloss"

    def candidates(
        self, misunderstanding: Misunderstanding, labels: Mapping[int, str]
    ) -> list[Annotation]:
        """Returns each template, after the message; none where the reading is no known sense.

        A reading is a sense if it is a synset's name (`bank.n.01`) or a sense key
        (`bank%1:17:01::`).

        Raises:
            UserError: The reading names a sense, and NLTK or its WordNet data are not installed.
        """
        gloss = _definition(misunderstanding.reading)
        if gloss is None:
            return []
        return [
            Annotation(template.format(text=misunderstanding.text, gloss=gloss), "end", self.name)
            for template in TEMPLATES
        ]


def _definition(reading: str) -> str | None:
    """Returns a sense's definition, or None where WordNet has no such sense."""
    by_name, by_key = SYNSET.fullmatch(reading), SENSE_KEY.fullmatch(reading)
    if not by_name and not by_key:
        return None
    try:
        from nltk.corpus import wordnet
        from nltk.corpus.reader.wordnet import WordNetError
    except ImportError as error:
        raise UserError(NEEDED) from error
    try:  # the data are loaded when an attribute is first used
        find = wordnet.synset if by_name else wordnet.synset_from_sense_key
        sense = find(reading)
        return sense.definition() if sense else None
    except WordNetError:
        return None
    except LookupError as error:
        raise UserError(NEEDED) from error
