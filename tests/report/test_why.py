"""The sentence that says why a prompt counts as misread claims nothing that the figures do not."""

import re

import pytest
from hypothesis import given

from saetask.detection.alike_prompts import AlikePrompts
from saetask.report.evidence import (
    AGAINST,
    FOR,
    WEAK,
    evidence_bars,
    removal_sentence,
    short_name,
    signed,
    unnamed,
)
from saetask.report.finding_record import misunderstanding_record
from saetask.report.why import LEAST, told_concepts, why_sentence
from tests.helpers.planted_evidence import LOG_ODDS, concept, planted_finding, token
from tests.report.test_evidence import findings


def figures(sentence: str) -> list[float]:
    return [float(f.replace("−", "-")) for f in re.findall(r"[+−]\d+\.\d\d", sentence)]


def test_it_says_which_words_set_off_what_and_how_much() -> None:
    assert why_sentence(planted_finding()) == (
        "the features say literal because “swallowed” and “soup” set off features of food (+1.20) "
        "and “swallowed” sets off features of parts of the body (+0.40); against that, “insult” "
        "sets off features of feelings (−0.60); all other named concepts add −0.20; what has no "
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
            assert f"({signed(each.contribution)}" in sentence
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
    elif found.log_odds >= WEAK and (named <= 0 or unnamed(found) > named):
        assert "but mostly by what has no telling name" in sentence
    assert sentence.startswith("no clear reason") == (0 < found.log_odds < WEAK)


@pytest.mark.parametrize(
    ("fires_less", "told"), [(True, "less than usual"), (False, "outside the text")]
)
def test_a_concept_on_no_word_is_told_without_one(fires_less, told) -> None:
    silent = concept("food", LOG_ODDS, fires_less=fires_less)
    found = planted_finding(concepts=[silent], rest=0.0)
    assert f"because features of food fire {told} (+1.11)" in why_sentence(found)
    single = planted_finding(concepts=[silent._replace(id="feature:3")], rest=0.0)
    assert f"because a feature of food fires {told} (+1.11)" in why_sentence(single)


EXAMPLES = AlikePrompts(n=69, share=0.93, of_all=0.5, activity=0.6, usual=5.0)


def test_it_says_what_examples_were_in_which_the_concept_fires_so() -> None:
    concepts = [
        concept("food", 1.2, "soup")._replace(alike=EXAMPLES),
        concept("animals", 0.9, "soup")._replace(alike=EXAMPLES._replace(n=20)),
        concept("feelings", -0.6, "insult")._replace(alike=EXAMPLES, reading="metaphorical"),
    ]
    sentence = why_sentence(planted_finding(concepts=concepts, rest=LOG_ODDS - 1.5))
    assert (
        "features of food (+1.20; 93% of 69 examples like that are literal, 50% of all)" in sentence
    )
    assert "features of animals (+0.90; 93% of 20)" in sentence
    assert "(−0.60; 93% of 69 examples like that are metaphorical, 50% of all)" in sentence


def test_a_concept_that_examples_do_not_bear_out_is_no_reason_and_has_no_row() -> None:
    less = EXAMPLES._replace(share=0.3)
    concepts = [concept(name, 0.5, "soup")._replace(alike=less) for name in ("food", "animals")]
    found = planted_finding(concepts=concepts, rest=LOG_ODDS - 1.0)
    assert why_sentence(found) == (
        "the features say literal, by many concepts of which none tells it alone; all other "
        "named concepts add +1.00; what has no telling name adds +0.11 (in all +1.11)."
    )
    assert [bar.contribution for bar in evidence_bars(found)] == pytest.approx([1.0, 0.11])
    assert removal_sentence(found) == ""


def test_evidence_that_only_just_tells_is_told_with_its_odds() -> None:
    sentence = why_sentence(
        planted_finding(concepts=[concept("food", 0.4, "soup")], rest=0.0, log_odds=0.4)
    )
    told = "no clear reason, the features hardly tell literal from the others (about 1.5 to 1); for"
    assert sentence.startswith(f"{told} it, “soup” sets off features of food (+0.40)")


@pytest.mark.parametrize(
    ("activity", "told"),
    [
        (0.6, "features of food fire only weakly, on “soup” (12% of the average example; +1.11"),
        (
            4.0,
            "features of food fire less than usual, on “soup” (80% of the average example; +1.11",
        ),
        (0.0, "nothing sets off features of food (+1.11"),
    ],
)
def test_a_concept_that_fires_less_is_told_with_how_much(activity, told) -> None:
    silent = concept("food", LOG_ODDS, fires_less=True, less_on=["soup"])
    silent = silent._replace(alike=EXAMPLES._replace(activity=activity))
    sentence = why_sentence(planted_finding(concepts=[silent], rest=0.0))
    assert f"because {told}" in sentence
    assert "+1.11; 93% of 69 examples like that are literal, 50% of all)" in sentence


def test_it_says_against_which_reading_and_where_what_has_no_name_fires() -> None:
    told = [token("soup", 1.0)._replace(adds=0.1), token("insult", 1.0)._replace(adds=0.2)]
    found = planted_finding(against="ironic", unnamed_tokens=told)
    sentence = why_sentence(found)
    assert sentence.startswith("the features say literal rather than ironic because")
    assert "what has no telling name adds +0.31, most on “insult” and “soup” (in all" in sentence
    mostly = why_sentence(found._replace(concepts=[concept("food", 0.2)], rest=LOG_ODDS - 0.2))
    assert "by what has no telling name (+0.91, most on “insult” and “soup”); what" in mostly


def test_a_piece_of_a_word_is_told_as_the_word() -> None:
    piece = token("lowed")._replace(word="swallowed")
    found = planted_finding(concepts=[concept("food", 1.0)._replace(tokens=[piece])])
    assert "“swallowed” sets off features of food" in why_sentence(found)


def test_it_stands_in_the_record_where_concepts_are_known() -> None:
    found = planted_finding()
    assert misunderstanding_record(found).to_json()["why"] == why_sentence(found)
    bare = planted_finding(log_odds=None, rest=None, concepts=())
    assert why_sentence(bare) == "" and "why" not in misunderstanding_record(bare).to_json()
