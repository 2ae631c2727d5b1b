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
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from saetask.data.prompts import chat_tokens
from saetask.data.tokenization import bos_ids, text_ids
from saetask.errors import UserError

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

Split = Literal["train", "selection", "test"]


@dataclass(frozen=True)
class Source:
    """A data set of a corpus."""

    path: str
    """A `.jsonl`, `.jsonl.gz`, `.txt` or `.parquet` file, or the id of a hub data set."""
    share: float = 1.0
    """This source's share of the corpus's tokens, relative to the other sources' shares."""
    column: str = "text"
    """The column that holds the text, or the chat as a list of `{"role", "content"}`."""
    hub_split: str = "train"
    """Which split of a hub data set to read."""


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


def read_source(source: Source, base: Path) -> "Dataset":
    """Opens a source with `datasets`; a relative file path is taken from the folder `base`.

    Raises:
        UserError: The file does not exist, `datasets` can not read the file or hub data set, or
            it lacks the column.
    """
    import datasets

    path = base / source.path
    kinds = {".jsonl": "json", ".json": "json", ".txt": "text", ".parquet": "parquet"}
    kind = kinds.get(Path(source.path.removesuffix(".gz")).suffix)
    if kind and not path.is_file():
        raise UserError(f"Corpus file {path} does not exist; check corpus.sources.")
    try:
        if kind:
            data = datasets.load_dataset(kind, data_files=str(path), split="train")
        else:
            data = datasets.load_dataset(source.path, split=source.hub_split)
    except Exception as error:
        reason = str(error) or "it seems to be empty"
        raise UserError(f"Cannot read the corpus source {source.path}: {reason}") from error
    if source.column not in data.column_names:
        raise UserError(
            f"Corpus source {source.path} has no column '{source.column}'; "
            f"it has {', '.join(data.column_names)}."
        )
    return data


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
    data = read_source(source, base)
    numbers = np.random.default_rng(config.seed).permutation(len(data))
    numbers = [n for n in numbers if document_split(f"{name}/{n}", config) == split]
    for first in itertools.count(0, config.rows_per_document):
        has_rows = False
        for number in numbers:
            content = data[int(number)][source.column]
            rows = _cut(tokenizer, content, config, f"{name}/{number}")
            for token_ids in rows[first : first + config.rows_per_document]:
                has_rows = True
                yield TokenRow(name, f"{name}/{number}", token_ids)
        if not has_rows:
            return


def _cut(
    tokenizer: "PreTrainedTokenizerBase", content: Any, config: CorpusConfig, document: str
) -> list[list[int]]:
    """Cuts a document into rows, in an order shuffled by the document's own seed."""
    import numpy as np

    if isinstance(content, str):
        content_ids, bos = text_ids(tokenizer, content), bos_ids(tokenizer)
        step = config.context_size - len(bos)
        rows = [bos + content_ids[i : i + step] for i in range(0, len(content_ids), step)]
    else:
        rows = [chat_tokens(tokenizer, content)[: config.context_size]]
    rows = [row for row in rows if len(row) >= config.min_tokens]
    seed = int.from_bytes(hashlib.sha256(f"{config.seed}/{document}".encode()).digest()[:4])
    return [rows[i] for i in np.random.default_rng(seed).permutation(len(rows))]
