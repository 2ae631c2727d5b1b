"""A word in two sentences: its places, its answers, and what a user's text must hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saetask.data import Item, Span
from saetask_plugins.tasks.word_sense import Gold, WordSense
from tests.helpers.refusals import refusal

TASK = WordSense()
ROW = {
    "id": "w1",
    "word": "carry",
    "sentence1": "Sound carries well .",
    "sentence2": "Carry that bag ! ",
    "start1": 6,
    "start2": 0,
    "target1": "carries",
    "target2": "Carry",
    "label": "different",
}
sentences = st.text(st.sampled_from("ab é😀.,\"'"), max_size=20)


def test_target_is_the_word_in_the_second_sentence_and_other_the_one_in_the_first(items_file):
    prompt = TASK.prompt(TASK.items(items_file(ROW))[0])
    shown = {name: prompt.content[s.start : s.end] for name, s in prompt.spans.items()}
    text = "Sound carries well .\nCarry that bag !"
    assert shown == {"text": text, "target": "Carry", "other": "carries"}


@given(sentences, sentences, sentences, sentences)
def test_the_spans_find_the_word_whatever_stands_around_it(a, b, c, d):
    question = {
        "word": "run",
        "sentence1": f"{a}ran{b}",
        "sentence2": f"{c}runs{d}",
        "span1": Span(len(a), len(a) + 3),
        "span2": Span(len(c), len(c) + 4),
    }
    prompt = TASK.prompt(Item("x", "g", question))
    shown = {name: prompt.content[s.start : s.end] for name, s in prompt.spans.items()}
    assert (shown["other"], shown["target"]) == ("ran", "runs")
    assert shown["text"] == f"{a}ran{b}\n{c}runs{d}".rstrip()


@pytest.mark.parametrize(
    ("field", "value"), [("start1", 5), ("start2", -17), ("start2", 99), ("target2", "carry")]
)
def test_a_word_that_does_not_stand_where_the_row_says_is_refused(items_file, field, value):
    path = items_file({**ROW, field: value})
    place = field.replace("target", "start")
    assert refusal(TASK.items, path).startswith(f"{path}:1: field '{place}': ")


@pytest.mark.parametrize("label", ["Same", 1, False, ["same"]])
def test_a_label_outside_the_two_is_refused(items_file, label):
    path = items_file({**ROW, "label": label})
    assert refusal(TASK.items, path).startswith(
        f"{path}:1: field 'label': expected 'same' or 'different'"
    )


def test_inflections_form_one_group(items_file):
    first, second = TASK.items(items_file(ROW, {**ROW, "id": 2, "word": "carried"}))
    assert first.group == second.group


@pytest.mark.parametrize(
    ("output", "parsed"),
    [
        (" the same", "same"),
        (" different", "different"),
        ("Not the same.", "different"),
        ("not different", "same"),
        ("different, not the same", "different"),
        ("close", None),
    ],
)
def test_the_first_of_the_two_words_counts_and_a_not_turns_it_round(output, parsed):
    score = TASK.score(Item("x", "g", {}, Gold("different", None)), output)
    assert (score.parsed, score.correct) == (parsed, parsed == "different")


def test_inflections_of_the_word_are_found_in_a_users_two_lines():
    text = "Sound carries well.\nShe carried a bag."
    prompt = TASK.prompt(TASK.question_from_text(text, "carry"))
    shown = {name: prompt.content[s.start : s.end] for name, s in prompt.spans.items()}
    assert shown == {"text": text, "other": "carries", "target": "carried"}


@pytest.mark.parametrize(
    ("text", "target", "reason"),
    [
        ("One sentence.", "one", "two sentences"),
        ("One.\n ", "one", "two sentences"),
        ("One.\nTwo.\nThree.", "one", "two sentences"),
        ("A bank.\nThe banks.", None, "--target WORD"),
        ("A bank.\nThe river.", "bank", "'bank' does not occur in the sentence 'The river.'"),
    ],
)
def test_a_users_text_needs_two_sentences_with_the_word(text, target, reason):
    assert reason in refusal(TASK.question_from_text, text, target)
