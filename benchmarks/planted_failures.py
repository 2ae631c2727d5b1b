"""Failures planted in texts: on a concept that no word carries, a word, length, or nothing."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from saetask.data.word_classes import FUNCTION_WORDS, WORD, lemma_of, word_lists

if TYPE_CHECKING:
    from jaxtyping import Bool, Int64

PlantKind = Literal["concept", "word", "length", "nothing"]
PLANTS: tuple[PlantKind, ...] = ("concept", "word", "length", "nothing")
VERBS = """
abandon allocate allot assign award bequeath bestow bet cede concede confiscate consume contribute
deliver deplete deprive discard dispense dispose distribute donate drain drop dump evict exhaust
export feed forfeit forsake furnish gamble give grant invest jettison lack lease leak leave lend
lose misplace miss offer owe pass pawn pay provide quit refund reimburse relinquish renounce rent
repay resign return rob sacrifice scrap sell serve share shed shrink spend spill squander steal
strip supply surrender throw toss trade transfer waive waste withdraw yield
"""
VERBS_OF_LOSS = frozenset(VERBS.split())
"""Verbs of losing, giving away and handing over, chosen before any result was seen."""
NAMES_OF_LOSS = ("possession", "subtraction words", "giving", "money")
"""A discovery names the planted concept if its id or name has one of these."""
MOST_OF_A_VERB = 0.1
"""Largest share of the planted prompts that have the same verb; further ones are left out."""
WORD_SHARE = 0.1
"""The planted word is the one whose share of the prompts is nearest to this."""
LONG_SHARE = 0.25


class Plant(NamedTuple):
    """Where failures are planted."""

    kind: PlantKind
    description: str
    planted: "Bool[np.ndarray, ' n']"
    """Prompts that fail more often."""


def lemmas(text: str) -> set[str]:
    """Returns the lemmas of a text's words."""
    return {lemma_of(match.group().lower()) for match in WORD.finditer(text)}


def balanced(texts: Sequence[str], generator: np.random.Generator) -> "Int64[np.ndarray, ' k']":
    """Returns the places of texts among which no verb of loss has more than its share.

    Args:
        texts: The texts.
        generator: Decides which of the texts with a frequent verb are left out.
    """
    verbs = [lemmas(text) & VERBS_OF_LOSS for text in texts]
    order = generator.permutation(len(texts)).tolist()
    limit = max(1, len(texts))
    while True:
        counts: Counter[str] = Counter()
        kept = []
        for place in order:
            if all(counts[verb] < limit for verb in verbs[place]):
                counts.update(verbs[place])
                kept.append(place)
        n_planted = sum(bool(verbs[place]) for place in kept)
        if limit == 1 or max(counts.values(), default=0) <= MOST_OF_A_VERB * n_planted:
            return np.array(sorted(kept))
        limit = max(1, min(limit - 1, int(MOST_OF_A_VERB * n_planted)))


def make_plants(texts: Sequence[str], n_tokens: "Int64[np.ndarray, ' n']") -> list[Plant]:
    """Returns the plants of texts in the order of `PLANTS`."""
    words = [lemmas(text) for text in texts]
    loss = np.array([bool(each & VERBS_OF_LOSS) for each in words])
    n_verbs = len({verb for each in words for verb in each & VERBS_OF_LOSS})
    counts = Counter(word for each in words for word in each)
    common = [w for w in sorted(counts) if len(w) > 2 and w not in word_lists()[FUNCTION_WORDS]]
    word = min(common, key=lambda w: abs(counts[w] / len(texts) - WORD_SHARE))
    long = n_tokens > np.quantile(n_tokens, 1 - LONG_SHARE)
    return [
        Plant("concept", f"a verb of loss or giving ({n_verbs} verbs)", loss),
        Plant("word", f"the word {word!r}", np.array([word in each for each in words])),
        Plant("length", f"the longest {LONG_SHARE:.0%} of the prompts", long),
        Plant("nothing", "no prompt", np.zeros(len(texts), dtype=bool)),
    ]


def drawn_prompts(
    planted: "Bool[np.ndarray, ' n']", n: int, share: float, generator: np.random.Generator
) -> "Int64[np.ndarray, ' k']":
    """Returns the places of n prompts of which a share is planted, or as many as there are.

    Args:
        planted: Which prompts are.
        n: Number of prompts.
        share: Share of planted ones; the rest is filled up with others.
        generator: Source of randomness.
    """
    places = [np.flatnonzero(planted == value) for value in (True, False)]
    n_planted = min(round(share * n), len(places[0]))
    sizes = (n_planted, min(n - n_planted, len(places[1])))
    drawn = [generator.choice(each, size, replace=False) for each, size in zip(places, sizes)]
    return np.sort(np.concatenate(drawn))
