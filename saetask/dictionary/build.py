"""Reading a corpus for a dictionary: one pass, resumable, its memory bounded."""

import itertools
import json
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from saetask.cache import atomic_path, content_hash, write_json
from saetask.corpus import CorpusConfig, Split, TokenRow, token_rows
from saetask.dictionary.controls import CALIBRATION_ROWS, random_sae
from saetask.dictionary.firings import Firings, read_firings
from saetask.dictionary.tally import Records, Tally, empty_tally, merge, tally
from saetask.errors import UserError
from saetask.models import model_fingerprint, model_tokenizer
from saetask.saes import sae_fingerprint

if TYPE_CHECKING:
    from sae_lens import SAE

    from saetask.models import Model

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

    tally: Tally
    rows: list[TokenRow]
    """The build rows, in the order of the stream."""


def read_corpus(
    model: "Model", sae: "SAE[Any]", config: BuildConfig, folder: Path, base: Path = Path()
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

    Raises:
        UserError: The folder holds another pass, or a split of the corpus is too short.
    """
    from tqdm import tqdm

    identity = content_hash(
        [{**asdict(config), "tokens": None}, model_fingerprint(model), sae_fingerprint(sae)]
    )
    work = folder / WORK
    state = _open_state(work / STATE, identity)
    tokenizer = model_tokenizer(model)
    first = itertools.islice(token_rows(config.corpus, tokenizer, "train", base), CALIBRATION_ROWS)
    control = random_sae(model, sae, list(first), config.seed)
    found = _load_tally(work / f"tally-{state['shards']}.safetensors", sae.cfg.d_sae)
    stream = token_rows(config.corpus, tokenizer, "train", base)
    rows: list[TokenRow] = []
    n_tokens = 0
    with tqdm(total=config.tokens, unit="tok", desc="read build documents") as bar:
        for shard in itertools.count():
            if n_tokens >= config.tokens and shard >= state["shards"]:
                break
            new = list(itertools.islice(stream, ROWS_PER_SHARD))
            if not new:
                raise _too_short("train", n_tokens, config.tokens)
            if shard >= state["shards"]:
                sampled = max(0, min(len(new), config.sample_rows - len(rows)))
                read = read_firings(model, [sae, control] if sampled else [sae], new)
                found = merge(found, tally(read[0], len(rows)))
                for firings, name in zip(read if sampled else [], (OWN, CONTROL)):
                    path = work / f"train-{name}-{shard}.safetensors"
                    _save_arrays(path, vars(firings.rows(0, sampled)))
                _save_tally(work / f"tally-{shard + 1}.safetensors", found)
                write_json(work / STATE, {"identity": identity, "shards": shard + 1})
                (work / f"tally-{shard}.safetensors").unlink(missing_ok=True)
            rows += [row._replace(token_ids=array("i", row.token_ids)) for row in new]
            added = sum(len(row.token_ids) for row in new)
            n_tokens += added
            bar.update(added)
    for split in ("selection", "test"):
        _read_sample(model, [sae, control], config, split, work, base)
    return Pass(found, rows)


def load_samples(folder: Path, name: str, d_sae: int) -> dict[Split, Firings]:
    """Loads the firings on the sample rows of each split, of the SAE (`OWN`) or of the `CONTROL`.

    Raises:
        UserError: The folder's `work/` has none.
    """
    splits: tuple[Split, ...] = ("train", "selection", "test")
    return {split: _load_sample(folder / WORK, split, name, d_sae) for split in splits}


def _load_sample(work: Path, split: Split, name: str, d_sae: int) -> Firings:
    paths = list(work.glob(f"{split}-{name}-*.safetensors"))
    if not paths:
        raise UserError(f"{work} has no {split} firings of the {name}; build the dictionary anew.")
    paths.sort(key=lambda path: int(path.stem.rpartition("-")[2]))
    return _joined([Firings(**_load_arrays(path), d_sae=d_sae) for path in paths])


def _read_sample(
    model: "Model",
    saes: "Sequence[SAE[Any]]",
    config: BuildConfig,
    split: Split,
    work: Path,
    base: Path,
) -> None:
    """Reads the sample rows of a split, shard by shard, keeping every firing."""
    from tqdm import tqdm

    stream: Iterator[TokenRow] = token_rows(config.corpus, model_tokenizer(model), split, base)
    rows = list(itertools.islice(stream, config.sample_rows))
    if len(rows) < config.sample_rows:
        raise _too_short(split, len(rows), config.sample_rows, "rows")
    starts = range(0, len(rows), ROWS_PER_SHARD)
    for shard, start in enumerate(tqdm(starts, desc=f"read {split} documents")):
        paths = [work / f"{split}-{name}-{shard}.safetensors" for name in (OWN, CONTROL)]
        if not all(path.is_file() for path in paths):
            read = read_firings(model, saes, rows[start : start + ROWS_PER_SHARD])
            for firings, path in zip(read, paths):
                _save_arrays(path, vars(firings))


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


def _joined(parts: Sequence[Firings]) -> Firings:
    def offsets(arrays: list[np.ndarray]) -> np.ndarray:
        return np.cumsum(np.concatenate([[0], *(np.diff(array) for array in arrays)]))

    return Firings(
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


def _save_tally(path: Path, found: Tally) -> None:
    arrays = {k: v for k, v in vars(found).items() if isinstance(v, np.ndarray)}
    arrays["n_tokens"] = np.array([found.n_tokens])
    for name in ("top", "sample"):
        records: Records = getattr(found, name)
        arrays |= {f"{name}.{column}": value for column, value in records._asdict().items()}
    _save_arrays(path, arrays)


def _load_tally(path: Path, d_sae: int) -> Tally:
    if not path.is_file():
        return empty_tally(d_sae)
    arrays = _load_arrays(path)
    parts: dict[str, Any] = {f.name: arrays.get(f.name) for f in fields(Tally)}
    parts["n_tokens"] = int(arrays["n_tokens"][0])
    for name in ("top", "sample"):
        parts[name] = Records(*(arrays[f"{name}.{column}"] for column in Records._fields))
    return Tally(**parts)
