"""Computes a corpus's activations at a hook point once and stores them in shards on disk."""

import itertools
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from saetask.compute.executor import Executor, LocalExecutor
from saetask.data.corpus import TokenRow, corpus_content, token_rows
from saetask.errors import UserError
from saetask.models.content import model_content
from saetask.models.forward import batches_by_length, right_padded
from saetask.models.hooks import read_hook
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
    from jaxtyping import Float

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
    manifest = _open_manifest(folder, harvest_identity(model, config, base))
    remove_partial_writes(folder)
    rows = token_rows(config.corpus, model_tokenizer(model), config.split, base)
    new = _new_shards(model, config, folder, manifest, rows, executor or LocalExecutor(model))
    total = used = 0
    with (
        stage(f"harvest {config.split}", config.tokens, "token") as advance,
        closing(new),
    ):
        for stored in itertools.chain(_kept_shards(folder, manifest), new):
            used += 1
            total += stored
            advance(stored)
            if total >= config.tokens:
                break
    if total < config.tokens:
        key = TOKEN_KEYS[config.split]
        raise UserError(
            f"The corpus has only {total} {config.split} activations, fewer than the "
            f"{config.tokens} of {key}; add to harvest.corpus.sources, or lower {key}."
        )
    return ActivationShards(folder, used)


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


def _kept_shards(folder: Path, manifest: dict) -> Iterator[int]:
    """Yields the number of activations in each finished shard."""
    from safetensors import safe_open

    for number in range(manifest["shards"]):
        with safe_open(folder / shard_name(number), "pt") as shard:
            yield shard.get_slice("activations").get_shape()[0]


def _new_shards(
    model: "Model",
    config: HarvestConfig,
    folder: Path,
    manifest: dict,
    rows: Iterator[TokenRow],
    executor: Executor,
) -> Generator[int, None, None]:
    """Computes and stores the remaining shards; yields the number of activations in each.

    The norm limit, which depends on the first shard, is applied here, so that no other shard waits
    for it. A shard is computed while the next one's rows are cut and the last one is written.
    """
    done = manifest["shards"] * config.rows_per_shard
    shards = _in_shards(itertools.islice(rows, done, None), config.rows_per_shard)
    compute = partial(_compute_shard, config.hook_name, config.rows_per_batch)
    with ThreadPoolExecutor(1) as writer:
        writing: Future[None] = writer.submit(lambda: None)
        try:
            for activations in executor.map(compute, prefetch(shards)):
                norms = activations.float().norm(dim=-1)
                limit = manifest["norm_limit"] or config.norm_limit * norms.median().item()
                kept = activations[norms <= limit]
                writing.result()
                manifest["norm_limit"] = limit
                writing = writer.submit(_write_shard, folder, manifest, kept)
                yield len(kept)
        finally:
            writing.result()


def _write_shard(
    folder: Path, manifest: dict, activations: "Float[torch.Tensor, 'token d_in']"
) -> None:
    """Stores a shard and then counts it in the manifest, so that only whole shards are counted."""
    from safetensors.torch import save_file

    with atomic_path(folder / shard_name(manifest["shards"])) as temporary:
        save_file({"activations": activations}, temporary)
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


def _compute_shard(
    hook_name: str, rows_per_batch: int, model: "Model", rows: list[TokenRow]
) -> "Float[torch.Tensor, 'token d_in']":
    """Runs rows in batches of similar length and returns their ordinary tokens' activations."""
    import torch
    from einops import rearrange

    special = torch.tensor(sorted(model_tokenizer(model).all_special_ids))
    token_ids = [row.token_ids for row in rows]
    activations = []
    for batch in batches_by_length([len(row) for row in token_ids], rows_per_batch):
        tokens = right_padded([token_ids[i] for i in batch])
        lengths = torch.tensor([len(token_ids[i]) for i in batch])
        kept = torch.arange(tokens.shape[1]) < lengths[:, None]
        kept &= ~torch.isin(tokens, special)
        # Selected on the device, by index, so that the CPU waits for a GPU only once a shard.
        chosen = kept.flatten().nonzero()[:, 0].to(model_device(model), non_blocking=True)
        batch_activations = read_hook(model, tokens, hook_name)
        tokens_first = rearrange(batch_activations, "batch pos d_in -> (batch pos) d_in")
        activations.append(tokens_first[chosen].to(torch.bfloat16))
    return torch.cat(activations).cpu()
