"""Options of chat templates, the date that they are told, and thoughts that they open."""

import copy
import datetime
import json

import pytest

from saetask.data.chat_template import (
    TemplateSettings,
    apply_template,
    parse_options,
    set_template,
)
from saetask.data.prompts import Prompt, as_prompt
from saetask.data.rendering import chat_tokens, render, render_answers
from saetask.errors import UserError

BODY = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant: "
QWEN = (
    BODY
    + "{% if enable_thinking is defined and enable_thinking is false %}<think></think>{% endif %}"
)
DEEPSEEK = BODY + "<think>\n"
DATED = "Today: {{ strftime_now('%d %B %Y %H:%M') }}. " + BODY
LLAMA = (
    "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
    "Today Date: {{ date_string }}\n"
) + BODY
DAY = datetime.date(2025, 3, 1)


@pytest.fixture
def with_template(tiny_tokenizer):
    def make(template, **options):
        tokenizer = copy.deepcopy(tiny_tokenizer)
        tokenizer.chat_template = template
        if options:
            set_template(tokenizer, TemplateSettings(**options))
        return tokenizer

    return make


def test_a_model_that_can_think_is_told_not_to_unless_an_option_says_so(with_template):
    assert render(with_template(QWEN), as_prompt("Hi")).text.endswith("<think></think>")
    thinking = with_template(QWEN, options={"enable_thinking": True})
    assert render(thinking, as_prompt("Hi")).text.endswith("assistant: ")


def test_an_unknown_option_is_refused_in_one_line(with_template, tiny_tokenizer):
    with pytest.raises(UserError, match=r"no variable 'enable_thinkin'.*enable_thinking"):
        with_template(QWEN, options={"enable_thinkin": True})
    with pytest.raises(UserError, match="no chat template"):
        with_template(None, options={"enable_thinking": True})


@pytest.mark.parametrize(
    ("template", "told"), [(DATED, "01 March 2025 00:00"), (LLAMA, "01 Mar 2025")]
)
def test_the_date_is_the_one_that_was_set(with_template, template, told):
    assert told in render(with_template(template, date=DAY), as_prompt("Hi")).text
    assert told not in render(with_template(template), as_prompt("Hi")).text


@pytest.mark.parametrize(
    "template",
    [
        "{{ strftime_now(fmt) }}|",
        "{% set clock = strftime_now %}{{ clock(fmt) }}|",
        "{% macro head() %}{{ strftime_now(format=fmt) }}|{% endmacro %}{{ head() }}",
        "{% for m in messages %}{{ strftime_now(fmt) }}|{% endfor %}",
        "{{ strftime_now(fmt[:0] ~ fmt) }}|",
    ],
)
@pytest.mark.parametrize(
    "form",
    ["%d %b %Y", "%A, %-d.%m.%y at %H:%M:%S %p", "100%% %Y-%m", "%", "x%-", "%n\u00fc%j", ""],
)
def test_the_date_is_told_in_any_format_wherever_the_template_asks(with_template, template, form):
    tokenizer = with_template("{% set fmt = " + json.dumps(form) + " %}" + template, date=DAY)
    told = datetime.datetime(2025, 3, 1).strftime(form) if form not in ("%", "x%-") else form
    assert apply_template(tokenizer, as_prompt("Hi").messages) == told + "|"


@pytest.mark.parametrize("start", ["", "\n", "\n\n  ", "  {% if true %}a{% endif %}", " b"])
def test_a_date_changes_nothing_else_of_a_template(with_template, start):
    plain, dated = (
        with_template(f"{start}{{# strftime_now #}}{BODY}", **options)
        for options in ({}, {"date": DAY})
    )
    messages = as_prompt("Hi").messages
    assert apply_template(plain, messages) == apply_template(dated, messages)


def test_a_date_may_be_an_option_of_the_template(with_template):
    tokenizer = with_template(LLAMA, options={"date_string": "26 Jul 2024"}, date=DAY)
    assert "Today Date: 26 Jul 2024" in render(tokenizer, as_prompt("Hi")).text


def test_what_answers_depend_on_is_told_by_the_settings_key(with_template):
    settings = TemplateSettings(date=DAY)
    assert settings.key(with_template(BODY)) == []
    assert settings.key(with_template(DATED)) == [{}, "2025-03-01"]
    assert TemplateSettings({"a": 1}).key(with_template(BODY)) == [{"a": 1}]


def test_chats_of_corpora_are_the_same_every_day(with_template):
    tokenizer = with_template(DATED)
    token_ids = chat_tokens(tokenizer, [{"role": "user", "content": "Hi"}])
    assert "26 July 2024" in tokenizer.decode(token_ids)


@pytest.mark.parametrize(
    ("end", "warned"),
    [
        ("<think>\n", True),
        ("<think>\n\n</think>\n\n", False),
        ("[THINK]", True),
        ("<|START_THINKING|>", True),
        ("<|START_THINKING|><|END_THINKING|>", False),
        ("◁think▷", True),
        ("<seed:think>", True),
        ("<thought>", True),
        ("<unused94>thought\n", True),
        ("<unused94>thought\nNo.<unused95>", False),
        ("<|channel|>analysis<|message|>", True),
        ("<|channel|>analysis<|message|>No.<|end|><|start|>assistant", False),
        ("<|channel|>analysis<|message|><|channel|>final<|message|>", False),
        ("<|channel>thought\n", True),
        ("<|channel>thought\n<channel|>", False),
        ("", False),
    ],
)
def test_answers_inside_a_thought_are_warned_of_once(with_template, capsys, end, warned):
    tokenizer = with_template(BODY + "{{ '" + end.replace("\n", "\\n") + "' }}")
    for number in range(2):
        render_answers(tokenizer, Prompt([{"role": "user", "content": f"Hi {number}"}]), [" a"])
    assert capsys.readouterr().err.count("opens a thought") == int(warned)


def test_a_thought_that_a_user_mentions_opens_none(with_template, capsys):
    render_answers(with_template(BODY), as_prompt("What is <think>?"), [" a"])
    assert "thought" not in capsys.readouterr().err


def test_options_are_read_as_json_reads_them():
    texts = {"a": "false", "b": "True", "c": "3", "d": "high", "e": "26 Jul 2024", "f": False}
    assert parse_options(texts) == {
        "a": False,
        "b": True,
        "c": 3,
        "d": "high",
        "e": "26 Jul 2024",
        "f": False,
    }


def test_a_refused_role_is_named(with_template):
    tokenizer = with_template("{{ raise_exception('no system role') }}")
    with pytest.raises(UserError, match="refuses messages of system: no system role"):
        apply_template(tokenizer, [{"role": "system", "content": "x"}])
