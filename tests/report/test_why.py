"""The sentence that says why a prompt counts as misread claims nothing that the figures do not."""

import re

import pytest
from hypothesis import given

from saetask.report.evidence import AGAINST, FOR, short_name, signed, unnamed
from saetask.report.finding_record import misunderstanding_record
from saetask.report.why import LEAST, WEAK, told_concepts, why_sentence
from tests.helpers.planted_evidence import LOG_ODDS, concept, planted_finding, token
from tests.report.test_evidence import findings


def figures(sentence: str) -> list[float]:
    return [float(f.replace("−", "-")) for f in re.findall(r"[+−]\d+\.\d\d", sentence)]


def test_it_says_which_words_set_off_what_and_how_much() -> None:
    assert why_sentence(planted_finding()) == (
        "the features say literal because “swallowed” and “soup” set off features of food (+1.20) "
        "and “swallowed” sets off features of parts of the body (+0.40); against that, “insult” "
        "sets off features of feelings (−0.60); other named concepts add −0.20; what has no "
        "telling name adds +0.31 (in all +1.11)."
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["soup"], "“soup” sets off"),
        (["insult"], "“insult” (no such word) sets off"),
        (["insult", "soup"], "“soup” sets off"),
        (["insult", "swallowed"], "“insult” and “swallowed” (no such words) set off"),
    ],
)
def test_it_says_which_words_the_name_does_not_describe(words, told) -> None:
    food = concept("food", LOG_ODDS, *words)._replace(id="on:noun.food")
    food = food._replace(tokens=[t._replace(word=t.text) for t in food.tokens])
    found = planted_finding(concepts=[food], rest=0.0)
    assert f"because {told} features of food (+1.11)" in why_sentence(found)


@given(findings())
def test_no_concept_is_claimed_that_adds_nothing_or_the_other_way(found) -> None:
    sentence = why_sentence(found)
    for side in (FOR, AGAINST):
        for each in told_concepts(found, side):
            assert abs(each.contribution) >= LEAST
            assert (each.contribution > 0) == (side == FOR)
            assert f"({signed(each.contribution)})" in sentence
    told = {each.name for side in (FOR, AGAINST) for each in told_concepts(found, side)}
    for each in found.concepts:
        if each.name not in told:
            assert not re.search(rf"features of {short_name(each.name)}\b", sentence)


@given(findings())
def test_what_it_counts_adds_up(found) -> None:
    *parts, total = figures(why_sentence(found))
    assert total == pytest.approx(found.log_odds, abs=0.006)
    left_out = 0.06 * 2 + 0.006 * (len(parts) + 1)  # parts under `LEAST` are not told
    assert sum(parts) == pytest.approx(found.log_odds, abs=left_out)


@given(findings())
def test_it_says_where_the_features_do_not_say_it_and_where_names_do_not(found) -> None:
    sentence, named = why_sentence(found), found.log_odds - unnamed(found)
    if found.log_odds <= 0:
        assert sentence.startswith("the features alone do not say")
    elif named <= 0 or unnamed(found) > named:
        assert "mostly by what has no telling name" in sentence
    if 0 < found.log_odds < WEAK:
        assert sentence.startswith("the features weakly say")


@pytest.mark.parametrize(
    ("fires_less", "told"), [(True, "less than usual"), (False, "outside the text")]
)
def test_a_concept_on_no_word_is_told_without_one(fires_less, told) -> None:
    silent = concept("food", LOG_ODDS, fires_less=fires_less)
    found = planted_finding(concepts=[silent], rest=0.0)
    assert f"because features of food fire {told} (+1.11)" in why_sentence(found)
    single = planted_finding(concepts=[silent._replace(id="feature:3")], rest=0.0)
    assert f"because a feature of food fires {told} (+1.11)" in why_sentence(single)


def test_a_concept_on_no_word_of_its_own_is_told_to_find_none() -> None:
    silent = concept("food", LOG_ODDS, fires_less=True)._replace(no_word=True)
    found = planted_finding(concepts=[silent], rest=0.0)
    assert "because they find no food (+1.11)" in why_sentence(found)


def test_a_piece_of_a_word_is_told_as_the_word() -> None:
    piece = token("lowed")._replace(word="swallowed")
    found = planted_finding(concepts=[concept("food", 1.0)._replace(tokens=[piece])])
    assert "“swallowed” sets off features of food" in why_sentence(found)


def test_it_stands_in_the_record_where_concepts_are_known() -> None:
    found = planted_finding()
    assert misunderstanding_record(found).to_json()["why"] == why_sentence(found)
    bare = planted_finding(log_odds=None, rest=None, concepts=())
    assert why_sentence(bare) == "" and "why" not in misunderstanding_record(bare).to_json()
