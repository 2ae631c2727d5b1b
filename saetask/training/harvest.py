"""Computes a corpus's activations at hook points once and stores them in shards on disk."""

import itertools
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from saetask.compute.executor import Executor, LocalExecutor
from saetask.data.corpus import TokenRow, corpus_content, token_rows
from saetask.errors import UserError
from saetask.models.content import model_content
from saetask.models.forward import batches_by_length, right_padded
from saetask.models.hooks import read_hooks
from saetask.models.loading import model_device, model_tokenizer
from saetask.training.activation_store import MANIFEST, ActivationShards, shard_name
from saetask.training.config import HarvestConfig
from saetask.utils.files import (
    atomic_path,
    content_hash,
    read_json,
    remove_partial_writes,
    write_json,
)
from saetask.utils.parallel import prefetch
from saetask.utils.progress import stage

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float, Int

    from saetask.models.loading import Model


TOKEN_KEYS = {"train": "harvest.tokens", "test": "test_tokens", "selection": "harvest.tokens"}
"""Key of a recipe that says how many activations of a split are computed."""


def harvest(
    model: "Model",
    config: HarvestConfig,
    folder: Path,
    base: Path = Path(),
    executor: Executor | None = None,
) -> ActivationShards:
    """Computes the activations of a corpus at a hook point, or resumes doing so.

    Special tokens (whose activations are attention sinks, a hundred times longer than the rest)
    and norm outliers are dropped.

    Args:
        model: The model to run.
        config: Which activations.
        folder: Gets the shards; finished shards that it has already are kept.
        base: Folder that relative corpus paths are taken from.
        executor: Computes the shards; None computes them in this process.

    Raises:
        UserError: The folder holds a harvest with another config, or of another model or corpus by
            content; it can not be written or is full; or the corpus is unreadable or shorter than
            `config.tokens`.
    """
    return harvest_hooks(model, config, {config.hook_name: folder}, base, executor)[
        config.hook_name
    ]


def harvest_hooks(
    model: "Model",
    config: HarvestConfig,
    folders: Mapping[str, Path],
    base: Path = Path(),
    executor: Executor | None = None,
) -> dict[str, ActivationShards]:
    """Computes the activations of a corpus at several hook points, in one pass of the model.

    Each folder gets what `harvest` stores in it for its hook point alone, and can be used as such.

    Args:
        model: The model to run.
        config: Which activations; `hook_name` is of no effect.
        folders: Gets the shards of each hook point, by its name; finished shards are kept.
        base: Folder that relative corpus paths are taken from.
        executor: Computes the shards; None computes them in this process.

    Raises:
        UserError: As `harvest`.
    """
    stores = [_open_store(model, replace(config, hook_name=h), f, base) for h, f in folders.items()]
    unfinished = [store for store in stores if store.total < config.tokens]
    rows = token_rows(config.corpus, model_tokenizer(model), config.split, base)
    new = _new_shards(config, unfinished, rows, executor or LocalExecutor(model))
    stored = 0
    with (
        stage(f"harvest {config.split}", config.tokens, "token") as advance,
        closing(new),
    ):
        for _ in itertools.chain([None], new):
            least = min(store.total for store in stores)
            advance(least - stored)
            stored = least
            if stored >= config.tokens:
                break
    if stored < config.tokens:
        key = TOKEN_KEYS[config.split]
        raise UserError(
            f"The corpus has only {stored} {config.split} activations, fewer than the "
            f"{config.tokens} of {key}; add to harvest.corpus.sources, or lower {key}."
        )
    return {s.hook_name: ActivationShards(s.folder, s.n_used(config.tokens)) for s in stores}


@dataclass(frozen=True)
class _Store:
    """The shards of one hook point."""

    hook_name: str
    folder: Path
    manifest: dict[str, Any]
    counts: list[int]
    """Number of activations in each shard."""

    @property
    def total(self) -> int:
        """Number of activations in all shards."""
        return sum(self.counts)

    def n_used(self, tokens: int) -> int:
        """Returns how many shards hold the first `tokens` activations."""
        totals = itertools.accumulate(self.counts)
        return next(n for n, total in enumerate(totals, 1) if total >= tokens)


def harvest_identity(model: "Model", config: HarvestConfig, base: Path = Path()) -> str:
    """Returns a hash of what decides the activations of a harvest: config, model and text files.

    `tokens` is left out: a longer harvest begins with the shards of a shorter one.
    """
    identity = {
        **asdict(config),
        "tokens": None,
        "content": corpus_content(config.corpus, base),
        "model": model_content(model).hash,
    }
    return content_hash(identity)


def _open_store(model: "Model", config: HarvestConfig, folder: Path, base: Path) -> _Store:
    """Opens a folder of shards, in which a harvest may have been begun."""
    from safetensors import safe_open

    manifest = _open_manifest(folder, harvest_identity(model, config, base))
    remove_partial_writes(folder)
    counts = []
    for number in range(manifest["shards"]):
        with safe_open(folder / shard_name(number), "pt") as shard:
            counts.append(shard.get_slice("activations").get_shape()[0])
    return _Store(config.hook_name, folder, manifest, counts)


def _new_shards(
    config: HarvestConfig, stores: Sequence[_Store], rows: Iterator[TokenRow], executor: Executor
) -> Generator[None, None, None]:
    """Computes the remaining shards, and stores them; yields after each.

    The norm limit, which depends on the first shard, is applied here, so that no other shard waits
    for it. A shard is computed while the next one's rows are cut and the last one is written.
    """
    first = min((len(store.counts) for store in stores), default=0)
    remaining = itertools.islice(rows, first * config.rows_per_shard, None)
    shards = _in_shards(remaining, config.rows_per_shard)
    compute = partial(_compute_shard, [s.hook_name for s in stores], config.rows_per_batch)
    with ThreadPoolExecutor(1) as writer:
        writing: list[Future[None]] = []
        try:
            for number, computed in enumerate(executor.map(compute, prefetch(shards)), first):
                own = [store for store in stores if len(store.counts) == number]
                kept = [_without_outliers(computed, s, config) for s in own]
                _wait(writing)
                writing = [
                    writer.submit(_write_shard, store.folder, store.manifest, tensors)
                    for store, tensors in zip(own, kept)
                ]
                yield
        finally:
            _wait(writing)


def _without_outliers(
    shard: "_ComputedShard", store: _Store, config: HarvestConfig
) -> "dict[str, torch.Tensor]":
    """Returns a store's next shard without norm outliers, and counts its activations."""
    activations = shard.activations[store.hook_name]
    norms = activations.float().norm(dim=-1)
    limit = store.manifest["norm_limit"] or config.norm_limit * norms.median().item()
    kept = norms <= limit
    store.manifest["norm_limit"] = limit
    store.counts.append(int(kept.sum()))
    return {"activations": activations[kept], "token_ids": shard.token_ids[kept]}


def _wait(writing: "Sequence[Future[None]]") -> None:
    for future in writing:
        future.result()


def _write_shard(folder: Path, manifest: dict, tensors: "dict[str, torch.Tensor]") -> None:
    """Stores a shard and then counts it in the manifest, so that only whole shards are counted."""
    from safetensors.torch import save_file

    with atomic_path(folder / shard_name(manifest["shards"])) as temporary:
        save_file(tensors, temporary)
    manifest["shards"] += 1
    write_json(folder / MANIFEST, manifest)


def _in_shards(rows: Iterator[TokenRow], size: int) -> Iterator[list[TokenRow]]:
    """Yields lists of `size` rows; the last one may be shorter."""
    while shard := list(itertools.islice(rows, size)):
        yield shard


def _open_manifest(folder: Path, identity: str) -> dict:
    """Returns the manifest of a folder, or a new one if the folder has none.

    Raises:
        UserError: The folder's manifest has another identity.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return {"schema_version": 1, "identity": identity, "shards": 0, "norm_limit": None}
    manifest = read_json(path)
    if manifest["identity"] != identity:
        raise UserError(
            f"{folder} holds a harvest with another config or model, or of a corpus of other "
            "content; give an empty folder."
        )
    return manifest


class _ComputedShard(NamedTuple):
    """The ordinary tokens of a shard's rows."""

    activations: "dict[str, Float[torch.Tensor, 'token d_in']]"
    """By hook point, bfloat16."""
    token_ids: "Int[torch.Tensor, 'token']"


def _compute_shard(
    hook_names: Sequence[str], rows_per_batch: int, model: "Model", rows: list[TokenRow]
) -> _ComputedShard:
    """Runs rows in batches of similar length and returns their ordinary tokens' activations."""
    import torch
    from einops import rearrange

    special = torch.tensor(sorted(model_tokenizer(model).all_special_ids))
    row_ids = [row.token_ids for row in rows]
    chunks: dict[str, list[torch.Tensor]] = {name: [] for name in hook_names}
    token_ids = []
    for batch in batches_by_length([len(row) for row in row_ids], rows_per_batch):
        tokens = right_padded([row_ids[i] for i in batch])
        lengths = torch.tensor([len(row_ids[i]) for i in batch])
        kept = torch.arange(tokens.shape[1]) < lengths[:, None]
        kept &= ~torch.isin(tokens, special)
        token_ids.append(tokens[kept].int())
        # Selected on the device, by index, so that the CPU waits for a GPU only once a shard.
        chosen = kept.flatten().nonzero()[:, 0].to(model_device(model), non_blocking=True)
        for name, activations in read_hooks(model, tokens, hook_names).items():
            tokens_first = rearrange(activations, "batch pos d_in -> (batch pos) d_in")
            chunks[name].append(tokens_first[chosen].to(torch.bfloat16))
    found = {name: torch.cat(own).cpu() for name, own in chunks.items()}
    return _ComputedShard(found, torch.cat(token_ids))
