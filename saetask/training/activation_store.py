"""Activations stored in shards on disk, and the shuffled batches of them that training reads."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from saetask.errors import UserError
from saetask.utils.files import read_json

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float, Int

MANIFEST = "harvest.json"
STATISTICS_SAMPLES = 50_000
"""Maximum number of activations that the mean and the scale are computed from."""


def shard_name(number: int) -> str:
    """Returns the file name of a shard."""
    return f"activations-{number:05d}.safetensors"


class ActivationShards:
    """A finished harvest: bfloat16 activations `[n, d_in]`, memory-mapped shard by shard."""

    def __init__(self, folder: Path, n_shards: int | None = None) -> None:
        """Opens the first `n_shards` shards of a folder; None opens all."""
        from safetensors.torch import load_file

        self._folder, self.manifest = folder, read_json(folder / MANIFEST)
        numbers = range(self.manifest["shards"] if n_shards is None else n_shards)
        self._tensors = [load_file(folder / shard_name(i)) for i in numbers]
        self.shards = [tensors["activations"] for tensors in self._tensors]
        self.d_in = self.shards[0].shape[1]

    def token_ids(self) -> "Int[torch.Tensor, 'n']":
        """Returns the token of each activation.

        Raises:
            UserError: An earlier version stored the activations without their tokens.
        """
        import torch

        if any("token_ids" not in tensors for tensors in self._tensors):
            raise UserError(
                f"The activations in {self._folder} were stored by an earlier version, without "
                "their tokens; remove that folder, or give another --out."
            )
        return torch.cat([tensors["token_ids"] for tensors in self._tensors])

    def __len__(self) -> int:
        return sum(len(shard) for shard in self.shards)

    def rows(self, indices: "Int[torch.Tensor, 'batch']") -> "Float[torch.Tensor, 'batch d_in']":
        """Gathers activations by their index in the whole harvest, as float32."""
        import torch

        ends = torch.tensor([len(shard) for shard in self.shards]).cumsum(0)
        owners = torch.searchsorted(ends, indices, right=True)
        batch = torch.empty(len(indices), self.d_in)
        for owner in owners.unique().tolist():
            in_shard = owners == owner
            shard = self.shards[owner]
            batch[in_shard] = shard[indices[in_shard] - (ends[owner] - len(shard))].float()
        return batch


@dataclass(frozen=True)
class TrainingData:
    """Stored activations with the constants that normalise them."""

    shards: ActivationShards
    mean: "Float[torch.Tensor, 'd_in']"
    """Mean activation, float32."""
    scale: float
    """Factor that makes the mean norm of centred activations sqrt(d_in)."""

    @classmethod
    def from_shards(cls, shards: ActivationShards) -> "TrainingData":
        """Estimates mean and scale on up to `STATISTICS_SAMPLES` random activations."""
        import torch

        generator = torch.Generator().manual_seed(0)
        indices = torch.randperm(len(shards), generator=generator)[:STATISTICS_SAMPLES]
        sample = shards.rows(indices)
        mean = sample.mean(0)
        scale = shards.d_in**0.5 / (sample - mean).norm(dim=-1).mean().item()
        return cls(shards, mean, scale)

    def normalised(
        self, activations: "Float[torch.Tensor, 'batch d_in']"
    ) -> "Float[torch.Tensor, 'batch d_in']":
        """Returns activations, on the device of `mean`, centred and scaled."""
        return (activations - self.mean) * self.scale


def batches(
    shards: ActivationShards,
    batch_size: int,
    seed: int,
    start: int = 0,
    part: slice = slice(None),
) -> "Iterator[Float[torch.Tensor, 'batch d_in']]":
    """Yields raw float32 batches without end; see `batch_indices`."""
    return map(shards.rows, batch_indices(len(shards), batch_size, seed, start, part))


def batch_indices(
    n_activations: int,
    batch_size: int,
    seed: int,
    start: int = 0,
    part: slice = slice(None),
) -> "Iterator[Int[torch.Tensor, 'batch']]":
    """Yields the indices of batches without end, each epoch shuffled across all shards.

    Args:
        n_activations: Number of activations.
        batch_size: Rows in a batch; an epoch's incomplete last batch is left out.
        seed: With the epoch's number, the seed of its order.
        start: Number of batches to skip, so that a resumed run gets the same batches.
        part: Rows of each batch to yield.

    Raises:
        UserError: There are fewer activations than one batch needs.
    """
    import torch

    per_epoch = n_activations // batch_size
    if not per_epoch:
        raise UserError(
            f"{n_activations} activations are fewer than one batch of {batch_size}; raise "
            "harvest.tokens or lower batch_size in the recipe."
        )
    number = start
    while True:
        generator = torch.Generator().manual_seed(seed * 10_007 + number // per_epoch)
        order = torch.randperm(n_activations, generator=generator)
        for i in range(number % per_epoch, per_epoch):
            yield order[i * batch_size : (i + 1) * batch_size][part]
            number += 1
