"""What is measured: a model as saetask has it, the same model as transformers has it, an SAE."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .amounts import Amounts

if TYPE_CHECKING:
    from sae_lens import SAE

    from saetask.models.loading import Model


@dataclass(frozen=True)
class Subject:
    """A model, twice, and an SAE, all on the CPU."""

    model: "Model"
    """A bridge: what saetask and SAE-Lens take."""
    hf_model: Any
    """A causal language model of transformers with the same weights, which no bridge wraps."""
    sae: "SAE[Any]"
    """In float32, as saetask encodes."""

    @cached_property
    def sae_in_models_dtype(self) -> "SAE[Any]":
        """The SAE as SAE-Lens needs it, which puts it into the model."""
        return copy.deepcopy(self.sae).to(dtype=next(self.hf_model.parameters()).dtype)

    @property
    def dtype(self) -> str:
        """The model's floating-point type, such as `float32`."""
        return str(next(self.hf_model.parameters()).dtype).removeprefix("torch.")


@dataclass(frozen=True)
class Setting:
    """What a benchmark is given."""

    load: Callable[[], Subject]
    rounds: int
    """Timed rounds; a warm-up comes before them."""
    amounts: Amounts
    folder: Path
    """Empty, and the benchmark's own."""

    @cached_property
    def subject(self) -> Subject:
        """The model and SAE, loaded when first needed."""
        return self.load()


def load_subject() -> Subject:
    """Loads the default model and SAE, in the type that saetask takes on this processor."""
    from transformers import AutoModelForCausalLM

    from saetask import load_model, load_sae
    from saetask.models.loading import embedded_model_folder
    from saetask.models.precision import fast_dtype

    hf_model = AutoModelForCausalLM.from_pretrained(
        embedded_model_folder(), dtype=fast_dtype("cpu"), attn_implementation="sdpa"
    )
    return Subject(load_model(device="cpu"), hf_model.eval(), load_sae(device="cpu"))
