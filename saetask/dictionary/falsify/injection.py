"""Token injection: is a feature set off by a few tokens, whatever text they stand in?

A feature whose most frequent tokens set it off in unrelated texts is a feature of those tokens. It
may still be a useful one, but that it fires where someone reasons, or where some subject is spoken
of, is then no evidence of reasoning or of context: the words of such texts explain it. (That most
"reasoning features" are of this kind is the finding of arXiv 2601.05679; the controls here, random
tokens of like frequency at the same places, and the correction for many tests are not from there.)
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from saetask.dictionary.label.rules import PARTIAL
from saetask.utils.sign_flips import flip_test

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Strategy = Literal["prepended", "appended", "spread", "replacing"]
STRATEGIES: tuple[Strategy, ...] = ("prepended", "appended", "spread", "replacing")
InjectionFinding = Literal["token-driven", "not token-driven", "undecided"]
N_TRIGGERS = 3
"""Tokens or bigrams injected into a text."""
LONGEST_INJECTION = 2 * N_TRIGGERS
ALPHA = 0.05
HALF = 0.5
"""Share of texts that must be set off for a feature to be called token-driven."""
LIKE_FREQUENCY = 2**0.5
"""Control tokens are so many times as frequent, or as rare, as what they stand for, at most..."""
MIN_ALIKE = 16
"""...if so many are; else these, the nearest in frequency."""


class TriggerTokens(NamedTuple):
    """A token or bigram on which a feature fires."""

    token_ids: tuple[int, ...]
    share: float
    """Share of the feature's firings that end with it."""


class StrategyResult(NamedTuple):
    """What injecting did in one way of placing the tokens."""

    strategy: Strategy
    difference: float
    """Mean over texts of the strongest activation with the feature's tokens less that with the
    control tokens, in units of the feature's natural level."""
    injected_share: float
    """Share of texts in which its own tokens set it off at its natural level."""
    control_share: float
    """The same for the control tokens."""
    p_value: float
    """One-sided; corrected for the number of strategies, not for that of features."""


class InjectionResult(NamedTuple):
    """What injecting a feature's tokens into texts did in which it is silent."""

    n_texts: int
    strategies: list[StrategyResult]

    @property
    def best(self) -> StrategyResult:
        """The strategy that tells most against the feature."""
        return min(self.strategies, key=lambda way: (way.p_value, -way.injected_share))

    @property
    def p_value(self) -> float:
        """That of the best strategy."""
        return self.best.p_value


class ControlTokens:
    """Random tokens about as frequent as given ones."""

    def __init__(self, counts: np.ndarray, allowed: np.ndarray) -> None:
        """Takes stock of the tokens to draw from.

        Args:
            counts: How often each token occurs in ordinary texts, `[vocab]`, int64.
            allowed: Which may be drawn (of those that occur at all), `[vocab]`, bool.
        """
        self._levels = np.log(np.maximum(counts, 1))  # one that never occurs is as rare as any
        self.token_ids = np.flatnonzero(allowed & (counts > 0))

    def draw(self, token_id: int, generator: np.random.Generator) -> int:
        """Returns a random token about as frequent as this one.

        Raises:
            ValueError: There is none to draw.
        """
        distances = np.abs(self._levels[self.token_ids] - self._levels[token_id])
        alike = self.token_ids[distances <= np.log(LIKE_FREQUENCY) + 1e-9]
        if len(alike) < MIN_ALIKE:
            # In random order first: of equally near tokens any may be taken.
            order = generator.permutation(len(self.token_ids))
            order = order[np.argsort(distances[order], kind="stable")]
            alike = self.token_ids[order[:MIN_ALIKE]]
        return int(generator.choice(alike))


def trigger_tokens(
    row: Mapping[str, Any], tokenizer: "PreTrainedTokenizerBase"
) -> list[TriggerTokens]:
    """Returns a feature's most frequent tokens and bigrams as token ids.

    The dictionary holds them as texts; those that do not become the same tokens again are left
    out, as are special tokens.

    Args:
        row: The feature's row of the features table.
        tokenizer: The model's.
    """
    special = set(tokenizer.all_special_ids)
    found = []
    for column, length in (("tokens", 1), ("bigrams", 2)):
        for gram in row[column]:
            token_ids = tokenizer(gram["text"], add_special_tokens=False)["input_ids"]
            whole = PARTIAL not in gram["text"]
            same = "".join(str(tokenizer.decode([i])) for i in token_ids) == gram["text"]
            if len(token_ids) == length and whole and same and not special & set(token_ids):
                found.append(TriggerTokens(tuple(token_ids), gram["share"]))
    return found


def inject(
    token_ids: Sequence[int],
    pieces: Sequence[Sequence[int]],
    strategy: Strategy,
    n_fixed: int,
) -> list[int]:
    """Puts pieces into a row of tokens.

    Where they go depends on the lengths of the row and of the pieces only, so that pieces of equal
    lengths go to the same places.

    Args:
        token_ids: The row, `n` tokens.
        pieces: What to inject, in this order.
        strategy: Before the text, after it, at even distances in it (all three lengthen it), or in
            place of tokens at even distances.
        n_fixed: Tokens at the beginning (BOS) before which, and in whose place, nothing goes.

    Raises:
        ValueError: The row is too short to have so many tokens replaced.
    """
    head, body = list(token_ids[:n_fixed]), list(token_ids[n_fixed:])
    together = [token_id for piece in pieces for token_id in piece]
    if strategy == "prepended":
        return [*head, *together, *body]
    if strategy == "appended":
        return [*head, *body, *together]
    if strategy == "spread":
        places = [len(body) * (i + 1) // (len(pieces) + 1) for i in range(len(pieces))]
        for place, piece in reversed(list(zip(places, pieces))):
            body[place:place] = piece
        return [*head, *body]
    edges = [len(body) * i // len(pieces) for i in range(len(pieces) + 1)]
    for first, last, piece in zip(edges, edges[1:], pieces):
        if last - first < len(piece):
            raise ValueError(f"{len(body)} tokens are too few to replace {len(together)} evenly.")
        start = first + (last - first - len(piece)) // 2
        body[start : start + len(piece)] = piece
    return [*head, *body]


def injection_test(
    maxima: Callable[[list[list[int]]], np.ndarray],
    texts: Sequence[Sequence[int]],
    pieces: Sequence[TriggerTokens],
    controls: ControlTokens,
    natural: float,
    n_fixed: int,
    seed: Sequence[int],
) -> InjectionResult:
    """Injects a feature's tokens into texts in which it is silent, and control tokens beside them.

    Each text gets some of the pieces, likelier ones more often, and as many random tokens of like
    frequency, at the same places, once by each strategy. Activations are taken in units of the
    feature's natural level: features differ in scale, and that level is what "fires" means for one.

    Args:
        maxima: Reads rows of tokens; returns the feature's strongest activation in each.
        texts: Token ids of texts, each long enough to have `LONGEST_INJECTION` tokens replaced.
        pieces: The feature's frequent tokens and bigrams, one at least.
        controls: Tokens on which the feature does not often fire.
        natural: The feature's median activation where it fires, above 0.
        n_fixed: Tokens that begin every row (BOS).
        seed: Of the pieces and control tokens drawn, and of the test.
    """
    generator = np.random.default_rng(seed)
    weights = np.array([piece.share for piece in pieces])
    rows: list[list[int]] = []
    for text in texts:
        n = min(N_TRIGGERS, len(pieces))
        drawn = generator.choice(len(pieces), n, replace=False, p=weights / weights.sum())
        own = [pieces[i].token_ids for i in drawn]
        random = [[controls.draw(token_id, generator) for token_id in piece] for piece in own]
        for strategy in STRATEGIES:
            rows += [inject(text, own, strategy, n_fixed), inject(text, random, strategy, n_fixed)]
    activations = maxima(rows).reshape(len(texts), len(STRATEGIES), 2) / natural
    return compare_maxima(activations[..., 0], activations[..., 1], int(generator.integers(2**31)))


def compare_maxima(injected: np.ndarray, control: np.ndarray, seed: int) -> InjectionResult:
    """Compares activations with a feature's own tokens and with control tokens.

    Args:
        injected: Strongest activation in each text by each of the `STRATEGIES`, in units of the
            feature's natural level, `[n_texts, 4]`.
        control: The same with control tokens.
        seed: Seed of the sign flips.
    """
    differences = injected - control
    test = flip_test(differences, seed)
    figures = zip(
        STRATEGIES,
        differences.mean(0).tolist(),
        (injected >= 1).mean(0).tolist(),
        (control >= 1).mean(0).tolist(),
        test.p_values.tolist(),
    )
    return InjectionResult(len(injected), [StrategyResult(*row) for row in figures])


def injection_finding(result: InjectionResult, q_value: float) -> InjectionFinding:
    """Returns what the injections say of a feature.

    `token-driven`: its own tokens set it off at its natural level in half the texts or more, and
    significantly more strongly than control tokens. `not token-driven`: by no strategy do they set
    it off in half of all such texts (the 95 % Wilson interval lies below). Else `undecided`, as
    when control tokens do just as well.

    Args:
        result: The injections.
        q_value: The p-value of the best strategy, corrected for the number of features.
    """
    from scipy.stats import binomtest

    if q_value < ALPHA and result.best.injected_share >= HALF:
        return "token-driven"
    counts = [round(way.injected_share * result.n_texts) for way in result.strategies]
    interval = binomtest(max(counts), result.n_texts).proportion_ci(method="wilson")
    return "not token-driven" if interval.high < HALF else "undecided"
