"""What a contrast is shown by: words that it fires on, and examples, the firing token marked."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from saetask.data.prompts import Span
from saetask.data.rendering import RenderedPrompt
from saetask.data.word_classes import FUNCTION_WORDS, WORD, word_lists
from saetask.dictionary.naming.telling_words import (
    AFTER,
    BEFORE,
    MIN_LETTERS,
    N_EXAMPLES,
    N_WORDS,
    marked,
)
from saetask.saes.activations import FeatureActivations


class _ScoredToken(NamedTuple):
    """A token of a prompt and the activation of the concept on it."""

    token: int
    score: float


def contrast_words(
    activations: FeatureActivations,
    rows: Sequence[int] | np.ndarray,
    present: np.ndarray,
    place: str,
    weights: np.ndarray,
) -> tuple[str, ...]:
    """Returns the words on which a concept fires more in the examples than in the others.

    Args:
        activations: Of the prompts.
        rows: Index of the prompt of each example.
        present: Whether it is an example, and not one of the others, `[n]`.
        place: The region that the concept is about.
        weights: Weight of each feature in the concept, `[d_sae]`.
    """
    shares = {True: 1 / max(present.sum(), 1), False: -1 / max((~present).sum(), 1)}
    sums: Counter[str] = Counter()
    for row, is_present in zip(rows, present.tolist()):
        prompt = activations.prompts[row]
        for token, score in _scored_tokens(activations[int(row)], place, weights):
            word = _word_at(prompt, prompt.token_spans[token])
            if len(word) >= MIN_LETTERS and word not in word_lists()[FUNCTION_WORDS]:
                sums[word] += score * shares[is_present]
    return tuple(word for word, value in sums.most_common(N_WORDS) if value > 0)


def contrast_contexts(
    activations: FeatureActivations,
    rows: Sequence[int] | np.ndarray,
    place: str,
    weights: np.ndarray,
) -> tuple[str, ...]:
    """Returns contexts of the examples that fire most, on different words, the token marked.

    Args:
        activations: Of the prompts.
        rows: Indices of the prompts of the examples.
        place: The region that the concept is about.
        weights: Weight of each feature in the concept, `[d_sae]`.
    """
    peaks: dict[int, _ScoredToken] = {}
    for row in rows:
        if scored := list(_scored_tokens(activations[int(row)], place, weights)):
            peaks[int(row)] = max(scored, key=lambda each: each.score)
    contexts: dict[str, str] = {}
    for row, (token, _) in sorted(peaks.items(), key=lambda peak: -peak[1].score):
        prompt = activations.prompts[row]
        contexts.setdefault(_word_at(prompt, prompt.token_spans[token]), _context(prompt, token))
        if len(contexts) == N_EXAMPLES:
            break
    return tuple(contexts.values())


def _scored_tokens(
    activations: FeatureActivations, place: str, weights: np.ndarray
) -> Iterator[_ScoredToken]:
    """Yields the tokens of a region on which the features of a concept fire."""
    prompt = activations.prompts[0]
    added = weights[activations.features] * np.log1p(np.abs(activations.values))
    total = np.concatenate([[0.0], np.cumsum(added)])[activations.indptr]
    for token in prompt.tokens_in(prompt.regions[place]):
        if score := float(total[token + 1] - total[token]):
            yield _ScoredToken(token, score)


def _word_at(prompt: RenderedPrompt, place: Span) -> str:
    """Returns the lower-case word that a token is part of; "" where it is of none."""
    low, high = max(0, place.start - 40), place.end + 40
    for match in re.finditer(WORD, prompt.text[low:high]):
        if Span(*match.span()).shifted(low).overlaps(place):
            return match[0].lower()
    return ""


def _context(prompt: RenderedPrompt, token: int) -> str:
    """Returns the tokens around a firing one, within the sentence, the firing one marked."""
    read = prompt.tokens_in(prompt.regions["text"])
    spans = prompt.token_spans
    low, high = max(read[0], token - BEFORE), min(read[-1], token + AFTER)
    region, place = prompt.regions["text"], spans[token]
    fired = prompt.text[place.start : place.end]
    first, last = max(spans[low].start, region.start), min(spans[high].end, region.end)
    before, after = prompt.text[first : place.start], prompt.text[place.end : max(last, place.end)]
    return marked(before, fired, after)
