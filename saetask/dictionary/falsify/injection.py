"""Injection test: whether a few tokens make a feature fire in any text.

A feature whose most frequent tokens make it fire in unrelated texts is a feature of those tokens.
It may still be useful, but that it fires in texts of reasoning, or of some subject, is then no
evidence that it represents reasoning or that subject: the words of such texts explain it. (That
most "reasoning features" are of this kind is the finding of arXiv 2601.05679; the controls here,
random tokens of similar frequency at the same places, and the correction for many tests are not
from there.)
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from einops import rearrange

from saetask.dictionary.falsify.base import ALPHA, HALF
from saetask.dictionary.label.rules import PARTIAL
from saetask.utils.sign_flips import flip_test

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Float32, Int64
    from transformers import PreTrainedTokenizerBase

Strategy = Literal["prepended", "appended", "spread", "replacing"]
STRATEGIES: tuple[Strategy, ...] = ("prepended", "appended", "spread", "replacing")
InjectionFinding = Literal["token-driven", "not token-driven", "undecided"]
N_TRIGGERS = 3
"""Number of tokens or bigrams injected into a text."""
LONGEST_INJECTION = 2 * N_TRIGGERS
FREQUENCY_RATIO = 2**0.5
"""Maximum ratio between the frequencies of a control token and of the token that it replaces."""
MIN_ALIKE = 16
"""Number of tokens, nearest in frequency, to draw from where fewer are within that ratio."""


class TriggerTokens(NamedTuple):
    """A token or bigram on which a feature fires."""

    token_ids: tuple[int, ...]
    share: float
    """Share of the feature's firings that are on it."""


class StrategyResult(NamedTuple):
    """Result of injecting tokens at one kind of place."""

    strategy: Strategy
    difference: float
    """Mean over texts of the strongest activation with the feature's tokens minus that with the
    control tokens, in units of the feature's median activation."""
    injected_share: float
    """Share of texts in which its own tokens make it reach its median activation."""
    control_share: float
    """The same for the control tokens."""
    p_value: float
    """One-sided; corrected for the number of strategies, not for that of features."""


class InjectionResult(NamedTuple):
    """Result of injecting a feature's tokens into texts in which it is silent."""

    n_texts: int
    strategies: list[StrategyResult]

    @property
    def best(self) -> StrategyResult:
        """The strategy with the smallest p-value, then with the largest share of texts."""
        return min(self.strategies, key=lambda each: (each.p_value, -each.injected_share))

    @property
    def p_value(self) -> float:
        """The p-value of the best strategy."""
        return self.best.p_value


class ControlTokens:
    """Draws random tokens of about the same frequency as given ones."""

    def __init__(
        self, counts: "Int64[np.ndarray, ' vocab']", allowed: "Bool[np.ndarray, ' vocab']"
    ) -> None:
        """Indexes the tokens to draw from.

        Args:
            counts: Occurrences of each token in ordinary texts.
            allowed: Whether each token may be drawn; one that never occurs is never drawn.
        """
        self._levels = np.log(np.maximum(counts, 1))  # no occurrence counts as one
        self.token_ids = np.flatnonzero(allowed & (counts > 0))

    def draw(self, token_id: int, generator: np.random.Generator) -> int:
        """Returns a random token of about the same frequency as the given one.

        Raises:
            ValueError: There is no token to draw.
        """
        distances = np.abs(self._levels[self.token_ids] - self._levels[token_id])
        alike = self.token_ids[distances <= np.log(FREQUENCY_RATIO) + 1e-9]
        if len(alike) < MIN_ALIKE:
            # Shuffled first, so that ties in distance are broken at random.
            order = generator.permutation(len(self.token_ids))
            order = order[np.argsort(distances[order], kind="stable")]
            alike = self.token_ids[order[:MIN_ALIKE]]
        return int(generator.choice(alike))


def trigger_tokens(
    row: Mapping[str, Any], tokenizer: "PreTrainedTokenizerBase"
) -> list[TriggerTokens]:
    """Returns a feature's most frequent tokens and bigrams as token ids.

    The dictionary holds them as texts; those that are not tokenized to the same tokens are left
    out, as are special tokens.

    Args:
        row: The feature's row of the features table.
        tokenizer: The model's tokenizer.
    """
    special = set(tokenizer.all_special_ids)
    triggers = []
    for column, length in (("tokens", 1), ("bigrams", 2)):
        for gram in row[column]:
            token_ids = tokenizer(gram["text"], add_special_tokens=False)["input_ids"]
            whole = PARTIAL not in gram["text"]
            same = "".join(str(tokenizer.decode([i])) for i in token_ids) == gram["text"]
            if len(token_ids) == length and whole and same and not special & set(token_ids):
                triggers.append(TriggerTokens(tuple(token_ids), gram["share"]))
    return triggers


def inject(
    token_ids: Sequence[int],
    ngrams: Sequence[Sequence[int]],
    strategy: Strategy,
    n_fixed: int,
) -> list[int]:
    """Returns a row of tokens with n-grams put into it.

    Their places depend on the lengths of the row and of the n-grams only, so n-grams of equal
    lengths get the same places.

    Args:
        token_ids: The row.
        ngrams: The n-grams, in the order in which they are put in.
        strategy: Before the text, after it, at even distances in it (all three lengthen it), or in
            place of tokens at even distances.
        n_fixed: Number of tokens at the beginning (BOS) that stay in front and are not replaced.

    Raises:
        ValueError: The row is too short to have that number of tokens replaced.
    """
    head, body = list(token_ids[:n_fixed]), list(token_ids[n_fixed:])
    together = [token_id for ngram in ngrams for token_id in ngram]
    if strategy == "prepended":
        return [*head, *together, *body]
    if strategy == "appended":
        return [*head, *body, *together]
    if strategy == "spread":
        places = [len(body) * (i + 1) // (len(ngrams) + 1) for i in range(len(ngrams))]
        for place, ngram in reversed(list(zip(places, ngrams))):
            body[place:place] = ngram
        return [*head, *body]
    edges = [len(body) * i // len(ngrams) for i in range(len(ngrams) + 1)]
    for first, last, ngram in zip(edges, edges[1:], ngrams):
        if last - first < len(ngram):
            raise ValueError(f"{len(body)} tokens are too few to replace {len(together)} evenly.")
        start = first + (last - first - len(ngram)) // 2
        body[start : start + len(ngram)] = ngram
    return [*head, *body]


class InjectedFeature(NamedTuple):
    """Tokens that are injected to test a feature."""

    triggers: Sequence[TriggerTokens]
    """Its frequent tokens and bigrams; at least one."""
    controls: ControlTokens
    """Tokens on which it does not often fire."""
    median: float
    """Its median activation where it fires, above 0."""


def injection_test(
    maxima: "Callable[[list[list[int]]], Float32[np.ndarray, ' n_rows']]",
    texts: Sequence[Sequence[int]],
    injected: InjectedFeature,
    n_fixed: int,
    seed: Sequence[int],
) -> InjectionResult:
    """Injects a feature's tokens, and control tokens, into texts in which it is silent.

    Each text gets some of the trigger tokens, frequent ones with a higher probability, and as many
    random tokens of similar frequency at the same places, once by each strategy. Activations are
    taken in units of the feature's median activation, since features differ in scale.

    Args:
        maxima: Reads rows of tokens; returns the feature's strongest activation in each.
        texts: Token ids of texts, each long enough to have `LONGEST_INJECTION` tokens replaced.
        injected: The feature's tokens and median activation.
        n_fixed: Number of tokens that begin every row (BOS).
        seed: Seed of the trigger and control tokens drawn, and of the test.
    """
    generator = np.random.default_rng(seed)
    triggers = injected.triggers
    weights = np.array([trigger.share for trigger in triggers])
    n = min(N_TRIGGERS, len(triggers))
    rows: list[list[int]] = []
    for text in texts:
        drawn = generator.choice(len(triggers), n, replace=False, p=weights / weights.sum())
        own = [triggers[i].token_ids for i in drawn]
        random = [[injected.controls.draw(token, generator) for token in ngram] for ngram in own]
        for strategy in STRATEGIES:
            rows += [inject(text, own, strategy, n_fixed), inject(text, random, strategy, n_fixed)]
    activations = rearrange(
        maxima(rows) / injected.median,
        "(text strategy kind) -> kind text strategy",
        strategy=len(STRATEGIES),
        kind=2,
    )
    return compare_maxima(activations[0], activations[1], int(generator.integers(2**31)))


def compare_maxima(
    injected: "Float[np.ndarray, 'n_texts n_strategies']",
    control: "Float[np.ndarray, 'n_texts n_strategies']",
    seed: int,
) -> InjectionResult:
    """Compares activations with a feature's own tokens and with control tokens.

    Args:
        injected: Strongest activation in each text by each of the `STRATEGIES`, in units of the
            feature's median activation.
        control: The same with control tokens.
        seed: Seed of the sign flips.
    """
    differences = injected - control
    test = flip_test(differences, seed)
    columns = zip(
        STRATEGIES,
        differences.mean(0).tolist(),
        (injected >= 1).mean(0).tolist(),
        (control >= 1).mean(0).tolist(),
        test.p_values.tolist(),
    )
    return InjectionResult(len(injected), [StrategyResult(*column) for column in columns])


def injection_finding(result: InjectionResult, q_value: float) -> InjectionFinding:
    """Returns the finding of the injection test.

    `token-driven`: its own tokens make it reach its median activation in half of the texts or
    more, and activate it significantly more than control tokens. `not token-driven`: by no strategy
    do they reach it in half of all such texts (the 95 % Wilson interval lies below). Else
    `undecided`, as when control tokens have the same effect.

    Args:
        result: The result of the injections.
        q_value: The p-value of the best strategy, corrected for the number of features.
    """
    from scipy.stats import binomtest

    if q_value < ALPHA and result.best.injected_share >= HALF:
        return "token-driven"
    counts = [round(each.injected_share * result.n_texts) for each in result.strategies]
    interval = binomtest(max(counts), result.n_texts).proportion_ci(method="wilson")
    return "not token-driven" if interval.high < HALF else "undecided"
