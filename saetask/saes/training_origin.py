"""The record of how saetask trained an SAE, which its cfg.json carries.

It ties the SAE's weights and settings to the model's weights, the hook point and the handling of
BOS, so that a later use can be told from the one that it was trained for.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from saetask.models.loading import model_fingerprint, model_name
from saetask.saes.encoding import input_hook, reads_bos
from saetask.saes.loading import sae_fingerprint
from saetask.utils.files import content_hash, read_json, write_json

if TYPE_CHECKING:
    from sae_lens import SAE

    from saetask.models.loading import Model

KEY = "saetask_training"
"""Key of the record in the SAE's metadata."""
USED = ("dtype", "device", "metadata")
"""Settings of an SAE that are not part of what it computes."""


class TrainingOrigin(BaseModel):
    """What an SAE was trained for, and how well it did."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    model_name: str
    """Name of the model."""
    model_fingerprint: str
    """Hash of the model's weights."""
    hook_name: str
    """Hook point of the activations."""
    prepend_bos: bool
    """Whether running text began with BOS."""
    sae_fingerprint: str
    """Hash of the SAE's weights."""
    settings: str
    """Hash of the SAE's settings: architecture, normalisation, and the rest of its config."""
    fvu: float
    """Fraction of variance unexplained of held-out activations."""
    cross_entropy_recovered: float
    """Share of the loss recovered on held-out text."""

    def differences(self, model: "Model", sae: "SAE[Any]") -> list[str]:
        """Returns what is not as it was in training, each as `was (not is)`."""
        now = {
            f"weights of {self.model_name},": (self.model_fingerprint, model_fingerprint(model)),
            "hook point": (self.hook_name, input_hook(sae)),
            "prepend_bos": (self.prepend_bos, reads_bos(sae)),
            "SAE weights": (self.sae_fingerprint, sae_fingerprint(sae)),
            "SAE settings": (self.settings, settings_hash(sae)),
        }
        return [f"{name} {was} (not {found})" for name, (was, found) in now.items() if was != found]


def make_training_origin(
    model: "Model", sae: "SAE[Any]", fvu: float, cross_entropy_recovered: float
) -> TrainingOrigin:
    """Returns the record of an SAE that was trained for a model, with its held-out figures."""
    return TrainingOrigin(
        model_name=model_name(model),
        model_fingerprint=model_fingerprint(model),
        hook_name=input_hook(sae),
        prepend_bos=reads_bos(sae),
        sae_fingerprint=sae_fingerprint(sae),
        settings=settings_hash(sae),
        fvu=fvu,
        cross_entropy_recovered=cross_entropy_recovered,
    )


def settings_hash(sae: "SAE[Any]") -> str:
    """Returns a hash of an SAE's config without device, dtype and metadata."""
    return content_hash({k: v for k, v in sae.cfg.to_dict().items() if k not in USED})


def training_origin(sae: "SAE[Any]") -> TrainingOrigin | None:
    """Returns an SAE's record; None if it has none, or none of this form."""
    try:
        return TrainingOrigin.model_validate(sae.cfg.metadata.get(KEY))
    except ValidationError:
        return None


def write_training_origin(folder: Path, origin: TrainingOrigin) -> None:
    """Adds the record to the cfg.json of a saved SAE."""
    path = folder / "cfg.json"
    config: dict[str, Any] = read_json(path)
    config["metadata"] = {**config.get("metadata", {}), KEY: origin.model_dump()}
    write_json(path, config)
