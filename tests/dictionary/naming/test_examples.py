"""Marked words are found where they stand, and no group both chooses features and tries them."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from saetask.dictionary.naming.examples import (
    CLOSES,
    OPENS,
    Example,
    asked_prompt,
    choosing_half,
    parse_marked,
)

plain = st.text(st.characters(exclude_characters=OPENS + CLOSES), max_size=30)


@given(plain, plain, plain)
def test_a_marked_word_stands_where_it_stood_and_the_signs_are_gone(before, word, after) -> None:
    assume(word and word == word.strip())
    text, place = parse_marked(f"{before}{OPENS}{word}{CLOSES}{after}")
    assert text == before + word + after
    assert place is not None and text[place.start : place.end] == word
    assert place.start == len(before)


@given(plain)
def test_a_sentence_without_signs_stays_as_it_is(text) -> None:
    assert parse_marked(text) == (text, None)


@pytest.mark.parametrize(
    "text",
    ["«a", "a»", "»a«", "«a» «b»", "««a»»", "«»", "« a»", "«a »"],
)
def test_signs_that_are_no_pair_around_a_word_are_refused(text) -> None:
    with pytest.raises(ValueError, match="mark one word"):
        parse_marked(text)


@given(plain, plain, st.sampled_from(["swallowed", "dog"]), st.booleans())
def test_a_question_has_the_sentence_and_its_word_where_the_spans_say(
    before, after, word, names_it
) -> None:
    assume("{" not in before + after)
    example = Example(text=f"She {OPENS}{word}{CLOSES} it.")
    asked = f'{before}{"{word}" if names_it else ""}"{{text}}"{after}'
    prompt = asked_prompt(asked, example)
    text, target = prompt.spans["text"], prompt.spans["target"]
    assert prompt.content[text.start : text.end] == f"She {word} it."
    assert prompt.content[target.start : target.end] == word
    assert prompt.content.count(word) >= 1 + names_it


def test_the_group_is_the_given_one_or_the_lemma_of_the_word_or_the_sentence() -> None:
    assert Example(text="She «swallowed» it.", group="g").own_group == "g"
    assert Example(text="She «swallowed» it.").own_group == "swallow"
    assert Example(text="She swallowed it.").own_group == "She swallowed it."


@given(st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=1, max_size=60))
def test_no_group_is_in_both_halves(rows) -> None:
    groups, present = [str(group) for group, _ in rows], np.array([is_one for _, is_one in rows])
    chosen = choosing_half(groups, present)
    halves = [{g for g, c in zip(groups, chosen) if c == side} for side in (True, False)]
    assert not halves[0] & halves[1]
    assert abs(len(halves[0]) - len(halves[1])) <= 1


@given(st.integers(2, 20), st.integers(2, 20))
def test_both_halves_have_examples_and_others(n_examples, n_others) -> None:
    groups = [str(number) for number in range(n_examples + n_others)]
    present = np.arange(len(groups)) < n_examples
    chosen = choosing_half(groups, present)
    for half in (chosen, ~chosen):
        assert 0 < present[half].sum() < half.sum()
