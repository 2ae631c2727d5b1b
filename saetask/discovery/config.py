"""Options of a discovery."""

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from saetask.discovery.failures import By
from saetask.discovery.forms import Vary
from saetask.errors import UserError


@dataclass(frozen=True)
class DiscoveryConfig:
    """Options of a discovery that most users leave alone."""

    by: By = "correctness"
    """What stands for failure: wrong answers, or answers to one prompt that differ."""
    samples: int = 0
    """Have the model itself answer each prompt, and this many times more: for --by disagreement."""
    vary: Vary = "order"
    """What --samples changes: the order of the choices where they are listed, or the wording."""
    temperature: float = 1.0
    """Of answers that are drawn: where nothing can be changed so, and as a control elsewhere."""
    q: float = 0.05
    """False discovery rate of what is confirmed."""
    discovery_share: float = 0.5
    """Share of the items to find hypotheses on; the others confirm them."""
    seed: int = 0
    """Seed of the split, the permutations and the random dictionary."""
    n_permuted: int = 20
    """Number of searches in permuted failures."""
    dictionary: Path | None = None
    """A dictionary folder of this SAE (default: the shipped one, if there is one)."""
    unvalidated_labels: bool = False
    """Try concepts even if they are not validated."""
    allow_sae_mismatch: bool = False
    """Use the SAE even if its figures show that it does not fit the model."""
    log: str = ""
    """What the log is called in the documents."""
    cache: Path | None = None
    """Folder of what is read of the prompts; a discovery that was stopped goes on from there."""

    def __post_init__(self) -> None:
        """Refuses values that no search can be made with.

        Raises:
            UserError: A value is out of its range.
        """
        for name, known in (("by", get_args(By)), ("vary", get_args(Vary))):
            if (value := getattr(self, name)) not in known:
                raise UserError(f"--{name} is one of {', '.join(known)}, not '{value}'.")
        for name in ("q", "discovery_share"):
            if not 0 < getattr(self, name) < 1:
                raise UserError(f"{_flag(name)} is between 0 and 1, not {getattr(self, name)}.")
        if self.samples and self.by != "disagreement":
            raise UserError("--samples are compared by disagreement; give --by disagreement, too.")
        if self.vary != "order" and not self.samples:
            raise UserError("--vary is how the model is asked again; give --samples 5, too.")
        if not self.temperature > 0:
            raise UserError(f"--temperature is {self.temperature}; it must be above 0.")
        for name in ("seed", "n_permuted", "samples"):
            if getattr(self, name) < 0:
                raise UserError(f"{_flag(name)} is {getattr(self, name)}; it must be 0 or more.")


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
