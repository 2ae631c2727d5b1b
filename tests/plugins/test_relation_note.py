"""Notes on relations: in the problem's own quantities, and never with the answer."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from saetask.data import Span, numbers_in, same_number
from saetask.data.samples import make_samples
from saetask.detection import Misunderstanding
from saetask.experiments.note_selection import gold_finding
from saetask_plugins.annotators.operation_note import OperationNote, beginning, result
from saetask_plugins.annotators.relation_note import (
    RELATIONS,
    RelationNote,
    quantities_of,
    what_matters,
)
from saetask_plugins.tasks.word_problems import WordProblems

LIBRARY = (
    "Ann paid 25 dollars to enter. She saw 50 birds, and 20 birds flew away. "
    "How many birds were left?"
)


def note(problem, reading, number=1):
    finding = Misunderstanding("any", Span(0, len(problem)), problem, reading, 0.9, [])
    return RelationNote().candidates(finding, {})[number * 3].text


@pytest.mark.parametrize(
    ("reading", "question", "said"),
    [
        ("addition", "How many figs are there?", "The parts are known, the total is asked."),
        ("subtraction", "How many are left?", "The total is known, a part of it is asked."),
        ("subtraction", "How many more figs than nuts?", "the difference between them is asked."),
        ("subtraction", "By how many points did he win? 5", "the difference between them"),
        ("multiplication", "How many figs in all?", "Equal groups are known"),
        ("multiplication", "Bo has 3 times Ann's nuts. How many?", "a multiple of it is asked"),
        ("multiplication", "She eats 3 times a day. How many?", "Equal groups are known"),
        ("division", "That is 7 times as many as Bo has. How many?", "the amount is asked"),
        ("division", "How many figs does each get?", "what one of several equal groups has"),
        ("division", "How many bags are there?", "it is shared equally"),
    ],
)
def test_the_relation_follows_from_the_reading_and_the_words_of_the_question(
    reading, question, said
):
    problem = f"There are 7 figs and 2 nuts. {question}"
    assert said in note(problem, reading, 0) and said in note(problem, reading)


def test_what_does_not_matter_is_named_with_what_it_counts():
    said = note(LIBRARY, "subtraction")
    assert "What matters: 50 birds and 20 birds. The 25 dollars do not matter." in said


@pytest.mark.parametrize(
    ("problem", "reading"),
    [
        ("Ann has 7 figs and 2 figs. How many figs?", "addition"),  # nothing to leave out
        (LIBRARY.replace("20 birds", "20 of them"), "subtraction"),  # one quantity only
        (LIBRARY.replace("to enter", "for each bird"), "subtraction"),  # equal groups
        (LIBRARY.replace("25 dollars", "25"), "subtraction"),  # of nothing
        (LIBRARY.replace("25 dollars", "25 dead birds"), "subtraction"),
        (LIBRARY.replace("were left", "more than dogs"), "subtraction"),
        (LIBRARY, "multiplication"),
        (LIBRARY.replace("50", "45"), "subtraction"),  # 25 is the result
    ],
)
def test_where_the_nouns_do_not_tell_no_quantity_is_named(problem, reading):
    assert what_matters(problem, reading) == ""
    assert numbers_in(note(problem, reading)) == []


def test_readings_of_other_tasks_have_no_relation():
    finding = Misunderstanding("any", Span(0, 4), "bank", "literal", 0.9, [])
    assert RelationNote().candidates(finding, {}) == []


def notes_on(item, task):
    (sample,) = make_samples(task, [item])
    for finding in gold_finding(sample):
        for annotator in (OperationNote(), RelationNote()):
            for each in annotator.candidates(finding, {}):
                yield sample, each.text


def test_no_note_on_a_built_in_problem_holds_its_answer_or_another_number(problems):
    for item in problems[::25]:
        for sample, text in notes_on(item, WordProblems()):
            numbers = numbers_in(text)
            assert set(numbers) <= set(numbers_in(sample.prompt.content))
            assert not any(same_number(number, item.gold) for number in numbers)


@given(
    st.tuples(*[st.integers(0, 60)] * 3),
    st.sampled_from(sorted(RELATIONS)),
    st.sampled_from([LIBRARY, "A box has {} figs and {} nuts. How many?"]),
)
def test_no_note_holds_the_result_of_its_operation(numbers, reading, problem):
    for old in ("25", "50", "20"):
        problem = problem.replace(old, "{}", 1)
    problem = problem.format(*numbers)
    finding = Misunderstanding("any", Span(0, len(problem)), problem, reading, 0.9, [])
    used = [each.value for each in quantities_of(problem)][-2:]
    assume(len(used) == 2)
    value = result(reading, *used)
    for annotator in (OperationNote(), RelationNote()):
        for each in annotator.candidates(finding, {}):
            assert not any(same_number(value, number) for number in numbers_in(each.text))


def test_an_equation_whose_result_is_one_of_its_numbers_has_letters():
    assert beginning("Of 50 figs 25 are eaten.", "subtraction") == "a - b"
    assert beginning("Of 50 figs 20 are eaten.", "subtraction") == "50 - 20"
    assert beginning("Of 50 figs 0 are eaten.", "division") == "50 / 0"
