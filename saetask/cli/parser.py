"""Command parser: flags from the fields of config dataclasses, and errors of one line."""

import argparse
import dataclasses
import re
import shlex
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from itertools import takewhile
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, NoReturn, TypeVar, get_args, get_origin, get_type_hints

from saetask.errors import UserError, did_you_mean

Config = TypeVar("Config")

METAVARS: Mapping[type, str] = {int: "N", float: "X", Path: "PATH", bool: "{true,false}"}
FLAG = re.compile(r"--?[^\W\d][\w-]*")
"""Form of a flag's name; a number and a text with blanks have another."""
WIDTH = 140
"""Columns of a help page that is not printed to a terminal."""
LONGEST_CHOICES = 20
"""Maximum length of the choices of a flag, in characters, that its help shows in braces."""
LONGEST_DEFAULT = 40
"""A longer default, in characters, is left out of the help."""


class CommandParser(argparse.ArgumentParser):
    """Parser of one command.

    Flags that are not given are absent from the parsed namespace, so that they can be
    distinguished from flags given with their default value.
    """

    overview: str | None = None
    """Replaces the help page, for a parser that only has subcommands."""

    def __init__(self, **options: Any) -> None:
        width = None if sys.stdout.isatty() else WIDTH
        formatter = partial(argparse.HelpFormatter, max_help_position=34, width=width)
        options = {"formatter_class": formatter, "allow_abbrev": False, **options}
        super().__init__(argument_default=argparse.SUPPRESS, add_help=False, **options)
        self.add_argument("-h", "--help", action="help", help="Show this page.")

    def add_fields(
        self,
        config: type,
        positional: Collection[str] = (),
        skip: Collection[str] = (),
        flags: Mapping[str, str] = {},
        repeated: Mapping[str, str] = {},
    ) -> None:
        """Adds an argument for each field of a dataclass, explained by the field's docstring.

        Args:
            config: The dataclass. A field without a default is required.
            positional: Fields that are given by position.
            skip: Fields that have no argument.
            flags: Flags that are not named after their field, by field.
            repeated: Fields that are lists of texts with commas, and what the help calls a text;
                their flag takes one and may be repeated.
        """
        hints, explanations = get_type_hints(config), field_docstrings(config)
        for field in dataclasses.fields(config):
            if field.name in skip:
                continue
            default = _default(field)
            options: dict[str, Any] = _value_options(hints[field.name], default, field.name)
            if field.name in repeated:
                options = {"action": "append", "metavar": repeated[field.name]}
            options["help"] = _help(explanations[field.name], default)
            required = default is dataclasses.MISSING
            if field.name in positional:
                options["metavar"] = field.name.upper()
                self.add_argument(field.name, nargs=None if required else "?", **options)
            else:
                flag = flags.get(field.name, f"--{field.name}").replace("_", "-")
                action = self.add_argument(flag, dest=field.name, required=required, **options)
                # The spelling of YAML keys is accepted as well, and not shown.
                self._option_string_actions[f"--{flag[2:].replace('-', '_')}"] = action

    def shorten_usage(self) -> None:
        """Reduces the usage line to what must be given."""
        words = [self.prog]
        for action in self._actions:
            name = str(action.metavar or action.dest)
            if not action.option_strings:
                words.append(f"[{name}]" if action.nargs == "?" else name)
            elif action.required:
                words.append(f"{action.option_strings[0]} {name}")
        self.usage = " ".join([*words, "[FLAGS]"])

    def format_help(self) -> str:
        """Returns the help page."""
        return super().format_help() if self.overview is None else f"{self.overview}\n"

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parses arguments; unlike the base class, refuses unknown ones.

        Raises:
            UserError: An argument is unknown or malformed.
        """
        words = sys.argv[1:] if args is None else list(args)
        try:
            parsed, unknown = super().parse_known_args(words, namespace)
        except UserError:  # an unknown flag among the words explains what argparse finds missing
            if self._subparsers is None and (flag := self._unknown_flag(words)):
                self._refuse(flag, [a for a in self._actions if not a.option_strings])
            raise
        unknown = self._fill_positional(parsed, unknown)
        if unknown:
            absent = [a for a in self._actions if not a.option_strings and a.dest not in parsed]
            self._refuse(unknown[0], [] if self._subparsers else absent)
        return parsed, unknown

    def _unknown_flag(self, words: list[str]) -> str | None:
        """Returns the first word that has the form of a flag and is none."""
        for word in takewhile(lambda word: word != "--", words):
            name = word.partition("=")[0]
            if FLAG.fullmatch(name) and name not in self._option_string_actions:
                return word
        return None

    def _refuse(self, word: str, absent: list[argparse.Action]) -> NoReturn:
        """Raises the error on a word that is not known.

        Args:
            word: The word.
            absent: What is given by position and may have been meant.
        """
        if not word.startswith("-"):
            self.error(f"unrecognized argument '{word}'.")
        known = [name for action in self._actions for name in action.option_strings]
        hint = did_you_mean(word.partition("=")[0], known)
        if absent:
            command = f"'{self.prog} -- {shlex.quote(word)}'"
            hint += f" If it is the {absent[0].metavar}, put -- before it: {command}."
        self.error(f"unrecognized argument '{word}'.{hint}")

    def _fill_positional(self, parsed: argparse.Namespace, unknown: list[str]) -> list[str]:
        """Gives a left-over word to an optional positional; returns the words that are left.

        Before Python 3.12.7, argparse takes an optional positional for absent once a flag stands
        before it.
        """
        words = unknown[1:] if unknown[:1] == ["--"] else unknown
        for action in self._actions:
            absent = action.nargs == "?" and not action.option_strings and action.dest not in parsed
            if absent and len(words) == 1 and (words != unknown or not words[0].startswith("-")):
                setattr(parsed, action.dest, words[0])
                return []
        return unknown

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Suggests a similar choice for an unknown one (argparse does from Python 3.14 on)."""
        if action.choices is None or value in action.choices:
            return
        hint = did_you_mean(str(value), map(str, action.choices))
        if isinstance(action, argparse._SubParsersAction):
            name = f"{self.prog} {value}".removeprefix("saetask ")
            raise UserError(f"Unknown command '{name}'.{hint}")
        raise argparse.ArgumentError(action, f"unknown value '{value}'.{hint}")

    def error(self, message: str) -> NoReturn:
        """Raises a `UserError` in place of exiting."""
        name = self.prog.removeprefix("saetask").strip()
        line = " ".join(message.split())
        raise UserError(f"{name + ': ' * bool(name)}{line} ({self.prog} --help)")


def given(arguments: argparse.Namespace, config: type) -> dict[str, Any]:
    """Returns the fields of a dataclass that were given on the command line."""
    names = [field.name for field in dataclasses.fields(config)]
    return {name: getattr(arguments, name) for name in names if name in arguments}


def take(arguments: argparse.Namespace, config: type[Config]) -> Config:
    """Returns a config with the fields that were given on the command line."""
    return config(**given(arguments, config))


def field_docstrings(config: type) -> dict[str, str]:
    """Returns the docstring below each field of a dataclass, on one line."""
    from docstring_parser import parse_from_object

    parameters = parse_from_object(config).params
    return {p.arg_name: " ".join((p.description or "").split()) for p in parameters}


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _help(explanation: str, default: Any) -> str:
    """Returns the explanation, with the default where it is informative."""
    shown = _shown_default(default)
    if shown and len(shown) <= LONGEST_DEFAULT:
        explanation = f"{explanation.removesuffix('.')} (default: {shown})."
    return explanation.replace("%", "%%")


def _shown_default(default: Any) -> str:
    if isinstance(default, bool):
        return "true" if default else ""
    if isinstance(default, (list, tuple)):
        return ",".join(map(str, default))
    return str(default) if isinstance(default, (str, int, float, Path)) else ""


def _value_options(hint: Any, default: Any, name: str) -> dict[str, Any]:
    """Returns the options of `add_argument` that read a value of a type."""
    if isinstance(hint, UnionType):
        (hint,) = (part for part in get_args(hint) if part is not NoneType)
    origin = get_origin(hint)
    if origin is Literal:
        choices = get_args(hint)
        if len(",".join(choices)) <= LONGEST_CHOICES:
            return {"choices": choices}
        return {"choices": choices, "metavar": name.upper()}  # its explanation lists them
    if origin in (list, tuple):
        item = get_args(hint)[0]
        values = f"{METAVARS.get(item, 'NAME')},..."
        return {"type": _comma_separated(item, origin), "metavar": values}
    if origin is dict:
        return {"action": _AddOption, "metavar": "NAME=VALUE"}
    if hint is bool and default is False:
        return {"action": "store_true"}
    metavar = METAVARS.get(hint, name.rpartition("_")[2].upper())
    return {"type": READERS.get(hint, hint), "metavar": metavar}


def _comma_separated(
    item: type, collection: Callable[[Iterable[Any]], Any]
) -> Callable[[str], Any]:
    """Returns a function that reads values between commas, each once."""

    def read(text: str) -> Any:
        values = (READERS.get(item, item)(part.strip()) for part in text.split(","))
        return collection(dict.fromkeys(values))

    return read


def _read_whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is no whole number") from None


def _read_number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is no number") from None


def _read_bool(text: str) -> bool:
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"'{text}' must be true or false")
    return text == "true"


READERS: Mapping[type, Callable[[str], Any]] = {
    int: _read_whole_number,
    float: _read_number,
    bool: _read_bool,
}
"""How values of types are read whose own constructor does not do."""


class _AddOption(argparse.Action):
    """Adds `NAME=VALUE` to a dict; may be repeated."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        name, equals, value = values.partition("=")
        if not equals or not name:
            raise argparse.ArgumentError(self, f"'{values}' must be NAME=VALUE")
        options = {**getattr(namespace, self.dest, {}), name: value}
        setattr(namespace, self.dest, options)
