"""One pass of a corpus through an SAE: statistics of every feature; resumable, bounded memory."""

import itertools
from array import array
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from saetask.compute.executor import Executor, LocalExecutor
from saetask.data.corpus import CorpusConfig, Split, TokenRow, corpus_content, token_rows
from saetask.dictionary.collect.statistics import (
    FeatureStatistics,
    count_activations,
    merge_statistics,
)
from saetask.dictionary.collect.work_folder import (
    CONTROL,
    DESCRIBED,
    WORK,
    PassState,
    activations_path,
    load_statistics,
    open_state,
    save_activations,
    save_progress,
)
from saetask.errors import UserError
from saetask.models.content import model_content
from saetask.models.loading import model_tokenizer
from saetask.saes.activations import TokenActivations
from saetask.saes.corpus_extraction import extract_token_activations
from saetask.saes.loading import sae_fingerprint
from saetask.saes.random_sae import CALIBRATION_ROWS, random_sae
from saetask.utils.files import content_hash
from saetask.utils.progress import counted, stage

if TYPE_CHECKING:
    from saetask.models.loading import Model
    from saetask.saes.loading import SAE

ROWS_PER_SHARD = 256
"""Number of rows after which an interrupted pass can resume."""


@dataclass(frozen=True)
class BuildConfig:
    """Corpus and sizes from which a dictionary is built."""

    corpus: CorpusConfig = field(
        default_factory=lambda: CorpusConfig(test_share=0.1, selection_share=0.1)
    )
    """The texts; labels are chosen on its selection documents and validated on its test ones."""
    tokens: int = 500_000
    """Minimum number of tokens of build documents to read."""
    sample_rows: int = 1024
    """Rows of each split in which every firing is kept, to make and test labels on."""
    seed: int = 0
    """Seed of the examples and of the random control."""


@dataclass(frozen=True)
class CorpusPass:
    """A finished pass over the build documents."""

    statistics: FeatureStatistics
    rows: list[TokenRow]
    """The build rows, in the order of the stream."""


def read_corpus(
    model: "Model",
    sae: "SAE[Any]",
    config: BuildConfig,
    folder: Path,
    base: Path = Path(),
    executor: Executor | None = None,
) -> CorpusPass:
    """Reads the corpus through the SAE, or resumes an interrupted pass.

    Memory is bounded by features, kept contexts and sample rows, not by tokens (whose ids are
    kept: four bytes each).

    Args:
        model: The model to read.
        sae: An SAE that fits it.
        config: What to read.
        folder: The dictionary's folder; the state of the pass is kept in its `work/`.
        base: Folder that relative corpus paths are taken from.
        executor: Runs the shards of rows; None runs them in this process.

    Raises:
        UserError: The folder holds another pass, it can not be written or is full, or a split of
            the corpus is too short.
    """
    reader = _CorpusReader(model, sae, config, folder / WORK, base, executor)
    corpus_pass = reader.read_build_rows()
    for split in ("selection", "test"):
        reader.read_sample_rows(split)
    return corpus_pass


class _Shard(NamedTuple):
    """Build rows that are read together."""

    rows: list[TokenRow]
    first: int
    """Number of the first of them in the whole stream."""
    n_sampled: int
    """Number of rows, from the first, whose activations are all kept."""


class _ShardStatistics(NamedTuple):
    """Result of reading a shard."""

    statistics: FeatureStatistics
    sampled: list[TokenActivations]
    """Of the SAE and of its control, on the sampled rows; empty where there are none."""


class _CorpusReader:
    """Reads the rows of a corpus through an SAE and its random control."""

    def __init__(
        self,
        model: "Model",
        sae: "SAE[Any]",
        config: BuildConfig,
        work: Path,
        base: Path,
        executor: Executor | None,
    ) -> None:
        self.config, self.work, self.base = config, work, base
        self.executor = executor or LocalExecutor(model)
        self.tokenizer = model_tokenizer(model)
        identity = content_hash(
            [
                {**asdict(config), "tokens": None},
                corpus_content(config.corpus, base),
                model_content(model).hash,
                sae_fingerprint(sae),
            ]
        )
        self.state = open_state(work, identity)
        calibration = list(itertools.islice(self.rows("train"), CALIBRATION_ROWS))
        self.saes = [sae, random_sae(model, sae, calibration, config.seed)]

    def rows(self, split: Split) -> Iterator[TokenRow]:
        """Yields the rows of a split."""
        return token_rows(self.config.corpus, self.tokenizer, split, self.base)

    def read_build_rows(self) -> CorpusPass:
        """Reads the build rows shard by shard, and saves the progress after each."""
        state, work = self.state, self.work
        statistics = load_statistics(work, state, self.saes[0].cfg.d_sae)
        rows: list[TokenRow] = []
        shards = self._build_shards(rows)
        with stage("read build documents", self.config.tokens, "token") as advance:
            for shard in itertools.islice(shards, state.shards):
                advance(sum(len(row.token_ids) for row in shard.rows))
            results = self.executor.map(partial(_read_build_shard, self.saes), shards)
            for number, result in enumerate(results, state.shards):
                statistics = merge_statistics(statistics, result.statistics)
                for name, activations in zip((DESCRIBED, CONTROL), result.sampled):
                    save_activations(activations_path(work, "train", name, number), activations)
                done = PassState(identity=state.identity, shards=number + 1)
                save_progress(work, done, statistics)
                advance(result.statistics.n_tokens)
        return CorpusPass(statistics, rows)

    def _build_shards(self, rows: list[TokenRow]) -> Iterator[_Shard]:
        """Yields shards until there are enough tokens, and appends their rows in compact form."""
        stream, n_tokens = self.rows("train"), 0
        for number in itertools.count():
            if n_tokens >= self.config.tokens and number >= self.state.shards:
                return
            new = list(itertools.islice(stream, ROWS_PER_SHARD))
            if not new:
                raise _too_short("train", n_tokens, self.config.tokens)
            first = len(rows)
            n_tokens += sum(len(row.token_ids) for row in new)
            rows += [row._replace(token_ids=array("i", row.token_ids)) for row in new]
            yield _Shard(new, first, max(0, min(len(new), self.config.sample_rows - first)))

    def read_sample_rows(self, split: Split) -> None:
        """Reads the sample rows of a split whose files are missing, keeping every activation."""
        n_rows = self.config.sample_rows
        rows = list(itertools.islice(self.rows(split), n_rows))
        if len(rows) < n_rows:
            raise _too_short(split, len(rows), n_rows, "rows")
        paths = {
            start: [activations_path(self.work, split, name, i) for name in (DESCRIBED, CONTROL)]
            for i, start in enumerate(range(0, len(rows), ROWS_PER_SHARD))
        }
        missing = [start for start in paths if not all(path.is_file() for path in paths[start])]
        shards = [rows[start : start + ROWS_PER_SHARD] for start in missing]
        results = self.executor.map(partial(_read_sample_shard, self.saes), shards)
        results = counted(results, len(shards), f"read {split} documents", "shard")
        for start, activations_by_sae in zip(missing, results):
            for activations, path in zip(activations_by_sae, paths[start]):
                save_activations(path, activations)


def _read_build_shard(saes: "list[SAE[Any]]", model: "Model", shard: _Shard) -> _ShardStatistics:
    """Reads a shard; the control is read only where its activations are kept."""
    activations = extract_token_activations(
        model, saes if shard.n_sampled else saes[:1], shard.rows
    )
    sampled = [a.rows(0, shard.n_sampled) for a in activations] if shard.n_sampled else []
    return _ShardStatistics(count_activations(activations[0], shard.first), sampled)


def _read_sample_shard(
    saes: "list[SAE[Any]]", model: "Model", rows: list[TokenRow]
) -> list[TokenActivations]:
    return extract_token_activations(model, saes, rows)


def _too_short(split: Split, n_found: int, n_wanted: int, unit: str = "tokens") -> UserError:
    return UserError(
        f"The corpus has {n_found} {unit} of {split} documents, fewer than {n_wanted}; "
        "add sources or lower the number."
    )
