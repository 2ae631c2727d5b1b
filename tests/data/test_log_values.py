"""Values in logs: scores and prompts are read however they are written, or refused in one line."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saetask.data import Prompt, as_logged_prompt, as_score
from tests.helpers.refusals import refusal

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
TEXT = st.text(min_size=1).filter(str.strip)


@pytest.mark.parametrize(
    ("value", "score"),
    [
        *((True, 1), (False, 0), (0.25, 0.25), ("1", 1), (" 0.5 ", 0.5), ("True", 1), ("no", 0)),
        *(("C", 1), ("I", 0), ("P", 0.5), ("N", 0), ("incorrect", 0), (None, None), (" ", None)),
    ],
)
def test_a_score_is_read_however_it_is_written(value, score):
    assert as_score(value, "here") == score


@pytest.mark.parametrize("value", [37.5, -0.1, "90", math.nan, math.inf, "inf", 10**400])
def test_a_score_outside_of_0_to_1_is_refused_and_not_scaled(value):
    message = refusal(as_score, value, "log.jsonl:3")
    assert message.startswith("log.jsonl:3: ") and "from 0 (wrong) to 1 (right)" in message


@given(ANYTHING)
def test_any_value_is_a_score_or_refused_in_one_line(value):
    try:
        score = as_score(value, "here")
    except Exception:
        assert refusal(as_score, value, "here").startswith("here: ")
    else:
        assert score is None or 0 <= score <= 1


@given(ANYTHING, st.booleans())
def test_any_value_is_a_prompt_or_refused_in_one_line(value, as_chat):
    try:
        prompt = as_logged_prompt(value, "here", as_chat)
    except Exception:
        assert refusal(as_logged_prompt, value, "here", as_chat).startswith("here")
    else:
        assert isinstance(prompt, Prompt if as_chat else Prompt | str)


@given(st.lists(TEXT, min_size=1, max_size=4), st.booleans(), st.booleans())
def test_a_chat_is_the_same_as_messages_and_as_their_json(texts, with_system, with_prefix):
    """Roles take turns; an assistant's message at the end is the beginning of the answer."""
    roles = ["user", "assistant"] * len(texts)
    texts = texts if len(texts) % 2 else texts[:-1]
    messages = [{"role": role, "content": text} for role, text in zip(roles, texts)]
    if with_system:
        messages.insert(0, {"role": "system", "content": "Be brief."})
    given_messages = messages + [{"role": "assistant", "content": "It is"}] * with_prefix
    prompt = as_logged_prompt(given_messages, "here")
    assert prompt == as_logged_prompt(json.dumps(given_messages), "here")
    assert isinstance(prompt, Prompt)
    assert (list(prompt.messages), prompt.answer_prefix) == (messages, "It is" * with_prefix)
    start, end = prompt.spans["text"]
    assert prompt.content[start:end] == prompt.content


@pytest.mark.parametrize("text", ["[{ this is no JSON", '[{"a": 1}]', "[1]", " [{}] x"])
def test_a_text_that_only_looks_like_a_chat_stays_a_text(text):
    assert as_logged_prompt(text, "here") == text


@pytest.mark.parametrize(
    "messages",
    [
        [],
        7,
        [{"role": "system", "content": "x"}],
        [{"role": "user", "content": None}],
        [{"role": "assistant", "content": "x"}],
        [{"role": "user"}],
    ],
)
def test_a_chat_without_a_question_is_refused(messages):
    assert refusal(as_logged_prompt, messages, "log.jsonl:3").startswith("log.jsonl:3")
