"""Written answers that are right are known as such, and others are not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saetask.data.answer_matching import matches_target


@pytest.mark.parametrize(
    ("output", "target", "right"),
    [
        ("She has 12 apples left, so the answer is 5.", "5", True),
        ("She has 5 apples, so the answer is 12.", "5", False),
        ("#### 1,200", "1200", True),
        ("So she has 72.", "48 / 2 = 24, and 48 + 24 = 72\n#### 72", True),
        ("So she has 24.", "48 / 2 = 24, and 48 + 24 = 72\n#### 72", False),
        ("<think>5 or 6</think> The answer is 7", "7", True),
        ("Paris", "Paris", True),
        ("paris is the capital.", "Paris", True),
        ("The capital is Paris.", "Paris", True),
        ("Paris or Rome, it may be Rome", "Paris", True),
        ("Parisian", "Paris", False),
        ("No, it is not Paris: Rome", "Paris", False),
        ("", "Paris", False),
        ("anything", "", False),
        ("no number here", "5", False),
    ],
)
def test_an_answer_is_compared_by_its_number_or_its_words(output, target, right):
    assert matches_target(output, target) is right


@given(st.text(), st.text())
def test_no_text_breaks_the_comparison(output, target):
    assert matches_target(output, target) in (True, False)


@given(st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6))
def test_another_number_is_never_right(said, target):
    assert matches_target(f"The answer is {said}.", str(target)) is (said == target)
