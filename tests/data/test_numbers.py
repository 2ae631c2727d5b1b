"""The grammar of numbers: the tables of `docs/answers.md`, and what holds for every number."""

import math
import unicodedata
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from saetask.data import (
    first_number,
    last_number,
    number_text,
    numbers_in,
    rounded_text,
    same_number,
    stated_number,
)
from saetask.data.numbers import find_numbers
from tests.helpers.answer_tables import rows


def value(cell):
    return float(Fraction(cell)) if cell else None


@pytest.mark.parametrize(("text", "expected"), rows("text", "numbers"))
def test_the_page_tells_which_numbers_a_text_holds(text, expected):
    numbers = [float(number) for number in expected.split(", ") if number]
    assert numbers_in(text) == numbers
    assert first_number(text) == (numbers or [None])[0]
    assert last_number(text) == (numbers or [None])[-1]


@pytest.mark.parametrize(("text", "strict", "flexible"), rows("answer", "strict", "flexible"))
def test_the_page_tells_which_number_an_answer_states(text, strict, flexible):
    assert stated_number(text) == value(strict)
    assert last_number(text) == value(flexible)


@pytest.mark.parametrize(("answer", "gold", "right"), rows("answer", "gold", "right"))
def test_the_page_tells_which_answer_is_right(answer, gold, right):
    assert same_number(value(answer), value(gold)) == (right == "yes")
    assert same_number(-value(answer), -value(gold)) == (right == "yes")


@pytest.mark.parametrize("pair", [(None, 1.0), (1.0, None), (None, None)])
def test_an_unknown_number_equals_none(pair):
    assert not same_number(*pair)


# forms of numbers, each with its value

figures = st.integers(0, 10**9)
decimals = st.decimals(0, 10**6, places=3)
grouping = st.sampled_from([",", "'", "’", "_", "\u00a0", "\u2009", "\u202f", "{,}", r"\,"])
halves = st.sampled_from(sorted("½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒"))
slashes = st.sampled_from(["/", "⁄"])


def grouped(number, mark):
    return f"{number:,}".replace(",", mark), float(number)


def fraction(whole, over, more, slash):
    under = over + more
    text = f"{over}{slash}{under}"
    mixed = f"{whole} {text}" if whole else text
    return mixed, (whole or 0) + over / under


def vulgar(whole, half):
    return f"{whole or ''}{half}", (whole or 0) + unicodedata.numeric(half)


def scientific(number, exponent):
    return f"{number}e{exponent}", float(f"{number}e{exponent}")


unsigned = st.one_of(
    figures.map(lambda n: (str(n), float(n))),
    decimals.map(lambda d: (str(d), float(d))),
    decimals.map(lambda d: (str(d % 1)[1:], float(d % 1))),
    st.builds(grouped, figures, grouping),
    st.builds(
        fraction, st.none() | st.integers(1, 99), st.integers(1, 99), st.integers(1, 99), slashes
    ),
    st.builds(vulgar, st.none() | st.integers(1, 99), halves),
    st.builds(scientific, decimals, st.integers(-20, 20)),
)
signs = st.sampled_from(["", "-", "−", "+", "‐", "–"])
currencies = st.sampled_from(["", "$", "€", "£", "₹", "US$"])
orders = st.sampled_from(["{sign}{currency}{number}", "{currency}{sign}{number}"])


def signed(form, sign, currency, order):
    text, number = form
    negative = sign not in ("", "+")
    written = order.format(sign=sign, currency=currency, number=text)
    return written, -number if negative else number


written_numbers = st.builds(signed, unsigned, signs, currencies, orders)
clauses = st.text(st.sampled_from("abcdefg xyz ,.;!?'()\"\n"), max_size=30)
ends = st.sampled_from(["", ".", "!", ")", "\n", ".\n\n", '"', "**", "%", "€"])


@given(written_numbers)
@example((".5", 0.5))
def test_every_written_number_is_read_as_its_value(written):
    text, number = written
    (found,) = find_numbers(text)
    assert math.isclose(found.value, number, rel_tol=1e-12)
    assert text[found.start : found.end] == text


@given(written_numbers, st.sampled_from(["_", "__", "___", "*", "**_"]))
def test_emphasis_changes_no_number(written, marks):
    text, number = written
    emphasized = marks + text + marks[::-1]
    assert numbers_in(emphasized) == pytest.approx([number], rel=1e-12)
    assert stated_number(f"The answer is {emphasized}.") == pytest.approx(number, rel=1e-12)


@given(st.lists(st.tuples(clauses, written_numbers), max_size=4), clauses)
def test_a_text_holds_the_numbers_that_were_put_in_it(parts, end):
    # " a " keeps the figures of one number away from the next.
    text = " a ".join(f"{clause} {number}" for clause, (number, _) in parts) + f" {end}"
    expected = [number for _, (_, number) in parts]
    assert numbers_in(text) == pytest.approx(expected, rel=1e-12)


@given(
    written_numbers,
    st.sampled_from(
        ["#### {}", "The answer is {}", "Answer: {}", "2 + 5 = {}", r"so \boxed{{{}}}"]
    ),
    ends,
)
def test_a_stated_number_is_found_at_the_end(written, statement, end):
    text, number = written
    answer = f"So we add 2 and 5.\n{statement.format(text)}{end}"
    assert stated_number(answer) == pytest.approx(number, rel=1e-12)
    assert last_number(answer) == pytest.approx(number, rel=1e-12)


@given(written_numbers, st.text(st.characters(codec="ascii"), max_size=40))
def test_what_follows_the_number_after_four_hashes_changes_nothing(written, after):
    text, number = written
    assert stated_number(f"2 + 5\n#### {text} apples {after}") == pytest.approx(number, rel=1e-12)


@given(st.text(st.characters(exclude_categories=("Nd", "No", "Nl"))))
def test_a_text_without_figures_has_no_number(text):
    assert numbers_in(text) == []
    assert stated_number(text) is None


@given(st.text(st.sampled_from("0123456789.,/-+−$€½ eE^'_{}\\x×()%:a\u00a0٣")))
def test_whatever_stands_there_the_numbers_are_finite_and_in_order(text):
    found = list(find_numbers(text))
    assert all(math.isfinite(number.value) for number in found)
    places = [place for number in found for place in (number.start, number.end)]
    assert places == sorted(places)
    assert stated_number(text) is None or stated_number(text) in [n.value for n in found]


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_a_number_that_is_written_is_read_as_the_same(number):
    assert same_number(numbers_in(rounded_text(number))[0], number)
    assert same_number(numbers_in(number_text(number))[0], number)


@given(st.decimals(-(10**6), 10**6, places=6))
def test_a_number_of_few_decimals_is_written_as_it_is(number):
    assert numbers_in(number_text(float(number))) == [float(number)]


@pytest.mark.parametrize(
    ("number", "exact", "rounded"),
    [
        (5.0, "5", "5"),
        (-0.0, "0", "0"),
        (1200.5, "1200.5", "1200.5"),
        (3.125, "3.125", "3.12"),
        (0.001, "0.001", "0.001"),
        (1 / 3, "0.333", "0.333"),
        (10 / 3, "3.33", "3.33"),
        (1e20, "100000000000000000000", "100000000000000000000"),
    ],
)
def test_numbers_are_written_without_exponent(number, exact, rounded):
    assert (number_text(number), rounded_text(number)) == (exact, rounded)


def test_a_text_of_many_figures_is_read_at_once():
    for text in (
        "1" * 50_000,
        "1,234" * 10_000,
        "1.1/" * 10_000,
        "- " * 20_000,
        "#### " * 5_000,
        "_a " * 9_000,
    ):
        assert len(numbers_in(text)) <= 20_001
        stated_number(text)
