"""What is thought aloud before an answer; the tables of `docs/answers.md` have more."""

from hypothesis import given
from hypothesis import strategies as st

from saetask.data import without_reasoning

texts = st.text(st.sampled_from("AB 12.\n_"))
marks = st.sampled_from(["think", "thinking", "THINK"])


@given(texts, marks, texts)
def test_closed_thoughts_are_dropped_even_if_the_prompt_opened_them(thought, mark, answer):
    closed = f"{thought}</{mark}>{answer}"
    assert without_reasoning(closed).strip() == answer.strip()
    assert without_reasoning(f"<{mark}>{closed}").strip() == answer.strip()


@given(texts, texts, texts)
def test_an_answer_around_a_thought_stays(before, thought, after):
    assert without_reasoning(f"{before}<think>{thought}</think>{after}") == f"{before} {after}"


@given(texts)
def test_a_text_without_a_closed_thought_stays_as_it_is(text):
    assert without_reasoning(text) == text
    assert without_reasoning(f"<think>{text}") == f"<think>{text}"
