"""Chat templates: their options, the date that they are told, and thoughts that they open."""

import datetime
import json
import re
import string
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

from saetask.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CLOCK = "strftime_now"
"""The function by which a template of transformers asks for the time."""
FLAGS = "-_0^#"
"""What may stand between `%` and the letter of a time format: `%-d` has no leading zero."""
CLOCK_MACRO = (
    "{%%- macro " + CLOCK + "(format) -%%}"
    "{%%- set told, begun, at = %(told)s, %(begun)s, namespace(code='') -%%}"
    "{%%- for letter in format -%%}"
    "{%%- set at.code = at.code ~ letter -%%}"
    "{%%- if at.code not in begun -%%}{{- told.get(at.code, at.code) -}}"
    "{%%- set at.code = '' -%%}{%%- endif -%%}"
    "{%%- endfor -%%}"
    "{{- at.code -}}{%%- endmacro %%}\n%(source)s"
)
"""Formats a date in a template: reads a format by letters, and replaces the codes in it."""
THINKING = "enable_thinking"
THOUGHT = re.compile(
    r"[<\[◁]\|?(?P<end>/|end_(?:of_)?)?(?:start_|begin_of_)?(?:\w+:)?"
    r"(?:think|thinking|thought|reasoning|reflection|scratchpad)\|?[>\]▷]"
    r"|<\|channel\|?>(?:analysis|thought)|<unused94>thought"
    r"|(?P<closed><\|channel\|>final|<channel\|>|<unused95>|<\|end\|>)",
    re.IGNORECASE,
)
"""A tag that opens or closes a thought: `<think>`, `[/THINK]`, `<|channel|>analysis`."""


@dataclass(frozen=True)
class TemplateSettings:
    """Variables of a chat template beside the messages."""

    options: Mapping[str, Any] = field(default_factory=dict)
    """By name, such as `{"enable_thinking": False}`."""
    date: datetime.date | None = None
    """The date that the template is told, at midnight; None tells it the time of the call."""

    def key(self, tokenizer: "PreTrainedTokenizerBase") -> list[Any]:
        """Returns what a prompt depends on of these, as JSON; empty where it is nothing."""
        dated = self.date is not None and CLOCK in template_source(tokenizer)
        told = [str(self.date)] if dated else []
        return [dict(self.options), *told] if self.options or told else []


_SETTINGS: "WeakKeyDictionary[PreTrainedTokenizerBase, TemplateSettings]" = WeakKeyDictionary()
_WARNED: "WeakSet[PreTrainedTokenizerBase]" = WeakSet()
AS_IT_IS = TemplateSettings()


def template_source(tokenizer: "PreTrainedTokenizerBase") -> str:
    """Returns the source of the chat template, "" without one; of several, the default one."""
    return tokenizer.get_chat_template() if tokenizer.chat_template else ""


def set_template(tokenizer: "PreTrainedTokenizerBase", settings: TemplateSettings) -> None:
    """Sets the variables of a tokenizer's chat template, for all prompts from now on.

    Raises:
        UserError: The template has no variable of that name.
    """
    check_options(tokenizer, settings.options)
    _SETTINGS[tokenizer] = settings


def template_settings(tokenizer: "PreTrainedTokenizerBase") -> TemplateSettings:
    """Returns the variables of a tokenizer's chat template that were set."""
    return _SETTINGS.get(tokenizer, AS_IT_IS)


def check_options(tokenizer: "PreTrainedTokenizerBase", options: Mapping[str, Any]) -> None:
    """Checks that a chat template has variables of these names.

    Raises:
        UserError: It has not, or there is no template.
    """
    source = template_source(tokenizer)
    words = set(re.findall(r"[A-Za-z_]\w*", " ".join(re.findall(r"{[{%](.*?)[}%]}", source, re.S))))
    for name in options:
        if not source:
            raise UserError(f"The model has no chat template, so no template option '{name}'.")
        if name not in words:
            hint = did_you_mean(name, sorted(words))
            raise UserError(f"The model's chat template has no variable '{name}'.{hint}")


def parse_options(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns options from their texts: `false`, `null` and numbers as JSON has them."""
    return {name: _parsed(value) for name, value in values.items()}


def _parsed(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value.lower() if value.lower() in ("true", "false") else value)
    except ValueError:
        return value


def apply_template(
    tokenizer: "PreTrainedTokenizerBase",
    messages: Sequence[Mapping[str, Any]],
    generation_prompt: bool = True,
    told_date: datetime.date | None = None,
) -> str:
    """Returns a chat as one text, by the tokenizer's chat template and its settings.

    A model that can think before it answers (`enable_thinking`) is told not to, unless the
    settings say otherwise: answers are ranked and read where the template ends.

    Args:
        tokenizer: A tokenizer with a chat template.
        messages: The chat.
        generation_prompt: End with the beginning of the assistant's turn.
        told_date: The date that the template is told where the settings have none.

    Raises:
        UserError: The template refuses the messages.
    """
    from jinja2 import TemplateError

    settings, source = template_settings(tokenizer), template_source(tokenizer)
    options = dict(settings.options)
    if THINKING in source:
        options.setdefault(THINKING, False)
    if day := settings.date or told_date:
        source = _dated(source, day)
    try:
        text = tokenizer.apply_chat_template(
            [dict(message) for message in messages],
            chat_template=source,
            tokenize=False,
            add_generation_prompt=generation_prompt,
            **options,
        )
    except TemplateError as error:
        roles = ", ".join(str(message.get("role")) for message in messages)
        raise UserError(f"The chat template refuses messages of {roles}: {error}") from error
    return str(text)


def _dated(source: str, day: datetime.date) -> str:
    """Returns a template that is told a date wherever it asks for the time, in any format.

    transformers hands no functions to a template, so a macro of the clock's name hides the clock.
    """
    if CLOCK not in source:
        return source
    midnight = datetime.datetime.combine(day, datetime.time())
    codes = [f"%{flag}{letter}" for flag in ("", *FLAGS) for letter in string.ascii_letters]
    told = {code: midnight.strftime(code) for code in codes} | {"%%": "%"}
    # The newline at its end is the one that a block swallows: the template begins as it did.
    return CLOCK_MACRO % {
        "told": json.dumps(told),
        "begun": json.dumps(["%", *(f"%{flag}" for flag in FLAGS)]),
        "source": source,
    }


def warn_of_thought(tokenizer: "PreTrainedTokenizerBase", end: str) -> None:
    """Warns, once for a tokenizer, if the end of a chat leaves a thought open.

    Args:
        tokenizer: The tokenizer.
        end: What the template writes after the last message's content.
    """
    tags = list(THOUGHT.finditer(end))
    opened = bool(tags) and not (tags[-1]["end"] or tags[-1]["closed"])
    if opened and tokenizer not in _WARNED:
        _WARNED.add(tokenizer)
        print(
            f"saetask: warning: the chat template opens a thought ({tags[-1][0]}) that answers "
            "would stand in; if it has an option against that, give it with --template-option.",
            file=sys.stderr,
        )
