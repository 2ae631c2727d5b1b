"""Options of plugins: declared as a dataclass, validated and converted by type in one place."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Protocol, TypeVar, runtime_checkable

from pydantic import ConfigDict, TypeAdapter, ValidationError

from saetask.errors import UserError, did_you_mean


@runtime_checkable
class Configurable(Protocol):
    """What a plugin with options has besides its `name`.

    An option is a field of `options_type`: its type says what is accepted, its docstring is its
    help. A field without a default must be given.
    """

    options_type: type
    """A frozen dataclass."""

    def configure(self, options: Any) -> Any:
        """Returns the plugin with its options, an instance of `options_type`, set."""
        ...


PluginType = TypeVar("PluginType")


def option_names(plugin: object) -> list[str]:
    """Returns the names of a plugin's options; none for a plugin without options."""
    return [field.name for field in fields(_options_type(plugin))] if _has_options(plugin) else []


def option_help(plugin: object) -> dict[str, str]:
    """Returns the help of each option of a plugin: the field's docstring."""
    if not _has_options(plugin):
        return {}
    properties = _adapter(_options_type(plugin)).json_schema()["properties"]
    return {name: properties[name].get("description", "") for name in option_names(plugin)}


def with_options(kind: str, plugin: PluginType, values: Mapping[str, Any]) -> PluginType:
    """Returns a plugin with its options set; one that has none comes back as it is.

    Args:
        kind: The plugin's kind, for messages.
        plugin: The plugin.
        values: The options' values; texts are converted to the fields' types.

    Raises:
        UserError: The plugin has no such option, needs one that is not given, or a value does not
            fit.
    """
    known, who = option_names(plugin), f"{kind.capitalize()} '{getattr(plugin, 'name', '')}'"
    for name, value in values.items():
        if not known:
            raise UserError(f"{who} has no options, so none called '{name}' (given as {value!r}).")
        if name not in known:
            hint = did_you_mean(name, known)
            raise UserError(f"{who} has no option '{name}' (given as {value!r}).{hint}")
    if not known:
        return plugin
    try:
        options = _adapter(_options_type(plugin)).validate_python(dict(values))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        name = str(problem["loc"][0]) if problem["loc"] else ""
        meaning = option_help(plugin).get(name, "").rstrip(".")
        if problem["type"] == "missing":
            raise UserError(
                f"{who} needs the option '{name}' ({meaning}): add --{kind}-option {name}=VALUE."
            ) from error
        reason = problem["msg"].replace("Input should be", "it must be")
        raise UserError(
            f"{who}, option '{name}' ({meaning}) is {values.get(name)!r}: {reason}."
        ) from error
    return plugin.configure(options)  # pyright: ignore[reportAttributeAccessIssue]


def check_options(plugin: object) -> str:
    """Returns what is wrong with how a plugin declares its options; "" where all is well."""
    if not hasattr(plugin, "options_type"):
        return ""
    if not _has_options(plugin):
        return "its options_type is no dataclass"
    return "" if isinstance(plugin, Configurable) else "it has options but no method configure"


def _has_options(plugin: object) -> bool:
    options_type = getattr(plugin, "options_type", None)
    return isinstance(options_type, type) and is_dataclass(options_type)


def _options_type(plugin: object) -> Any:
    return getattr(plugin, "options_type", None)


@cache
def _adapter(options_type: type) -> TypeAdapter:
    if "__pydantic_config__" not in vars(options_type):  # where pydantic looks for it
        config = ConfigDict(use_attribute_docstrings=True, allow_inf_nan=False)
        options_type.__pydantic_config__ = config  # pyright: ignore[reportAttributeAccessIssue]
    return TypeAdapter(options_type)
