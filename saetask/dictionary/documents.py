"""JSON documents of a dictionary folder: defined as pydantic models, read with one-line errors."""

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from saetask.errors import UserError
from saetask.utils.files import read_text, write_json


class Document(BaseModel):
    """Base of documents and their parts; the order of the fields is that of the keys."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", use_attribute_docstrings=True
    )

    def to_dict(self) -> dict[str, Any]:
        """Returns the document as plain data, without the optional fields that were not set."""
        return self.model_dump(mode="json", exclude_unset=True)

    def write(self, path: Path) -> None:
        """Writes the document as JSON, atomically."""
        write_json(path, self.to_dict())


AnyDocument = TypeVar("AnyDocument", bound=Document)


def read_document(path: Path, kind: type[AnyDocument]) -> AnyDocument:
    """Reads a JSON document.

    Args:
        path: The file.
        kind: The model that defines the document.

    Raises:
        UserError: The file can not be read, is not JSON, or a field is missing or wrong.
    """
    try:
        return kind.model_validate_json(read_text(path))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        place = f", field '{field}'" if field else ""
        if first["type"] == "extra_forbidden":
            raise UserError(
                f"{path}{place}: not a key that this version of saetask knows; remove it, or read "
                "the file with the version that wrote it."
            ) from error
        raise UserError(f"{path}{place}: {first['msg']}; build the dictionary anew.") from error
