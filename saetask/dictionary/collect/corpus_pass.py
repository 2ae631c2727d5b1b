"""Reading a corpus for a dictionary: one pass, resumable, its memory bounded."""

import itertools
import json
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from saetask.compute.executor import Executor, LocalExecutor
from saetask.data.corpus import CorpusConfig, Split, TokenRow, token_rows
from saetask.dictionary.collect.statistics import (
    FeatureStatistics,
    SampledActivations,
    count_activations,
    empty_statistics,
    merge_statistics,
)
from saetask.errors import UserError
from saetask.models.loading import model_fingerprint, model_tokenizer
from saetask.saes.activations import TokenActivations
from saetask.saes.corpus_extraction import extract_token_activations
from saetask.saes.loading import sae_fingerprint
from saetask.saes.random_sae import CALIBRATION_ROWS, random_sae
from saetask.utils.files import atomic_path, content_hash, remove_partial_writes, write_json

if TYPE_CHECKING:
    from sae_lens import SAE
    from transformers import PreTrainedTokenizerBase

    from saetask.models.loading import Model

WORK = "work"
STATE = "state.json"
ROWS_PER_SHARD = 256
"""Rows after which the pass can be taken up again: whole blocks."""
OWN, CONTROL = "sae", "random-sae"


@dataclass(frozen=True)
class BuildConfig:
    """What a dictionary is built from."""

    corpus: CorpusConfig = field(
        default_factory=lambda: CorpusConfig(test_share=0.1, selection_share=0.1)
    )
    """The texts; labels are chosen on its selection documents and tried on its test documents."""
    tokens: int = 500_000
    """Tokens of build documents to read, at least."""
    sample_rows: int = 1024
    """Rows of each split in which every firing is kept: what labels are made and tried on."""
    seed: int = 0
    """Seed of the examples and of the control."""


@dataclass(frozen=True)
class Pass:
    """A finished pass over the corpus."""

    tally: FeatureStatistics
    rows: list[TokenRow]
    """The build rows, in the order of the stream."""


def read_corpus(
    model: "Model",
    sae: "SAE[Any]",
    config: BuildConfig,
    folder: Path,
    base: Path = Path(),
    engine: Executor | None = None,
) -> Pass:
    """Reads the corpus through the SAE, or goes on doing so.

    Memory is bounded by features and contexts kept, and by the sample rows, not by tokens (whose
    ids are kept: four bytes each).

    Args:
        model: The model to read.
        sae: An SAE that fits it.
        config: What to read.
        folder: The dictionary's folder; the state of the pass lies in `work/` below it.
        base: Folder that relative corpus paths are taken from.
        engine: Where shards of rows are read; None reads them here.

    Raises:
        UserError: The folder holds another pass, it can not be written or is full, or a split of
            the corpus is too short.
    """
    from tqdm import tqdm

    engine = engine or LocalExecutor(model)
    identity = content_hash(
        [{**asdict(config), "tokens": None}, model_fingerprint(model), sae_fingerprint(sae)]
    )
    work = folder / WORK
    done = _open_state(work / STATE, identity)["shards"]
    _remove_leftovers(folder, done)
    tokenizer = model_tokenizer(model)
    first = itertools.islice(token_rows(config.corpus, tokenizer, "train", base), CALIBRATION_ROWS)
    saes = [sae, random_sae(model, sae, list(first), config.seed)]
    found = _load_tally(work / f"tally-{done}.safetensors", sae.cfg.d_sae)
    stream = token_rows(config.corpus, tokenizer, "train", base)
    rows: list[TokenRow] = []
    shards = _build_shards(stream, config, done, rows)
    with tqdm(total=config.tokens, unit="tok", desc="read build documents") as bar:
        for shard in itertools.islice(shards, done):
            bar.update(sum(len(row.token_ids) for row in shard.rows))
        for number, read in enumerate(engine.map(partial(_tally_shard, saes), shards), done):
            found = merge_statistics(found, read.tally)
            for firings, name in zip(read.sampled, (OWN, CONTROL)):
                _save_arrays(work / f"train-{name}-{number}.safetensors", vars(firings))
            _save_tally(work / f"tally-{number + 1}.safetensors", found)
            write_json(work / STATE, {"identity": identity, "shards": number + 1})
            (work / f"tally-{number}.safetensors").unlink(missing_ok=True)
            bar.update(read.tally.n_tokens)
    for split in ("selection", "test"):
        _read_sample(tokenizer, saes, config, split, work, base, engine)
    return Pass(found, rows)


class _Shard(NamedTuple):
    """Build rows that are read together."""

    rows: list[TokenRow]
    first: int
    """Number of the first of them in the whole stream."""
    sampled: int
    """How many, from the first, keep every firing."""


class _Read(NamedTuple):
    """What a shard gave."""

    tally: FeatureStatistics
    sampled: list[TokenActivations]
    """Of the SAE and of its control, on the sampled rows; empty where there are none."""


def _build_shards(
    stream: Iterator[TokenRow], config: BuildConfig, done: int, rows: list[TokenRow]
) -> Iterator[_Shard]:
    """Yields shards until there are tokens enough, and notes their rows, in compact form."""
    n_tokens = 0
    for number in itertools.count():
        if n_tokens >= config.tokens and number >= done:
            return
        new = list(itertools.islice(stream, ROWS_PER_SHARD))
        if not new:
            raise _too_short("train", n_tokens, config.tokens)
        first = len(rows)
        n_tokens += sum(len(row.token_ids) for row in new)
        rows += [row._replace(token_ids=array("i", row.token_ids)) for row in new]
        yield _Shard(new, first, max(0, min(len(new), config.sample_rows - first)))


def _tally_shard(saes: "Sequence[SAE[Any]]", model: "Model", shard: _Shard) -> _Read:
    """Reads a shard; the control is read where its firings are kept."""
    read = extract_token_activations(model, saes if shard.sampled else saes[:1], shard.rows)
    sampled = [firings.rows(0, shard.sampled) for firings in read] if shard.sampled else []
    return _Read(count_activations(read[0], shard.first), sampled)


def load_samples(folder: Path, name: str, d_sae: int) -> dict[Split, TokenActivations]:
    """Loads the firings on the sample rows of each split, of the SAE (`OWN`) or of the `CONTROL`.

    Raises:
        UserError: The folder's `work/` has none.
    """
    splits: tuple[Split, ...] = ("train", "selection", "test")
    return {split: _load_sample(folder / WORK, split, name, d_sae) for split in splits}


def _load_sample(work: Path, split: Split, name: str, d_sae: int) -> TokenActivations:
    paths = list(work.glob(f"{split}-{name}-*.safetensors"))
    if not paths:
        raise UserError(f"{work} has no {split} firings of the {name}; build the dictionary anew.")
    paths.sort(key=lambda path: int(path.stem.rpartition("-")[2]))
    return _joined([TokenActivations(**_load_arrays(path), d_sae=d_sae) for path in paths])


def _read_sample(
    tokenizer: "PreTrainedTokenizerBase",
    saes: "Sequence[SAE[Any]]",
    config: BuildConfig,
    split: Split,
    work: Path,
    base: Path,
    engine: Executor,
) -> None:
    """Reads the sample rows of a split, shard by shard, keeping every firing."""
    from tqdm import tqdm

    stream: Iterator[TokenRow] = token_rows(config.corpus, tokenizer, split, base)
    rows = list(itertools.islice(stream, config.sample_rows))
    if len(rows) < config.sample_rows:
        raise _too_short(split, len(rows), config.sample_rows, "rows")
    paths = {
        start: [work / f"{split}-{name}-{number}.safetensors" for name in (OWN, CONTROL)]
        for number, start in enumerate(range(0, len(rows), ROWS_PER_SHARD))
    }
    missing = [start for start in paths if not all(path.is_file() for path in paths[start])]
    shards = [rows[start : start + ROWS_PER_SHARD] for start in missing]
    read = engine.map(partial(_read_shard, saes), shards)
    shown = tqdm(read, total=len(shards), desc=f"read {split} documents")
    for start, found in zip(missing, shown):
        for firings, path in zip(found, paths[start]):
            _save_arrays(path, vars(firings))


def _read_shard(
    saes: "Sequence[SAE[Any]]", model: "Model", rows: Sequence[TokenRow]
) -> list[TokenActivations]:
    return extract_token_activations(model, saes, rows)


def _too_short(split: Split, found: int, wanted: int, unit: str = "tokens") -> UserError:
    return UserError(
        f"The corpus has {found} {unit} of {split} documents, fewer than {wanted}; "
        "add sources or lower the number."
    )


def _open_state(path: Path, identity: str) -> dict[str, Any]:
    if not path.is_file():
        return {"identity": identity, "shards": 0}
    state = json.loads(path.read_text())
    if state["identity"] != identity:
        raise UserError(
            f"{path.parent.parent} holds a dictionary of another model, SAE or corpus; "
            "choose another --out."
        )
    return state


def _remove_leftovers(folder: Path, done: int) -> None:
    """Removes what a killed pass left: files half written, and tallies of other states."""
    remove_partial_writes(folder)
    for path in (folder / WORK).glob("tally-*.safetensors"):
        if path != folder / WORK / f"tally-{done}.safetensors":
            path.unlink()


def _joined(parts: Sequence[TokenActivations]) -> TokenActivations:
    def offsets(arrays: list[np.ndarray]) -> np.ndarray:
        return np.cumsum(np.concatenate([[0], *(np.diff(array) for array in arrays)]))

    return TokenActivations(
        np.concatenate([p.token_ids for p in parts]),
        offsets([p.row_starts for p in parts]),
        np.concatenate([p.documents for p in parts]),
        offsets([p.indptr for p in parts]),
        np.concatenate([p.features for p in parts]),
        np.concatenate([p.values for p in parts]),
        parts[0].d_sae,
    )


def _save_arrays(path: Path, columns: dict[str, Any]) -> None:
    from safetensors.numpy import save_file

    arrays = {k: np.ascontiguousarray(v) for k, v in columns.items() if isinstance(v, np.ndarray)}
    with atomic_path(path) as temporary:
        save_file(arrays, temporary)


def _load_arrays(path: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return load_file(path)


def _save_tally(path: Path, found: FeatureStatistics) -> None:
    arrays = {k: v for k, v in vars(found).items() if isinstance(v, np.ndarray)}
    arrays["n_tokens"] = np.array([found.n_tokens])
    for name in ("top", "sample"):
        records: SampledActivations = getattr(found, name)
        arrays |= {f"{name}.{column}": value for column, value in records._asdict().items()}
    _save_arrays(path, arrays)


def _load_tally(path: Path, d_sae: int) -> FeatureStatistics:
    if not path.is_file():
        return empty_statistics(d_sae)
    arrays = _load_arrays(path)
    parts: dict[str, Any] = {f.name: arrays.get(f.name) for f in fields(FeatureStatistics)}
    parts["n_tokens"] = int(arrays["n_tokens"][0])
    for name in ("top", "sample"):
        parts[name] = SampledActivations(
            *(arrays[f"{name}.{column}"] for column in SampledActivations._fields)
        )
    return FeatureStatistics(**parts)
