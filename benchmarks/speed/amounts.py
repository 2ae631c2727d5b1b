"""Amount of work of each benchmark in a round."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Amounts:
    """Chosen so that all benchmarks with five rounds end within 20 minutes on two slow cores."""

    read_prompts: int = 20
    harvest_tokens: int = 2048
    train_tokens: int = 6144
    """Activations that are harvested to train on."""
    held_out_tokens: int = 1024
    train_batch: int = 2048
    train_steps: int = 4
    """Steps in a round."""
    curve_steps: int = 20
    """Steps of the loss curves."""
    curve_every: int = 4
    """Steps between two points of a curve."""
    detect_prompts: int = 8
    rank_prompts: int = 8
    generate_prompts: int = 4
    new_tokens: int = 16
    growth_tokens: int = 448
    """The smaller size; the larger is 16 times that, here as below."""
    growth_items: int = 2
    growth_features: int = 2048
    encoded_tokens: int = 512
    memory_tokens: int = 16_384


QUICK = Amounts(
    read_prompts=3,
    harvest_tokens=128,
    train_tokens=256,
    held_out_tokens=64,
    train_batch=128,
    train_steps=2,
    curve_steps=4,
    curve_every=2,
    detect_prompts=1,
    rank_prompts=1,
    generate_prompts=2,
    new_tokens=2,
    growth_tokens=32,
    growth_items=1,
    growth_features=32,
    encoded_tokens=32,
    memory_tokens=1024,
)
"""Enough to see that everything runs; the figures say little."""
