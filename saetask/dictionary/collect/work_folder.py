"""Files that a corpus pass keeps in a dictionary's `work/`: its state, statistics, activations."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from saetask.data.corpus import Split
from saetask.dictionary.collect.statistics import (
    FeatureStatistics,
    SampledActivations,
    empty_statistics,
)
from saetask.dictionary.documents import Document, read_document
from saetask.errors import UserError
from saetask.saes.activations import TokenActivations
from saetask.utils.files import atomic_path, remove_partial_writes

WORK = "work"
STATE = "state.json"
DESCRIBED, CONTROL = "sae", "random-sae"
"""Names, in files, of the SAE that a dictionary describes and of its random control."""
SPLITS: tuple[Split, ...] = ("train", "selection", "test")


class PassState(Document):
    """State of a corpus pass (`state.json`)."""

    identity: str
    """Hash of the configuration and of the content of corpus, model and SAE."""
    shards: int
    """Number of shards of build rows that were read."""


def open_state(work: Path, identity: str) -> PassState:
    """Reads the state of a pass, and removes partial files that a killed process left.

    Args:
        work: The dictionary's `work/`; without a state file the pass begins.
        identity: Hash of the configuration and of the content of corpus, model and SAE.

    Raises:
        UserError: The folder holds a pass of another identity.
    """
    state = PassState(identity=identity, shards=0)
    if (work / STATE).is_file():
        state = read_document(work / STATE, PassState)
    if state.identity != identity:
        raise UserError(
            f"{work.parent} holds a dictionary of another model, SAE or corpus; "
            "choose another --out."
        )
    remove_partial_writes(work.parent)
    for path in work.glob("tally-*.safetensors"):
        if path != _statistics_path(work, state.shards):
            path.unlink()
    return state


def save_progress(work: Path, state: PassState, statistics: FeatureStatistics) -> None:
    """Writes the statistics of all shards read so far, then the state that refers to them."""
    arrays = {k: v for k, v in vars(statistics).items() if isinstance(v, np.ndarray)}
    arrays["n_tokens"] = np.array([statistics.n_tokens])
    for name in ("top", "sample"):
        samples: SampledActivations = getattr(statistics, name)
        arrays |= {f"{name}.{column}": value for column, value in samples._asdict().items()}
    _save_arrays(_statistics_path(work, state.shards), arrays)
    state.write(work / STATE)
    _statistics_path(work, state.shards - 1).unlink(missing_ok=True)


def load_statistics(work: Path, state: PassState, d_sae: int) -> FeatureStatistics:
    """Reads the statistics that belong to a state; those of no tokens when it is new."""
    path = _statistics_path(work, state.shards)
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


def _statistics_path(work: Path, shards: int) -> Path:
    return work / f"tally-{shards}.safetensors"


def activations_path(work: Path, split: Split, name: str, shard: int) -> Path:
    """Returns the file of a shard's activations of the SAE (`DESCRIBED`) or of its `CONTROL`."""
    return work / f"{split}-{name}-{shard}.safetensors"


def save_activations(path: Path, activations: TokenActivations) -> None:
    """Writes activations atomically."""
    _save_arrays(path, {k: v for k, v in vars(activations).items() if isinstance(v, np.ndarray)})


def load_activations(folder: Path, name: str, d_sae: int) -> dict[Split, TokenActivations]:
    """Reads the activations on the sample rows of each split.

    Args:
        folder: The dictionary's folder.
        name: The SAE (`DESCRIBED`) or its `CONTROL`.
        d_sae: Its number of features.

    Raises:
        UserError: The folder's `work/` has none.
    """
    return {split: _load_split(folder / WORK, split, name, d_sae) for split in SPLITS}


def _load_split(work: Path, split: Split, name: str, d_sae: int) -> TokenActivations:
    paths = list(work.glob(f"{split}-{name}-*.safetensors"))
    if not paths:
        raise UserError(f"{work} has no {split} firings of the {name}; build the dictionary anew.")
    paths.sort(key=lambda path: int(path.stem.rpartition("-")[2]))
    return _concatenate([TokenActivations(**_load_arrays(path), d_sae=d_sae) for path in paths])


def _concatenate(parts: Sequence[TokenActivations]) -> TokenActivations:
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


def _save_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    from safetensors.numpy import save_file

    with atomic_path(path) as temporary:
        save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, temporary)


def _load_arrays(path: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return load_file(path)
