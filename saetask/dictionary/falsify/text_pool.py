"""Pool of texts on which features are tested: its sources, and where features fire in it."""

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
    from jaxtyping import Bool, Float32, Int32, Int64
    from transformers import PreTrainedTokenizerBase

    from saetask.dictionary.dictionary import Dictionary
    from saetask.models.loading import Model
    from saetask.saes.loading import SAE

Item = TypeVar("Item")
ROW_TOKENS = 64
MIN_TOKENS = 16
"""Shorter rows are left out: most of such a text would be injected tokens."""
MAX_ROWS = 1024
"""Maximum number of rows read from a data file."""
OTHERS_PER_TEXT = 8
"""Contexts of other features per wanted text, where the dictionary's contexts are used."""
OWN_CONTEXT = "own context"
"""Source name of rows that were chosen because a tested feature fires in them."""
ROWS_PER_READ = 64
FREQUENT_SHARE = 0.1
"""A token is frequent for a feature that fires on more than this share of its occurrences."""


@dataclass(frozen=True)
class TextPool:
    """Rows of tokens, and where some features fire in them."""

    rows: list[TokenRow]
    maxima: "Float32[np.ndarray, 'n_rows n_features']"
    """Strongest activation of each feature in each row."""
    counts: "Int64[np.ndarray, ' vocab']"
    """Occurrences of each token in rows that were not chosen for a feature."""
    frequent: "Bool[np.ndarray, 'n_features vocab']"
    """Whether each feature fires often on each token; see `FREQUENT_SHARE`."""

    def silent(self, column: int) -> list[TokenRow]:
        """Returns the rows in which a feature never fires."""
        return [self.rows[i] for i in np.flatnonzero(self.maxima[:, column] == 0)]

    def firing(self, column: int, level: float = 0.0) -> list[TokenRow]:
        """Returns the rows in which a feature fires, with an activation of `level` or above."""
        maxima = self.maxima[:, column]
        return [self.rows[i] for i in np.flatnonzero((maxima > 0) & (maxima >= level))]


def file_rows(path: Path, tokenizer: "PreTrainedTokenizerBase", longest: int) -> Iterator[TokenRow]:
    """Yields rows of a text file; the first of every document come first.

    Args:
        path: A `.jsonl` or `.txt` file.
        tokenizer: The model's tokenizer.
        longest: Maximum length of a row, in tokens.

    Raises:
        UserError: The file can not be read, has no column `text`, or no row that is long enough.
    """
    config = CorpusConfig(
        [Source(str(path))],
        context_size=longest,
        min_tokens=MIN_TOKENS,
        rows_per_document=1,
        test_share=0.0,
    )
    return itertools.islice(token_rows(config, tokenizer, "train", Path()), MAX_ROWS)


def context_rows(
    dictionary: "Dictionary",
    features: Sequence[int],
    tokenizer: "PreTrainedTokenizerBase",
    n_others: int,
    seed: int,
) -> Iterator[TokenRow]:
    """Yields a dictionary's stored contexts as rows: those of some features, then random ones.

    A context is stored as texts of tokens. It is left out where its text is not tokenized to the
    same tokens (incomplete characters, or a tokenizer that drops blanks), or where an earlier
    context is of the same document.

    Args:
        dictionary: The dictionary.
        features: Features of which all contexts are taken.
        tokenizer: The tokenizer of the model that the dictionary was built with.
        n_others: Number of contexts of other features, one per feature.
        seed: Seed of the choice of the latter.
    """
    generator = np.random.default_rng(seed)
    seen: set[str] = set()

    def new(contexts: Iterable[dict[str, Any]], source: str) -> Iterator[TokenRow]:
        for context in contexts:
            token_ids = _same_tokens(context["tokens"], tokenizer)
            if context["document"] not in seen and len(token_ids) >= MIN_TOKENS:
                seen.add(context["document"])
                yield TokenRow(source, context["document"], token_ids)

    def shuffled(contexts: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [contexts[i] for i in generator.permutation(len(contexts))]

    for feature in features:
        yield from new(dictionary.contexts(feature), OWN_CONTEXT)
    others = generator.permutation(np.setdiff1d(np.arange(len(dictionary)), features)).tolist()
    one_each = (
        row
        for other in others
        for row in itertools.islice(new(shuffled(dictionary.contexts(other)), "others"), 1)
    )
    yield from itertools.islice(one_each, n_others)


def _same_tokens(texts: Sequence[str], tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    """Returns the ids of tokens given as texts, after BOS; none if tokenizing yields others."""
    encoding = tokenizer("".join(texts), add_special_tokens=False, verbose=False)
    token_ids: list[int] = list(encoding["input_ids"])
    same = [str(tokenizer.decode([i])) for i in token_ids] == list(texts)
    if not same or any(PARTIAL in text for text in texts):
        return []
    bos = tokenizer.bos_token_id
    if not isinstance(bos, int) or token_ids[:1] == [bos]:
        return token_ids
    return [bos, *token_ids]


def read_text_pool(
    model: "Model",
    sae: "SAE[Any]",
    rows: Iterable[TokenRow],
    features: Sequence[int],
    n_texts: int,
    executor: Executor | None = None,
) -> TextPool:
    """Reads rows until every feature fires in enough of them and is silent in enough.

    Every row is read through the SAE; activations stored in a dictionary are not used.

    Args:
        model: The model to read.
        sae: An SAE that fits it.
        rows: The rows; as many are read as needed.
        features: The features.
        n_texts: Number of firing and of silent rows wanted for each feature.
        executor: Runs the blocks of rows; None runs them in this process.
    """
    executor, size = executor or LocalExecutor(model), len(model_tokenizer(model))
    taken: list[TokenRow] = []
    maxima: list[np.ndarray] = []
    background, everywhere = np.zeros((2, size), np.int64)
    fired = np.zeros((len(features), size), np.int64)
    for block in executor.map(partial(_read_rows, sae, features), _blocks(rows)):
        taken += block.rows
        maxima.append(block.maxima)
        own = np.repeat([row.source == OWN_CONTEXT for row in block.rows], block.lengths)
        background += np.bincount(block.token_ids[~own], minlength=size)
        everywhere += np.bincount(block.token_ids, minlength=size)
        for column, on in enumerate(block.firing.T):
            fired[column] += np.bincount(block.token_ids[on], minlength=size)
        fires = np.concatenate(maxima) > 0
        if min(fires.sum(0).min(), (~fires).sum(0).min()) >= n_texts:
            break
    strongest = np.concatenate([np.zeros((0, len(features)), np.float32), *maxima])
    return TextPool(taken, strongest, background, fired > FREQUENT_SHARE * everywhere)


class _BlockActivations(NamedTuple):
    """Activations of some features in a block of rows."""

    rows: list[TokenRow]
    lengths: "Int64[np.ndarray, ' n_rows']"
    """Number of tokens of each row."""
    token_ids: "Int32[np.ndarray, ' n_tokens']"
    """Rows one after another."""
    maxima: "Float32[np.ndarray, 'n_rows n_features']"
    """Strongest activation of each feature in each row."""
    firing: "Bool[np.ndarray, 'n_tokens n_features']"
    """Whether each feature fires on each token."""


def _blocks(rows: Iterable[TokenRow]) -> Iterator[list[TokenRow]]:
    stream = iter(rows)
    while block := list(itertools.islice(stream, ROWS_PER_READ)):
        yield block


def _read_rows(
    sae: "SAE[Any]", features: Sequence[int], model: "Model", rows: list[TokenRow]
) -> _BlockActivations:
    activations = extract_token_activations(model, [sae], rows)[0]
    return _BlockActivations(
        rows,
        np.diff(activations.row_starts),
        activations.token_ids,
        row_maxima(activations, features),
        activations.matrix()[:, list(features)].toarray() > 0,
    )


def row_maxima(
    activations: TokenActivations, features: Sequence[int]
) -> "Float32[np.ndarray, 'n_rows n_features']":
    """Returns the strongest activation of some features in each row."""
    columns = activations.matrix()[:, list(features)].toarray()
    return np.maximum.reduceat(columns, activations.row_starts[:-1], axis=0)


def draw(items: Sequence[Item], n: int, seed: Sequence[int]) -> list[Item]:
    """Returns up to `n` of the items, in random order."""
    order = np.random.default_rng(seed).permutation(len(items))[:n]
    return [items[i] for i in order]
