"""Activations over a corpus, computed once and kept in shards on disk."""

import itertools
import json
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from saetask.compute.executor import Executor, LocalExecutor
from saetask.data.corpus import CorpusConfig, Split, TokenRow, token_rows
from saetask.errors import UserError
from saetask.models.forward import batches_by_length, right_padded
from saetask.models.hooks import read_hook
from saetask.models.loading import model_device, model_fingerprint, model_tokenizer
from saetask.utils.files import atomic_path, content_hash, remove_partial_writes, write_json
from saetask.utils.parallel import prefetch

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float

    from saetask.models.loading import Model

MANIFEST = "harvest.json"
STATISTICS_SAMPLES = 50_000


@dataclass(frozen=True)
class HarvestConfig:
    """What is read where, and how it is stored."""

    hook_name: str
    """Hook point to read."""
    tokens: int
    """Stop once this many activations are stored."""
    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    """The texts."""
    split: Split = "train"
    """Which documents."""
    rows_per_batch: int = 16
    """Rows in one forward pass, at most; they are of similar length."""
    rows_per_shard: int = 512
    """Rows in one shard; a shard is the unit of resuming."""
    norm_limit: float = 4.0
    """Activations longer than this many times the first shard's median norm are dropped."""


class ActivationShards:
    """A finished harvest: bfloat16 activations `[n, d_in]`, memory-mapped shard by shard."""

    def __init__(self, folder: Path, n_shards: int | None = None) -> None:
        """Opens the first so many shards of a folder; None opens all."""
        from safetensors.torch import load_file

        self.manifest = json.loads((folder / MANIFEST).read_text())
        numbers = range(self.manifest["shards"] if n_shards is None else n_shards)
        self.shards = [load_file(folder / shard_name(i))["activations"] for i in numbers]
        self.d_in = self.shards[0].shape[1]

    def __len__(self) -> int:
        return sum(len(shard) for shard in self.shards)

    def rows(self, indices: "torch.Tensor") -> "Float[torch.Tensor, 'batch d_in']":
        """Gathers activations by their number in the whole harvest, as float32."""
        import torch

        ends = torch.tensor([len(shard) for shard in self.shards]).cumsum(0)
        owners = torch.searchsorted(ends, indices, right=True)
        batch = torch.empty(len(indices), self.d_in)
        for owner in owners.unique().tolist():
            chosen = owners == owner
            shard = self.shards[owner]
            batch[chosen] = shard[indices[chosen] - (ends[owner] - len(shard))].float()
        return batch


def harvest(
    model: "Model",
    config: HarvestConfig,
    folder: Path,
    base: Path = Path(),
    engine: Executor | None = None,
) -> ActivationShards:
    """Computes the activations of a corpus at a hook point, or resumes doing so.

    Special tokens (whose activations are attention sinks, a hundred times longer than the rest)
    and norm outliers are dropped.

    Args:
        model: The model to read.
        config: What to read.
        folder: Where the shards go; finished shards found there are kept.
        base: Folder that relative corpus paths are taken from.
        engine: Where the shards are read; None reads them here.

    Raises:
        UserError: The folder holds a harvest with another config or model, it can not be written
            or is full, or the corpus is unreadable or shorter than `config.tokens`.
    """
    from tqdm import tqdm

    # `tokens` is left out: a longer harvest begins with the shards of a shorter one.
    identity = {**asdict(config), "tokens": None, "model": model_fingerprint(model)}
    manifest = _open_manifest(folder, content_hash(identity))
    remove_partial_writes(folder)
    rows = token_rows(config.corpus, model_tokenizer(model), config.split, base)
    new = _new_shards(model, config, folder, manifest, rows, engine or LocalExecutor(model))
    total = used = 0
    with (
        tqdm(total=config.tokens, unit="tok", desc=f"harvest {config.split}") as bar,
        closing(new),
    ):
        for stored in itertools.chain(_kept_shards(folder, manifest), new):
            used += 1
            total += stored
            bar.update(stored)
            if total >= config.tokens:
                break
    if total < config.tokens:
        raise UserError(
            f"The corpus has only {total} {config.split} activations, fewer than "
            f"{config.tokens}; add sources or lower the number of tokens."
        )
    return ActivationShards(folder, used)


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
    engine: Executor,
) -> Generator[int, None, None]:
    """Reads and stores the shards that follow; yields the number of activations in each.

    The norm limit, which needs the first shard, is applied here: so no shard has to wait for it.
    One is read while the next one's rows are made and the last one is written.
    """
    done = manifest["shards"] * config.rows_per_shard
    shards = _in_shards(itertools.islice(rows, done, None), config.rows_per_shard)
    read = partial(_read_shard, config.hook_name, config.rows_per_batch)
    with ThreadPoolExecutor(1) as writer:
        writing: Future[None] = writer.submit(lambda: None)
        try:
            for activations in engine.map(read, prefetch(shards)):
                norms = activations.float().norm(dim=-1)
                limit = manifest["norm_limit"] or config.norm_limit * norms.median().item()
                kept = activations[norms <= limit]
                writing.result()
                manifest["norm_limit"] = limit
                writing = writer.submit(_write_shard, folder, manifest, kept)
                yield len(kept)
        finally:
            writing.result()


def _write_shard(folder: Path, manifest: dict, activations: "torch.Tensor") -> None:
    """Stores a shard, and then says in the manifest that it is there."""
    from safetensors.torch import save_file

    with atomic_path(folder / shard_name(manifest["shards"])) as temporary:
        save_file({"activations": activations}, temporary)
    manifest["shards"] += 1
    write_json(folder / MANIFEST, manifest)


def _in_shards(rows: Iterator[TokenRow], size: int) -> Iterator[list[TokenRow]]:
    while shard := list(itertools.islice(rows, size)):
        yield shard


def shard_name(number: int) -> str:
    """Returns the file name of a shard."""
    return f"activations-{number:05d}.safetensors"


def _open_manifest(folder: Path, identity: str) -> dict:
    path = folder / MANIFEST
    if not path.is_file():
        return {"schema_version": 1, "identity": identity, "shards": 0, "norm_limit": None}
    manifest = json.loads(path.read_text())
    if manifest["identity"] != identity:
        raise UserError(
            f"{folder} holds a harvest with another config or model; give an empty folder."
        )
    return manifest


def _read_shard(
    hook_name: str, rows_per_batch: int, model: "Model", rows: list[TokenRow]
) -> "Float[torch.Tensor, 'n d_in']":
    """Reads rows in batches of similar length; returns the activations of ordinary tokens."""
    import torch

    special = torch.tensor(sorted(model_tokenizer(model).all_special_ids))
    token_ids = [row.token_ids for row in rows]
    found = []
    for batch in batches_by_length([len(row) for row in token_ids], rows_per_batch):
        tokens = right_padded([token_ids[i] for i in batch])
        lengths = torch.tensor([len(token_ids[i]) for i in batch])
        kept = torch.arange(tokens.shape[1]) < lengths[:, None]
        kept &= ~torch.isin(tokens, special)
        # Chosen where they are, by number: so a GPU is waited for once a shard.
        chosen = kept.flatten().nonzero()[:, 0].to(model_device(model), non_blocking=True)
        activations = read_hook(model, tokens, hook_name).flatten(0, 1)
        found.append(activations[chosen].to(torch.bfloat16))
    return torch.cat(found).cpu()


def statistics(shards: ActivationShards) -> "tuple[torch.Tensor, float]":
    """Returns the mean activation `[d_in]`, and the scale that makes the mean norm sqrt(d_in)."""
    import torch

    generator = torch.Generator().manual_seed(0)
    chosen = torch.randperm(len(shards), generator=generator)[:STATISTICS_SAMPLES]
    sample = shards.rows(chosen)
    mean = sample.mean(0)
    return mean, shards.d_in**0.5 / (sample - mean).norm(dim=-1).mean().item()


def batches(
    shards: ActivationShards,
    batch_size: int,
    seed: int,
    start: int = 0,
    part: slice = slice(None),
) -> "Iterator[torch.Tensor]":
    """Yields raw batches `[batch_size, d_in]` for ever, each epoch shuffled across all shards.

    With a part, only those rows of each batch are read: `[rows, d_in]`.

    Args:
        shards: The activations.
        batch_size: Rows in a batch; an epoch's incomplete last batch is left out.
        seed: With the epoch's number, the seed of its order.
        start: Number of batches to pass over: a resumed run sees what it would have seen.
        part: The rows of each batch that are wanted.
    """
    import torch

    per_epoch = len(shards) // batch_size
    if not per_epoch:
        raise UserError(f"{len(shards)} activations are fewer than one batch of {batch_size}.")
    number = start
    while True:
        generator = torch.Generator().manual_seed(seed * 10_007 + number // per_epoch)
        order = torch.randperm(len(shards), generator=generator)
        for i in range(number % per_epoch, per_epoch):
            yield shards.rows(order[i * batch_size : (i + 1) * batch_size][part])
            number += 1
