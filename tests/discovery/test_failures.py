import numpy as np
import pytest

from saetask.data.evaluated_items import EvaluatedItem
from saetask.discovery.config import DiscoveryConfig
from saetask.discovery.failures import disagreement, merge_samples, scored_items
from saetask.errors import UserError
from tests.helpers.refusals import refusal


def item(number, correct=None, output="yes", samples=(), **fields):
    name = f"item-{number}"
    return EvaluatedItem(name, f"Prompt {number}?", output, correct, name, samples, **fields)


def half_right(n):
    return [item(i, float(i % 2)) for i in range(n)]


def test_failure_is_one_minus_the_score_and_items_without_one_are_counted():
    items = [*half_right(60), item(60, 0.25), item(61)]
    scored = scored_items(items, "correctness")
    assert scored.n_without == 1 and len(scored.items) == 61
    assert scored.failures[:2].tolist() == [1, 0] and scored.failures[-1] == 0.75


@pytest.mark.parametrize(
    ("output", "samples", "expected"),
    [
        ("yes", (), None),
        ("yes", (" YES ", "yes"), 0.0),
        ("yes", ("no",), 1.0),
        ("yes", ("no", "yes"), 2 / 3),
    ],
)
def test_disagreement_is_the_share_of_pairs_of_answers_that_differ(output, samples, expected):
    assert disagreement(item(0, output=output, samples=samples)) == pytest.approx(expected)


def test_items_that_are_too_long_are_left_out_and_counted():
    scored = scored_items([*half_right(60), item(60)], "correctness")
    assert scored.without_too_long(range(60), "correctness") is scored
    kept = [i for i in range(60) if i not in (3, 10)]
    left = scored.without_too_long(kept, "correctness")
    assert (left.n_without, left.n_too_long, len(left.items)) == (1, 2, 58)
    assert [each.id for each in left.items] == [f"item-{i}" for i in kept]
    assert left.failures.tolist() == scored.failures[kept].tolist()
    said = refusal(scored.without_too_long, range(30), "correctness")
    assert "needs 40" in said and "30 prompts longer than the model's context were left" in said


def test_disagreement_needs_no_score_and_leaves_single_answers_out():
    items = [item(i, samples=("no" if i % 2 else "yes",)) for i in range(60)]
    scored = scored_items([*items, item(60)], "disagreement")
    assert scored.n_without == 1 and scored.failures.mean() == 0.5


@pytest.mark.parametrize(
    ("items", "by", "said"),
    [
        ([], "correctness", "has no items"),
        ([{"id": "a"}], "correctness", "one of them is {'id': 'a'}"),
        ([item(i, 1.0) for i in range(60)], "correctness", "All 60 items are right"),
        ([item(i, 0.0) for i in range(60)], "correctness", "All 60 items are wrong"),
        ([item(i) for i in range(60)], "correctness", "No item of the log has a score"),
        ([item(i, samples=("a",)) for i in range(9)], "correctness", "--by disagreement"),
        (half_right(30), "correctness", "a search needs 40 at least"),
        ([item(i, float(i > 5)) for i in range(99)], "correctness", "of which 6 failed"),
        (half_right(60), "disagreement", "one answer to each prompt"),
        ([item(i, samples=("YES",)) for i in range(60)], "disagreement", "are agreed on"),
        ([item(0, 1.0), item(0, 0.0)], "correctness", "2 items of the log have the id 'item-0'"),
        ([*half_right(60), item(60, 3.0)], "correctness", "Item 'item-60' has the score 3.0"),
        ([*half_right(60), item(60, float("nan"))], "correctness", "has the score nan"),
    ],
)
def test_a_log_with_nothing_to_search_is_refused_in_one_line(items, by, said):
    message = refusal(scored_items, items, by)
    assert said in message and "\n" not in message


def test_scores_between_right_and_wrong_can_be_searched():
    items = [item(i, i / 59) for i in range(60)]
    np.testing.assert_allclose(scored_items(items, "correctness").failures, 1 - np.arange(60) / 59)
    with pytest.raises(UserError, match="scored alike"):
        scored_items([item(i, 0.5) for i in range(60)], "correctness")


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"q": 0.0}, "q is between 0 and 1, not 0.0"),
        ({"discovery_share": 1.0}, "--discovery-share is between 0 and 1"),
        ({"by": "length"}, "by is one of correctness, disagreement, not 'length'"),
    ],
)
def test_options_out_of_range_are_refused(option, said):
    assert said in refusal(DiscoveryConfig, **option)


def test_rows_that_ask_the_same_prompt_are_its_samples():
    items = [
        EvaluatedItem(f"{prompt}#{i}", prompt, answer, None, prompt)
        for prompt, answers in (("p", "aab"), ("q", "ccc"))
        for i, answer in enumerate(answers)
    ]
    merged = merge_samples(items)
    assert [(item.id, item.output, item.samples) for item in merged] == [
        ("p#0", "a", ("a", "b")),
        ("q#0", "c", ("c", "c")),
    ]
    assert [disagreement(item) for item in merged] == [pytest.approx(2 / 3), 0]
