"""What an SAE of a large model would take: floating-point operations, bytes, hours, money.

    python -m benchmarks.estimate

Prints the table of `docs/scaling.md`. Nothing is measured here: it is arithmetic on the constants
below, each with its source. Change them to estimate something else.
"""

from collections.abc import Iterator
from typing import NamedTuple

# Gemma 2 9B, from its `config.json` and the technical report (arXiv 2408.00118, table 1).
D_MODEL, LAYERS, D_MLP = 3584, 42, 14336
HEADS, KEY_VALUE_HEADS, D_HEAD = 16, 8, 256

# NVIDIA's data sheet of the H100 SXM, without sparsity. The H200's differ in memory: 4.8e12.
BFLOAT16_PEAK = 989.4e12
FLOAT32_PEAK = 66.9e12
MEMORY_BYTES_PER_SECOND = 3.35e12
NVLINK_BYTES_PER_SECOND = 450e9
"""In one direction; the data sheet's 900 GB/s are both."""

# Assumed.
TOKENS = 10**9
D_SAE, K, BATCH = 131_072, 64, 4096
LAYER = 20
"""The hook point is the residual stream after this block."""
UTILISATION = 0.4
"""Share of any peak that is reached."""
DOLLARS_PER_GPU_HOUR = 3.0


class Row(NamedTuple):
    """A part of the work."""

    what: str
    formula: str
    amount: float
    unit: str
    seconds: float
    """Of one GPU, or of each GPU if it is not divided."""
    divided: bool
    """Do eight GPUs take an eighth of it each?"""


def block_parameters() -> int:
    """Returns the weights of a block's matrices."""
    attention = D_MODEL * D_HEAD * (2 * HEADS + 2 * KEY_VALUE_HEADS)
    return attention + 3 * D_MODEL * D_MLP


def sae_parameters(d_in: int = D_MODEL, d_sae: int = D_SAE) -> int:
    """Returns the number of a TopK SAE's parameters: two matrices, two biases."""
    return 2 * d_in * d_sae + d_sae + d_in


def bytes_a_step(d_in: int = D_MODEL, d_sae: int = D_SAE) -> int:
    """Returns what is summed over workers in a step: gradients, two counters a feature, loss."""
    return 4 * sae_parameters(d_in, d_sae) + 8 * d_sae + 4


def rows(workers: int) -> Iterator[Row]:
    """Yields the parts of the work."""
    steps, product = TOKENS / BATCH, D_MODEL * D_SAE * TOKENS

    def computed(what: str, formula: str, amount: float, peak: float) -> Row:
        return Row(what, formula, amount, "FLOP", amount / peak / UTILISATION, True)

    yield computed(
        "harvest, bfloat16",
        "2 × parameters of 21 blocks × tokens",
        2 * block_parameters() * (LAYER + 1) * TOKENS,
        BFLOAT16_PEAK,
    )
    yield computed(
        "training, float32, dense encoder and sums over k rows",
        "(2 d F + 10 d k) × tokens",
        2 * product + 10 * D_MODEL * K * TOKENS,
        FLOAT32_PEAK,
    )
    yield computed(
        "training, float32, all dense (SAE-Lens's TopK, so on GPUs today)",
        "12 d F × tokens",
        12 * product,
        FLOAT32_PEAK,
    )
    moved = 40 * sae_parameters() * steps
    yield Row(
        "Adam and clipping",
        "40 bytes × parameters of the SAE × steps",
        moved,
        "B",
        moved / MEMORY_BYTES_PER_SECOND / UTILISATION,
        False,
    )
    reduced = 2 * (workers - 1) / workers * bytes_a_step() * steps
    yield Row(
        "gradients over NVLink, a worker",
        "2 (n − 1)/n × (4 × parameters + 8 F) bytes × steps",
        reduced,
        "B",
        reduced / NVLINK_BYTES_PER_SECOND / UTILISATION,
        False,
    )


def table(workers: int = 8) -> str:
    """Returns the parts and what they add up to, as Markdown."""
    lines = [f"| | formula | amount | 1 GPU | {workers} GPUs |", "|---|---|---|---|---|"]
    totals = {"sums over k rows": [0.0, 0.0], "all dense": [0.0, 0.0]}
    for row, alone in zip(rows(workers), rows(1)):
        hours = [alone.seconds / 3600, row.seconds / 3600 / (workers if row.divided else 1)]
        lines.append(
            f"| {row.what} | {row.formula} | {row.amount:.2e} {row.unit} "
            f"| {hours[0]:.1f} h | {hours[1]:.1f} h |"
        )
        for name, total in totals.items():
            if not row.what.startswith("training") or name in row.what:
                total[:] = [total[0] + hours[0], total[1] + hours[1]]
    for name, (one, many) in totals.items():
        costs = [one * DOLLARS_PER_GPU_HOUR, many * workers * DOLLARS_PER_GPU_HOUR]
        lines.append(
            f"| **together**, {name} | | | **{one:.1f} h**, ${costs[0]:.0f} "
            f"| **{many:.1f} h**, ${costs[1]:.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Prints the table, and what the text beside it says."""
    print(table())
    print()
    print(f"blocks: {block_parameters():,} parameters each, {LAYERS * block_parameters():,} in all")
    print(
        f"SAE: {sae_parameters():,} parameters; with gradients and Adam {16 * sae_parameters():,} B"
    )
    print(f"activations: {2 * D_MODEL} bytes a token, {2 * D_MODEL * TOKENS:,} in all")
    print(f"steps: {TOKENS // BATCH:,}; summed in each: {bytes_a_step():,} bytes")
    print(f"the order of an epoch: {8 * TOKENS:,} bytes; a shard of 512 rows of 1,024 tokens:")
    print(f"{512 * 1024 * 2 * D_MODEL:,} bytes; a dense tensor of a batch: {4 * BATCH * D_SAE:,}")


if __name__ == "__main__":
    main()
