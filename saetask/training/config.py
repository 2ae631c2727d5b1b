"""Configuration of an SAE training run."""

from dataclasses import dataclass, field
from typing import Any

from saetask.data.corpus import CorpusConfig, Split
from saetask.models.loading import DEFAULT_MODEL

ARCHITECTURES = ("topk", "batchtopk", "jumprelu", "standard", "gated", "matryoshka_batchtopk")
INITIAL_DECODERS = ("data", "random")
BATCH_SELECTING_ARCHITECTURES = ("batchtopk", "matryoshka_batchtopk")
"""Architectures that select the strongest features of a whole batch, not of each activation."""
RELIEVABLE_ARCHITECTURES = ("topk", "batchtopk")
"""Architectures that `unigram_relief` is for; Matryoshka's losses ask the opposite of the first
features."""


@dataclass(frozen=True)
class HarvestConfig:
    """Which activations are computed, and how they are stored."""

    hook_name: str
    """Hook point to read."""
    tokens: int
    """Stop once this many activations are stored."""
    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    """The texts."""
    split: Split = "train"
    """Which documents."""
    rows_per_batch: int = 16
    """Maximum number of rows in one forward pass; they are of similar length."""
    rows_per_shard: int = 512
    """Rows in one shard; a shard is the unit of resuming."""
    norm_limit: float = 4.0
    """Activations longer than this many times the first shard's median norm are dropped."""


@dataclass(frozen=True)
class TrainConfig:
    """Recipe of an SAE."""

    harvest: HarvestConfig
    """Which activations."""
    model: str = DEFAULT_MODEL
    """The model, as `saetask.load_model` takes it."""
    architecture: str = "topk"
    """As SAE-Lens names them: `topk`, `batchtopk`, `jumprelu`, `standard`, `gated` or
    `matryoshka_batchtopk`."""
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
    """Last share of the run, in which the rate falls linearly to 0."""
    dead_after_samples: int = 250_000
    """A feature inactive for this many activations counts as dead and gets the auxiliary loss."""
    initial_decoder: str = "data"
    """`data`: decoder rows start as centred activations; `random`: as SAE-Lens draws them."""
    unigram_relief: float = 0.0
    """Coefficient of a second loss of the first features, which reconstruct with the help of each
    token's mean activation; the saved SAE is a plain one. For `topk` and `batchtopk`."""
    relieved_share: float = 0.25
    """Share of the features, from the first on, that have this loss."""
    test_tokens: int = 60_000
    """Activations of held-out documents that the saved SAE is measured on."""
    checkpoint_steps: int = 200
    """Steps between two checkpoints."""
    seed: int = 0
    """Seed of initialisation and shuffling."""

    @property
    def n_steps(self) -> int:
        """Number of training steps."""
        return self.samples // self.batch_size
