"""Flags that commands share, and how their values are read and results printed."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from saetask.errors import UserError

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from saetask.compute.config import ComputeConfig
    from saetask.inference.endpoint import Endpoint
    from saetask.plugins import PluginRegistry

Config = TypeVar("Config")


def registry_of(arguments: "Namespace") -> "PluginRegistry":
    from saetask.plugins import PluginRegistry

    return PluginRegistry([Path(path) for path in arguments.plugin])


def print_json(document: Any) -> None:
    print(json.dumps(document, indent=2, ensure_ascii=False))


def declare_json(parser: "ArgumentParser") -> None:
    parser.add_argument("--json", action="store_true", help="Print one JSON document.")


def declare_allow_mismatch(parser: "ArgumentParser") -> None:
    parser.add_argument(
        "--allow_sae_mismatch",
        action="store_true",
        help="Go on with an SAE whose figures say that it does not fit the model.",
    )


def declare_model(parser: "ArgumentParser") -> None:
    from saetask.models.loading import DEFAULT_MODEL
    from saetask.saes.loading import DEFAULT_SAE

    parser.add_argument("--model", type=str, default=DEFAULT_MODEL, help="See saetask run.")
    parser.add_argument("--sae", type=str, default=DEFAULT_SAE, help="See saetask run.")


def declare_compute(parser: "ArgumentParser") -> None:
    from saetask.compute.config import ComputeConfig

    parser.add_class_arguments(ComputeConfig)


def compute_of(arguments: "Namespace") -> "ComputeConfig":
    from saetask.compute.config import ComputeConfig

    return ComputeConfig(arguments.engine, arguments.address)


def declare_endpoint(parser: "ArgumentParser", role: str, purpose: str) -> None:
    parser.add_argument(
        f"--{role}", type=str | None, default=None, help=f"A language model {purpose}."
    )
    parser.add_argument(
        f"--{role}_url",
        type=str | None,
        default=None,
        help="Its OpenAI-compatible address; else $OPENAI_BASE_URL, else OpenAI's own.",
    )


def endpoint_of(arguments: "Namespace", role: str) -> "Endpoint | None":
    """Returns the language model named for a role, None where none is.

    Raises:
        UserError: An address without a model.
    """
    from saetask.inference.endpoint import Endpoint

    model, url = getattr(arguments, role), getattr(arguments, f"{role}_url")
    if model is None and url is not None:
        raise UserError(f"--{role}-url is given without --{role}; name the model to ask there.")
    return None if model is None else Endpoint(model, url)


def declare_option(parser: "ArgumentParser", kind: str) -> None:
    parser.add_argument(
        f"--{kind}_option",
        action="append",
        type=str,
        default=[],
        help=f"NAME=VALUE, an option of the {kind}; may be repeated.",
    )


def options_of(arguments: "Namespace", kind: str) -> dict[str, str]:
    """Returns the options given for a plugin, by name.

    Raises:
        UserError: One is not of the form NAME=VALUE.
    """
    options = {}
    for given in getattr(arguments, f"{kind}_option"):
        name, equals, value = given.partition("=")
        if not equals or not name:
            raise UserError(f"--{kind}-option is '{given}'; it must be NAME=VALUE.")
        options[name] = value
    return options


def read_config(path: Path, kind: type[Config], what: str) -> Config:
    """Reads a YAML file as a config.

    Raises:
        UserError: The file is missing or does not fit.
    """
    from jsonargparse import ArgumentParser

    if not path.is_file():
        raise UserError(f"{what} {path} does not exist.")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind)
    try:
        parsed = parser.instantiate_classes(parser.parse_string(path.read_text(encoding="utf-8")))
    except Exception as error:
        raise UserError(f"{what} {path}: {' '.join(str(error).split())}") from error
    return kind(**vars(parsed))
