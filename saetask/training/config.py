"""Training an SAE: a recipe in, an SAE-Lens folder with measured figures out.

Activations are harvested once; `training_process.py` trains on them, in this process or in several;
the saved folder is measured here.
"""

from dataclasses import dataclass, field
from typing import Any

from saetask.models.loading import (
    DEFAULT_MODEL,
)
from saetask.training.activation_store import HarvestConfig

ARCHITECTURES = ("topk", "batchtopk", "jumprelu", "standard", "gated", "matryoshka_batchtopk")
ACROSS_THE_BATCH = ("batchtopk", "matryoshka_batchtopk")
"""Those that choose the strongest features of a whole batch, not of each activation."""


@dataclass(frozen=True)
class TrainConfig:
    """A recipe."""

    harvest: HarvestConfig
    """Which activations."""
    model: str = DEFAULT_MODEL
    """The model, as `saetask.load_model` takes it."""
    architecture: str = "topk"
    """One of `ARCHITECTURES`, as SAE-Lens names them."""
    d_sae: int = 8192
    """Number of features."""
    options: dict[str, Any] = field(default_factory=dict)
    """The architecture's own options, such as `k`, passed to SAE-Lens's config."""
    samples: int = 2_000_000
    """Activations trained on; more than were harvested means several epochs."""
    batch_size: int = 2048
    """Activations in one step, of all processes together."""
    lr: float = 8e-4
    """Peak learning rate of Adam."""
    warm_up_steps: int = 50
    """Steps of linear warm-up."""
    decay_share: float = 0.25
    """Last share of the run, in which the rate falls to a twentieth."""
    dead_after_samples: int = 250_000
    """A feature silent for so many activations counts as dead and gets the auxiliary loss."""
    initial_decoder: str = "data"
    """`data`: decoder rows start as centred activations; `random`: as SAE-Lens draws them."""
    test_tokens: int = 60_000
    """Activations of held-out documents that the saved SAE is measured on."""
    checkpoint_steps: int = 200
    """Steps between two checkpoints."""
    seed: int = 0
    """Seed of initialisation and shuffling."""
