"""Texts on which features are put to the test: where they come from, and where features fire."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from saetask.compute.executor import Executor, LocalExecutor
from saetask.data.corpus import CorpusConfig, Source, TokenRow, token_rows
from saetask.dictionary.label.rules import PARTIAL
from saetask.models.loading import model_tokenizer
from saetask.saes.activations import TokenActivations
from saetask.saes.corpus_extraction import extract_token_activations

if TYPE_CHECKING:
    from sae_lens import SAE
    from transformers import PreTrainedTokenizerBase

    from saetask.dictionary.dictionary import Dictionary
    from saetask.models.loading import Model

Item = TypeVar("Item")
ROW_TOKENS = 64
FEWEST_TOKENS = 16
"""Shorter rows are left out: injected tokens would be most of the text."""
MOST_ROWS = 1024
"""Rows read of a data file, at most."""
OTHERS_PER_TEXT = 8
"""Contexts of other features read for each text wanted, where the dictionary's own are used."""
OWN = "own context"
"""Source of a row that was chosen because a tested feature fires in it."""
ROWS_PER_READ = 64
OFTEN = 0.1
"""A feature fires often on a token if it does in more than this share of its occurrences."""


@dataclass(frozen=True)
class TextPool:
    """Rows of tokens, and where some features fire in them."""

    rows: list[TokenRow]
    maxima: np.ndarray
    """Strongest activation of each feature in each row, `[n_rows, n_features]`, float32."""
    counts: np.ndarray
    """How often each token occurs in rows not chosen for a feature, `[vocab]`, int64."""
    often: np.ndarray
    """On which tokens does each feature fire often? `[n_features, vocab]`, bool."""

    def silent(self, column: int) -> list[TokenRow]:
        """Returns the rows in which a feature never fires."""
        return [self.rows[i] for i in np.flatnonzero(self.maxima[:, column] == 0)]

    def firing(self, column: int, level: float = 0.0) -> list[TokenRow]:
        """Returns the rows in which a feature fires, at some level or above."""
        maxima = self.maxima[:, column]
        return [self.rows[i] for i in np.flatnonzero((maxima > 0) & (maxima >= level))]


def file_rows(path: Path, tokenizer: "PreTrainedTokenizerBase", longest: int) -> Iterator[TokenRow]:
    """Yields rows of a text file, one of each document before a second one of any.

    Raises:
        UserError: The file can not be read, has no column `text`, or no row that is long enough.
    """
    config = CorpusConfig(
        [Source(str(path))],
        context_size=longest,
        min_tokens=FEWEST_TOKENS,
        rows_per_document=1,
        test_share=0.0,
    )
    return itertools.islice(token_rows(config, tokenizer, "train", Path()), MOST_ROWS)


def context_rows(
    dictionary: "Dictionary",
    features: Sequence[int],
    tokenizer: "PreTrainedTokenizerBase",
    n_others: int,
    seed: int,
) -> Iterator[TokenRow]:
    """Yields a dictionary's stored contexts as rows: those of some features, then random ones.

    A context is stored as texts of tokens. One whose text does not become the same tokens again
    (half a character, or a tokenizer that swallows blanks) is left out, as is a second one of the
    same document.

    Args:
        dictionary: The dictionary.
        features: All of whose contexts are taken.
        tokenizer: The tokenizer of the model it was built with.
        n_others: How many contexts of other features, one a feature.
        seed: Seed of these.
    """
    generator = np.random.default_rng(seed)
    seen: set[str] = set()

    def new(contexts: Iterable[dict[str, Any]], source: str) -> Iterator[TokenRow]:
        for context in contexts:
            token_ids = _same_tokens(context["tokens"], tokenizer)
            if context["document"] not in seen and len(token_ids) >= FEWEST_TOKENS:
                seen.add(context["document"])
                yield TokenRow(source, context["document"], token_ids)

    def shuffled(contexts: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [contexts[i] for i in generator.permutation(len(contexts))]

    for feature in features:
        yield from new(dictionary.contexts(feature), OWN)
    others = generator.permutation(np.setdiff1d(np.arange(len(dictionary)), features)).tolist()
    one_each = (
        row
        for other in others
        for row in itertools.islice(new(shuffled(dictionary.contexts(other)), "others"), 1)
    )
    yield from itertools.islice(one_each, n_others)


def _same_tokens(texts: Sequence[str], tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    """Returns the ids of tokens given as texts, beginning with BOS; empty if they are not those."""
    encoding = tokenizer("".join(texts), add_special_tokens=False, verbose=False)
    token_ids: list[int] = list(encoding["input_ids"])
    same = [str(tokenizer.decode([i])) for i in token_ids] == list(texts)
    if not same or any(PARTIAL in text for text in texts):
        return []
    bos = tokenizer.bos_token_id
    if not isinstance(bos, int) or token_ids[:1] == [bos]:
        return token_ids
    return [bos, *token_ids]


def read_pool(
    model: "Model",
    sae: "SAE[Any]",
    rows: Iterable[TokenRow],
    features: Sequence[int],
    n_texts: int,
    engine: Executor | None = None,
) -> TextPool:
    """Reads rows until every feature is silent in enough of them and fires in enough.

    What a dictionary says of a text is not relied on: every row is read through the SAE anew.

    Args:
        model: The model to read.
        sae: An SAE that fits it.
        rows: Where rows come from; as many are read as needed.
        features: The features to look at.
        n_texts: Enough.
        engine: Where they are read; None reads them here.
    """
    engine, size = engine or LocalExecutor(model), len(model_tokenizer(model))
    taken: list[TokenRow] = []
    maxima: list[np.ndarray] = []
    background, everywhere = np.zeros((2, size), np.int64)
    fired = np.zeros((len(features), size), np.int64)
    for found in engine.map(partial(_read_rows, sae, features), _blocks(rows)):
        taken += found.rows
        maxima.append(found.maxima)
        own = np.repeat([row.source == OWN for row in found.rows], found.lengths)
        background += np.bincount(found.token_ids[~own], minlength=size)
        everywhere += np.bincount(found.token_ids, minlength=size)
        for column, on in enumerate(found.firing.T):
            fired[column] += np.bincount(found.token_ids[on], minlength=size)
        fires = np.concatenate(maxima) > 0
        if min(fires.sum(0).min(), (~fires).sum(0).min()) >= n_texts:
            break
    strongest = np.concatenate([np.zeros((0, len(features)), np.float32), *maxima])
    return TextPool(taken, strongest, background, fired > OFTEN * everywhere)


class _Read(NamedTuple):
    """What some features do in a block of rows."""

    rows: list[TokenRow]
    lengths: np.ndarray
    """Tokens of each row, `[n_rows]`."""
    token_ids: np.ndarray
    """Rows one after another, `[n_tokens]`."""
    maxima: np.ndarray
    """Strongest activation of each feature in each row, `[n_rows, n_features]`, float32."""
    firing: np.ndarray
    """Which features fire on each token? `[n_tokens, n_features]`, bool."""


def _blocks(rows: Iterable[TokenRow]) -> Iterator[list[TokenRow]]:
    stream = iter(rows)
    while block := list(itertools.islice(stream, ROWS_PER_READ)):
        yield block


def _read_rows(
    sae: "SAE[Any]", features: Sequence[int], model: "Model", rows: list[TokenRow]
) -> _Read:
    found = extract_token_activations(model, [sae], rows)[0]
    return _Read(
        rows,
        np.diff(found.row_starts),
        found.token_ids,
        row_maxima(found, features),
        found.matrix()[:, list(features)].toarray() > 0,
    )


def row_maxima(firings: TokenActivations, features: Sequence[int]) -> np.ndarray:
    """Returns the strongest activation of features in each row, `[n_rows, n_features]`, float32."""
    columns = firings.matrix()[:, list(features)].toarray()
    return np.maximum.reduceat(columns, firings.row_starts[:-1], axis=0)


def drawn(items: Sequence[Item], n: int, seed: Sequence[int]) -> list[Item]:
    """Returns so many of the items at most, in random order."""
    order = np.random.default_rng(seed).permutation(len(items))[:n]
    return [items[i] for i in order]
