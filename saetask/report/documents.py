"""What all documents of a run folder share: field types, reading, and `environment.json`.

A document is defined once, by a pydantic model: experiments write it and the report reads it. Keys
of figures that a run did not measure are left out; `to_json` writes the fields that were set.
"""

from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, StrictBool, WithJsonSchema

from saetask.utils.files import read_json
from saetask.utils.validation import validate


def _as_text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("expected a text")
    return value


def _as_name(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("expected a text that is not empty")
    return value


Text = Annotated[str, PlainValidator(_as_text), WithJsonSchema({"type": "string"})]
"""A string, which may hold half a surrogate pair: pydantic's own type refuses those."""
Name = Annotated[str, PlainValidator(_as_name), WithJsonSchema({"type": "string", "minLength": 1})]
"""A string that is not empty."""
Flag = StrictBool
Number = Annotated[float, Field(strict=True)]
Share = Annotated[float, Field(strict=True, ge=0, le=1)]
"""A number from 0 to 1."""
Count = Annotated[int, Field(strict=True, ge=0)]
PositiveCount = Annotated[int, Field(strict=True, gt=0)]
Interval = tuple[Number, Number]
"""Lower and upper end of a confidence interval."""


class Document(BaseModel):
    """A JSON object of a run folder."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, populate_by_name=True)

    def to_json(self) -> dict[str, Any]:
        """Returns the JSON object: the fields that were set, in the order of their definition."""
        return self.model_dump(exclude_unset=True, by_alias=True)


class Environment(Document):
    """`environment.json`: versions and hardware that a run was made with."""

    saetask: Text
    """Version of this package."""
    python: Text
    """Version of Python."""
    torch: Text
    """Version of PyTorch; of this and the following packages, `not installed` if it is missing."""
    transformers: Text
    """Version of Transformers."""
    transformer_lens: Text = Field(alias="transformer-lens")
    """Version of TransformerLens."""
    sae_lens: Text = Field(alias="sae-lens")
    """Version of SAE-Lens."""
    numpy: Text
    """Version of NumPy."""
    scikit_learn: Text = Field(alias="scikit-learn")
    """Version of scikit-learn."""
    system: Text
    """Operating system."""
    cpu: Text
    """Processor and the instruction set that PyTorch uses of it."""
    cores: Text
    """Number of logical processors."""
    gpu: Text
    """Name of the first CUDA device, `none` without one."""


D = TypeVar("D", bound=Document)


def read_document(model: type[D], path: Path) -> D:
    """Reads a JSON file.

    Raises:
        UserError: It is missing, cannot be read, is no JSON, or does not fit the model.
    """
    return validate(model, read_json(path), path)
