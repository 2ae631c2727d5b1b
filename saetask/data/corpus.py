"""Text corpora as rows of token ids, with document ids and splits that share no document.

A row has tokens of one document only, begins with the tokenizer's BOS token (chats begin with
their template's own header), and is not padded, because the activation at a position depends on
all tokens before it.
"""

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from saetask.data.rendering import chat_tokens
from saetask.data.sources import Source, SourceRows, source_content
from saetask.data.tokenization import bos_ids, text_ids
from saetask.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Split = Literal["train", "selection", "test"]


@dataclass(frozen=True)
class CorpusConfig:
    """Texts of a corpus, and how they are cut into rows."""

    sources: list[Source] = field(default_factory=list)
    """The data sets to mix."""
    context_size: int = 128
    """Maximum length of a row, in tokens."""
    min_tokens: int = 12
    """Minimum length of a row, in tokens; shorter rows are left out."""
    rows_per_document: int = 4
    """Maximum number of rows taken from a document in one pass over its source."""
    test_share: float = 0.05
    """Share of documents, chosen by hash, that belongs to the test split."""
    selection_share: float = 0.0
    """Share of documents, chosen by hash, that belongs to the selection split."""
    seed: int = 0
    """Seed of the order of documents and rows."""


class TokenRow(NamedTuple):
    """Consecutive tokens of one document."""

    source: str
    """Name of the source."""
    document: str
    """Id of the document: its source and its number there."""
    token_ids: Sequence[int]


def corpus_content(config: CorpusConfig, base: Path) -> list[str]:
    """Returns hashes of the content of a corpus's files; of hub data sets name and split."""
    return [source_content(source, base) for source in config.sources]


def rows_passed_over(config: CorpusConfig, base: Path) -> int:
    """Returns the number of rows of a corpus's sources that are null.

    Raises:
        UserError: A source can not be read.
    """
    return sum(SourceRows(source, base).n_empty for source in config.sources)


def document_split(document: str, config: CorpusConfig) -> Split:
    """Returns the split of a document, which depends on the hash of its id alone."""
    digest = hashlib.sha256(document.encode()).digest()
    fraction = int.from_bytes(digest[:8]) / 2**64
    if fraction < config.test_share:
        return "test"
    return "selection" if fraction < config.test_share + config.selection_share else "train"


def token_rows(
    config: CorpusConfig, tokenizer: "PreTrainedTokenizerBase", split: Split, base: Path
) -> Iterator[TokenRow]:
    """Yields rows, interleaved so that every prefix of the stream has the sources' shares.

    The stream ends when any source has no rows left.

    Raises:
        UserError: A source can not be read, or has no document in this split.
    """
    if not config.sources:
        raise UserError("corpus.sources is empty; name at least one file or data set.")
    streams = [_source_rows(config, source, tokenizer, split, base) for source in config.sources]
    taken = [0.0] * len(streams)  # tokens over share, of each source
    while True:
        index = taken.index(min(taken))
        row = next(streams[index], None)
        if row is None:
            if not taken[index]:
                path = config.sources[index].path
                raise UserError(f"Corpus source {path} has no {split} rows; it is too short.")
            return
        taken[index] += len(row.token_ids) / config.sources[index].share
        yield row


def _source_rows(
    config: CorpusConfig,
    source: Source,
    tokenizer: "PreTrainedTokenizerBase",
    split: Split,
    base: Path,
) -> Iterator[TokenRow]:
    """Yields a source's rows in passes over its documents, a few rows of each in a pass."""
    import numpy as np

    name = Path(source.path).name.split(".")[0]
    data = SourceRows(source, base)
    numbers = np.random.default_rng(config.seed).permutation(len(data))
    numbers = [n for n in numbers if document_split(f"{name}/{n}", config) == split]
    for first in itertools.count(0, config.rows_per_document):
        has_rows = False
        for number in numbers:
            content = data[int(number)]
            rows = _cut(tokenizer, content, config, f"{name}/{number}", data.place(int(number)))
            for token_ids in rows[first : first + config.rows_per_document]:
                has_rows = True
                yield TokenRow(name, f"{name}/{number}", token_ids)
        if not has_rows:
            return


def _cut(
    tokenizer: "PreTrainedTokenizerBase",
    content: str | list[dict[str, str]] | None,
    config: CorpusConfig,
    document: str,
    place: str,
) -> list[list[int]]:
    """Cuts a document into rows, in an order shuffled by the document's own seed."""
    import numpy as np

    if content is None:
        return []
    if isinstance(content, str):
        content_ids, bos = text_ids(tokenizer, content), bos_ids(tokenizer)
        step = config.context_size - len(bos)
        rows = [bos + content_ids[i : i + step] for i in range(0, len(content_ids), step)]
    else:
        rows = [_chat_ids(tokenizer, content, place)[: config.context_size]]
    rows = [row for row in rows if len(row) >= config.min_tokens]
    seed = int.from_bytes(hashlib.sha256(f"{config.seed}/{document}".encode()).digest()[:4])
    return [rows[i] for i in np.random.default_rng(seed).permutation(len(rows))]


def _chat_ids(
    tokenizer: "PreTrainedTokenizerBase", chat: list[dict[str, str]], place: str
) -> list[int]:
    try:
        return chat_tokens(tokenizer, chat)
    except UserError as error:
        raise UserError(f"{place}: {error}") from error
