"""Options of the explorer."""

from dataclasses import dataclass, field
from pathlib import Path

from saetask.models.loading import DEFAULT_MODEL
from saetask.models.precision import Dtype
from saetask.saes.loading import DEFAULT_SAE


@dataclass(frozen=True)
class ExploreConfig:
    """What the explorer shows and with which model; every field is a flag of `saetask explore`."""

    run: Path | None = None
    """Run folder to browse: what saetask run wrote."""
    discovery: Path | None = None
    """Discovery folder to browse: what saetask discover wrote."""
    dictionary: Path | None = None
    """Dictionary folder of this SAE; without it, the shipped one if there is one."""
    model: str = DEFAULT_MODEL
    """Alias, folder, .gguf file or hub id of the model."""
    sae: str = DEFAULT_SAE
    """Alias, SAE-Lens folder or SAE-Lens release/sae_id."""
    dtype: Dtype = "auto"
    """Type of the model's weights: float32, bfloat16, or auto, by $SAETASK_DTYPE or processor."""
    allow_sae_mismatch: bool = False
    """Use the SAE even if its figures show that it does not fit the model."""
    tasks: tuple[str, ...] = field(default=("metaphor", "word-problems"))
    """Tasks that prompts can be asked in; some must be fitted first."""
