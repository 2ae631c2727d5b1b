"""Items that ranking can not answer: said before anything is asked, counted, refused if many."""

import numpy as np
import pytest

from saetask.data import Candidate, Item, Prompt, Span
from saetask.data.answerability import CandidateCounts, check_candidates, count_candidates
from saetask.data.folds import ItemSet, SplitConfig, make_folds
from saetask.data.samples import Sample
from saetask_plugins.tasks.multiple_choice import MultipleChoice
from saetask_plugins.tasks.word_problems import WordProblems
from tests.helpers.refusals import refusal

PROMPT = Prompt([{"role": "user", "content": "x"}], spans={"text": Span(0, 1)})


def samples_of(*corrects):
    """A sample for each list that says which of its candidates are right."""
    return [
        Sample(
            Item(str(i), "g", {}, "known"),
            PROMPT,
            [Candidate(f" {n}", "a") for n, _ in enumerate(correct)],
            np.array(correct, dtype=bool),
            None,
        )
        for i, correct in enumerate(corrects)
    ]


def test_every_item_without_a_choice_is_counted_once_by_its_reason():
    samples = samples_of([], [False], [False, False], [True], [True, True], [True, False])
    assert count_candidates(samples) == CandidateCounts(none_right=3, one_only=1, all_right=1)


def test_items_with_a_right_and_a_wrong_candidate_are_passed_without_a_word():
    assert check_candidates(WordProblems(), samples_of(*[[True, False]] * 9), "items") is None


@pytest.mark.parametrize(("n_none", "refused"), [(1, False), (5, False), (6, True), (10, True)])
def test_more_than_half_without_a_right_candidate_are_refused_with_a_command(n_none, refused):
    samples = samples_of(*[[False, False]] * n_none, *[[True, False]] * (10 - n_none))
    arguments = WordProblems(), samples, "two.jsonl", "two.jsonl"
    said = refusal(check_candidates, *arguments) if refused else check_candidates(*arguments)
    assert said == (
        f"two.jsonl: {n_none} of 10 items: no candidate is right. "
        "Try `saetask run gsm8k --data two.jsonl --scoring generate`."
    )


def test_a_task_that_names_no_other_is_advised_to_generate():
    samples = samples_of([False], [False])
    assert "saetask run multiple-choice --data f" in refusal(
        check_candidates, MultipleChoice(), samples, "items", "f"
    )
    assert "scoring='generate'" in refusal(check_candidates, MultipleChoice(), samples, "items")


def test_items_without_a_wrong_candidate_are_told_of():
    said = check_candidates(
        WordProblems(), samples_of([True], [True, True], [True, False]), "items"
    )
    assert said is not None and said.startswith("items: 2 of 3 items: no candidate is wrong")


@pytest.mark.parametrize("from_python", [False, True])
def test_problems_of_two_steps_are_refused_before_anything_is_asked(items_file, from_python):
    rows = [
        {
            "id": i,
            "question": f"{i + 2} bags of 3 figs and {i + 40} more. How many?",
            "answer": 3 * (i + 2) + (i + 40 if i < 54 else 0),
        }
        for i in range(60)
    ]
    path = items_file(*rows)
    items = WordProblems().items(path)
    given = ItemSet(items, "the items") if from_python else ItemSet(items, str(path), path)
    said = refusal(make_folds, WordProblems(), given, SplitConfig())
    assert "54 of 60 items: no candidate is right" in said
    assert (f"saetask run gsm8k --data {path} --scoring generate" in said) != from_python
