"""How long answers may be: what is asked for counts most, and a task's own room fits the model."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saetask.data import WritesAnswers, number_text, stated_number
from saetask.experiments.answer_length import answer_end, answer_tokens
from saetask.experiments.config import RunConfig
from saetask.experiments.context import DEFAULT_SETTINGS
from saetask.experiments.run_inputs import resolve_inputs
from saetask.models.answer_end import until_end
from saetask.models.loading import context_size
from saetask.plugins import PluginRegistry
from saetask_plugins.tasks.gsm8k import GSM8K
from saetask_plugins.tasks.metaphor import Metaphor
from saetask_plugins.tasks.word_problems import WordProblems
from tests.helpers.refusals import refusal

MATHS = [GSM8K(), WordProblems()]


@pytest.mark.parametrize("task", MATHS, ids=lambda task: task.name)
def test_maths_has_room_for_steps_within_half_of_the_context(task, tiny_model, monkeypatch):
    assert isinstance(task, WritesAnswers)
    room = context_size(tiny_model)
    assert answer_tokens(task, None, DEFAULT_SETTINGS, tiny_model) == min(320, room // 2)
    assert answer_tokens(task, 7, DEFAULT_SETTINGS, tiny_model) == 7
    few = replace(DEFAULT_SETTINGS, answer_tokens=3)
    assert answer_tokens(task, None, few, tiny_model) == 3
    assert answer_tokens(task, 7, few, tiny_model) == 7


def test_other_tasks_have_the_length_of_the_settings_and_no_end(tiny_model):
    assert answer_tokens(Metaphor(), None, DEFAULT_SETTINGS, tiny_model) == 64
    assert answer_end(Metaphor()) == ""


def test_no_room_is_refused_and_runs_without_the_option_stay_what_they_are():
    assert "--answer-tokens is 0" in refusal(RunConfig("gsm8k", answer_tokens=0).check)
    plugins = PluginRegistry()
    plain, same, other = (
        resolve_inputs("metaphor", options, plugins).identity()
        for options in ({}, {"answer_tokens": None}, {"answer_tokens": 9})
    )
    assert plain == same != other


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("48/2 = 24\n48+24 = 72\n#### 72\nProblem 2:", "48/2 = 24\n48+24 = 72\n#### 72"),
        ("It is \\boxed{72}.\nSo", "It is \\boxed{72}."),
        ("**Answer:** 72 clips\nNext", "**Answer:** 72 clips"),
        ("The answer is $72.\n\nNow", "The answer is $72."),
        ("48/2 = 24\nand more", None),
        ("#### 72", None),  # it may go on: 725
        ("####\n72\n", None),
    ],
)
def test_a_solution_in_steps_ends_with_the_line_that_states_the_answer(text, kept):
    assert until_end(text, GSM8K.answer_end) == (text if kept is None else kept)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (" 45 - 25 = 20\n\nExplanation: 3", " 45 - 25 = 20"),
        (" 45 - 25 = 20 dollars.\nSo", " 45 - 25 = 20 dollars."),
        (" 2.5 * 4 = $10\nSo", " 2.5 * 4 = $10"),
        (" x = 45 - 25\nx = 20\nSo", " x = 45 - 25\nx = 20"),
        (" 45 - 25 = x\n", None),
        (
            " Given:\nnails = 45\nper plank = 5\n45 / 5 = 9\nSo",
            " Given:\nnails = 45\nper plank = 5\n45 / 5 = 9",
        ),
        (" Given:\nnails = 45\nper plank = 5\n", None),
        (" 45 - 25 = 20", None),
    ],
)
def test_an_equation_ends_with_its_result(text, kept):
    assert until_end(text, WordProblems.answer_end) == (text if kept is None else kept)


numbers = st.integers(-(10**6), 10**6) | st.decimals(0, 10**4, places=2)
marks = st.sampled_from(["#### {}", "#### ${}", "\\boxed{{{}}}", "The answer is {}.", "Answer: {}"])
words = st.lists(st.text(st.characters(categories=["L", "Zs"]), min_size=1), max_size=3)


@given(numbers, marks, st.lists(numbers, max_size=4), words)
def test_what_is_written_after_the_answer_does_not_change_it(number, mark, steps, more):
    """Whatever the steps before it and the words and numbers behind it."""
    solution = "\n".join([*(f"{step} + 1 = {step + 1}" for step in steps), mark.format(number)])
    rambling = "\n".join([solution, *more, *map(str, steps), "#### 1"])
    ended = until_end(rambling, GSM8K.answer_end)
    assert ended == solution
    assert stated_number(ended) == float(number)


@given(numbers, numbers, st.sampled_from("+-*/"), words)
def test_an_equation_is_judged_by_its_own_result(a, b, sign, more):
    equation = f" {a} {sign} {number_text(abs(float(b)))} = {number_text(float(a))}"
    text = "\n".join([equation, *more, "then 1 + 1 = 2"])
    ended = until_end(text, WordProblems.answer_end)
    assert ended == equation and stated_number(ended) == float(a)
    assert not re.search(r"then", ended)
