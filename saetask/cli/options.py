"""Flags that several commands share, and the objects made from them."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saetask.errors import UserError
from saetask.models.loading import DEFAULT_MODEL
from saetask.models.precision import Dtype
from saetask.saes.loading import DEFAULT_SAE
from saetask.utils.files import json_text
from saetask.utils.progress import announce

if TYPE_CHECKING:
    from argparse import Namespace

    from saetask.cli.parser import CommandParser
    from saetask.inference.endpoint import Endpoint
    from saetask.models.loading import Model
    from saetask.plugins import PluginRegistry
    from saetask.saes.loading import SAE


@dataclass(frozen=True)
class ModelOptions:
    """Which model and SAE a command loads."""

    model: str = DEFAULT_MODEL
    """Alias, folder, .gguf file or hub id of the model."""
    sae: str = DEFAULT_SAE
    """Alias, SAE-Lens folder or SAE-Lens release/sae_id."""
    dtype: Dtype = "auto"
    """Type of the model's weights: float32, bfloat16, or auto, by $SAETASK_DTYPE or processor."""

    def announce(self) -> None:
        """Says on a terminal that model and SAE are loaded, which takes some seconds."""
        announce(f"loading {self.model} and the SAE {self.sae} …")

    def load(self) -> "tuple[Model, SAE[Any]]":
        """Loads the model and the SAE."""
        from saetask.models.loading import load_model
        from saetask.saes.loading import load_sae

        self.announce()
        sae = load_sae(self.sae)  # first, since a wrong name is told sooner
        return load_model(self.model, dtype=self.dtype), sae


@dataclass(frozen=True)
class MismatchOptions:
    """Treatment of an SAE that does not fit the model."""

    allow_sae_mismatch: bool = False
    """Use the SAE even if its figures show that it does not fit the model."""


def add_json(parser: "CommandParser") -> None:
    """Adds the flag `--json`."""
    parser.add_argument(
        "--json", action="store_true", default=False, help="Print one JSON document."
    )


def print_json(document: Any) -> None:
    """Prints a document to stdout.

    Raises:
        UserError: A number of it is NaN or infinite.
    """
    print(json_text(document, indent=2))


def print_path(path: Path, as_json: bool) -> None:
    """Prints the path of a file that was written; as JSON, under the key `file`."""
    if as_json:
        print_json({"file": str(path)})
    else:
        print(path)


def open_registry(arguments: "Namespace") -> "PluginRegistry":
    """Returns the plugins of the installed packages and of the files given with `--plugin`.

    The arguments keep the registry, so that a plugin file is executed once.
    """
    from saetask.plugins import PluginRegistry

    if "registry" not in arguments:
        arguments.registry = PluginRegistry([Path(path) for path in arguments.plugin])
    return arguments.registry


def open_endpoint(role: str, model: str | None, url: str | None) -> "Endpoint | None":
    """Returns the endpoint of a language model; None where no model is named.

    Args:
        role: What the model is for: the name of its flag.
        model: The model's name at the endpoint.
        url: The endpoint's address.

    Raises:
        UserError: An address without a model.
    """
    from saetask.inference.endpoint import Endpoint

    if model is None and url is not None:
        raise UserError(f"--{role}-url is given without --{role}; name the model to ask there.")
    return None if model is None else Endpoint(model, url)


def require_positive(config: Any, *names: str) -> None:
    """Checks numbers given by flags.

    Raises:
        UserError: One is below 1.
    """
    for name in names:
        value = getattr(config, name)
        if value < 1:
            raise UserError(f"--{name.replace('_', '-')} is {value}; it must be 1 or more.")
