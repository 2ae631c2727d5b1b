"""Letters and options in answers: the tables of `docs/answers.md`, and all letters in all forms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saetask.data import Item
from saetask_plugins.tasks.letters import LETTERS, stated_letter
from saetask_plugins.tasks.metaphor import Metaphor
from saetask_plugins.tasks.options import option_score
from saetask_plugins.tasks.word_sense import Gold, WordSense
from tests.helpers.answer_tables import rows

CHOICES = ["a stone", "a cork", "an anvil"]
TASKS = {task.name: task for task in (Metaphor(), WordSense())}
EIGHT = [f"choice number {i}" for i in range(8)]


@pytest.mark.parametrize(("answer", "letter"), rows("answer", "choice"))
def test_the_page_tells_which_choice_an_answer_states(answer, letter):
    assert stated_letter(answer, CHOICES) == (letter or None)


@pytest.mark.parametrize(("answer", "options", "stated"), rows("answer", "options", "option"))
def test_the_page_tells_which_option_an_answer_states(answer, options, stated):
    texts = options.split(" / ")
    score = option_score(answer, dict(enumerate(texts)), texts.index(stated) if stated else 0)
    assert (score.parsed, score.correct) == (stated or None, bool(stated))


@pytest.mark.parametrize(("answer", "task", "label"), rows("answer", "task", "read as"))
def test_the_page_tells_which_of_two_opposites_an_answer_states(answer, task, label):
    gold = Gold(label, None) if task == "word-sense" else label or "literal"
    score = TASKS[task].score(Item("x", "g", {}, gold), answer)
    assert (score.parsed, score.correct) == (label or None, bool(label))


letters = st.sampled_from(LETTERS)
forms = st.sampled_from(
    ["{}", " {}", "({})", "**{}**", "{}.", "{})", "{}:", '"{}"', "`{}`", r"\boxed{{{}}}", "[{}]"]
)
cues = st.sampled_from(
    ["", "Answer: ", "The answer is ", "I think it's ", "It must be option ", "I'd go with "]
)
reasons = st.sampled_from(
    ["", " because {} is false", " as stated", " is right", ", not {}", "\n\nNext.\nAnswer: {}"]
)


@given(cues, forms, letters, reasons, letters)
def test_a_letter_in_any_form_wins_over_those_behind_it(cue, form, letter, reason, other):
    assert stated_letter(cue + form.format(letter) + reason.format(other), EIGHT) == letter


@given(
    st.sampled_from(["Answer: ", "The answer is ", ""]),
    st.sampled_from(["({})", "{})", "{}."]),
    letters,
)
def test_a_closed_letter_counts_in_lower_case(cue, form, letter):
    assert stated_letter(cue + form.format(letter.lower()), EIGHT) == letter


@given(st.text(st.characters(codec="ascii")), st.integers(2, 8))
def test_whatever_is_said_the_letter_is_one_of_the_choices(output, n):
    assert stated_letter(output, EIGHT[:n]) in (None, *LETTERS[:n])


def test_a_long_text_of_denied_letters_is_read_at_once():
    for text in ("not A or " * 5_000, "neither A, " * 4_000, "not " + "A or " * 9_000):
        assert stated_letter(text, EIGHT) in (None, "A")


@given(st.text(st.sampled_from("xyz ,.!?\n")))
def test_a_text_without_letters_of_choices_states_none(output):
    assert stated_letter(output, EIGHT) is None


words = st.text(st.sampled_from("abcdefgh"), min_size=1, max_size=5)


@given(words, words, st.booleans())
def test_an_option_inside_another_word_is_not_stated(option, rest, before):
    output = rest + option if before else option + rest
    assert option_score(output, {0: option, 1: "zzz"}, 0).parsed is None
    assert option_score(f"it is {option}!", {0: option, 1: "zzz"}, 0).correct
