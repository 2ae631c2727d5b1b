"""Rows of a published data set: their fields, and what a converter says against them."""

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from saetask.data.items import Text
from saetask.utils.validation import first_problem

Row = dict[str, Any]
Convert = Callable[[Row, int], Row]
"""Makes an item of a row and its line number, or raises `FieldError` or `LeftOutError`."""


class LeftOutError(Exception):
    """A row that is sound but becomes no item; the message says why."""


class FieldError(Exception):
    """A field of a source row does not fit."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def field(row: Row, name: str, kind: Any) -> Any:
    """Returns a field, validated as a type that pydantic knows.

    Raises:
        FieldError: It is missing or of another kind.
    """
    try:
        adapter = TypeAdapter(kind, config=ConfigDict(strict=True))
        return adapter.validate_python(row.get(name))
    except ValidationError as error:
        raise FieldError(name, first_problem(error).reason) from error


def index_below(length: int) -> Any:
    """Returns the type of an index into a sequence of a given length."""
    return Annotated[int, Field(ge=0, lt=length)]


class Token(NamedTuple):
    """A token of a sentence whose tokens stand a blank apart."""

    text: str
    start: int


def token(row: Row, sentence: str, index: str) -> Token:
    """Returns the token of a sentence to which an index points.

    Args:
        row: The row.
        sentence: Name of the field that holds the sentence.
        index: Name of the field that holds the index.
    """
    tokens = field(row, sentence, Text).split(" ")
    place = field(row, index, index_below(len(tokens)))
    if not tokens[place].strip():
        raise FieldError(index, f"token {place} is empty and can not be the target.")
    return Token(tokens[place], sum(len(token) + 1 for token in tokens[:place]))
