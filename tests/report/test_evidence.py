"""The evidence of a finding: marked words, bars that add up, and what they say together."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saetask.detection.base import ConceptToken, Misunderstanding, NearPrompt
from saetask.report.evidence import (
    AGAINST,
    FOR,
    LARGEST_ODDS,
    LEAST_SHOWN,
    PLAIN,
    alike_text,
    evidence_bars,
    headings,
    margin_sentence,
    marked_text,
    removal_sentence,
    shown_concepts,
    telling_contexts,
    told_words,
)
from saetask.report.evidence_data import ConceptTable, evidence_data
from saetask.report.fired_words import fired_words, unnamed_words
from saetask.report.items import MisunderstandingRecord
from tests.helpers.planted_evidence import LOG_ODDS, SENTENCE, concept, planted_finding, token


def as_record(found: Misunderstanding) -> MisunderstandingRecord:
    return MisunderstandingRecord.model_validate(found, from_attributes=True)


@st.composite
def findings(draw: st.DrawFn, first: int = -5) -> Misunderstanding:
    """Draws findings with concepts on any tokens, also outside the text."""
    places = st.integers(first, len(SENTENCE) + 5)
    spans = st.tuples(places, places).map(sorted)
    concepts = []
    for number in range(draw(st.integers(1, 9))):
        tokens = [
            ConceptToken(start, end, SENTENCE[max(0, start) : max(0, end)], draw(st.floats(0, 9)))
            for start, end in draw(st.lists(spans, max_size=4))
        ]
        added = draw(st.floats(-3, 3))
        concepts.append(concept(f"c{number}", added)._replace(tokens=tokens))
    rest, unlisted = draw(st.floats(-3, 3)), draw(st.none() | st.floats(-3, 3))
    total = rest + sum(each.contribution for each in concepts)
    return planted_finding(
        concepts=concepts,
        rest=rest,
        log_odds=total,
        unlisted=unlisted,
        against=draw(st.sampled_from(["", "metaphorical"])),
        unnamed_tokens=concepts[0].tokens,
        nearest=[NearPrompt("She drank the soup.", "literal", 0.5)],
    )


@given(findings())
def test_bars_add_up_to_the_log_odds_and_the_longest_is_one(found: Misunderstanding) -> None:
    bars = evidence_bars(found)
    left_out = LEAST_SHOWN  # several concepts together that hardly add anything have no row
    assert sum(bar.contribution for bar in bars) == pytest.approx(found.log_odds, abs=left_out)
    largest = max(abs(bar.contribution) for bar in bars)
    assert [bar.share * largest for bar in bars] == pytest.approx(
        [abs(bar.contribution) for bar in bars]
    )


@given(findings())
def test_no_character_is_lost_and_each_is_marked_by_the_sides_that_fire_on_it(
    found: Misunderstanding,
) -> None:
    pieces = marked_text(SENTENCE, found)
    assert "".join(piece.text for piece in pieces) == SENTENCE
    assert all(one.side != other.side for one, other in pairwise(pieces))
    sides = [side for text, side in pieces for _ in text]
    for place in range(len(SENTENCE)):
        fired = PLAIN
        for each in shown_concepts(found):
            if any(word.start <= place < word.end for word in fired_words(each)):
                fired |= FOR if each.contribution > 0 else AGAINST
        assert sides[place] == fired


def test_pieces_of_a_word_are_one_word_and_blanks_are_not_marked() -> None:
    pieces = [token("swal", 2.0), token("lowed", 5.0), token(" insult", 3.0)]
    found = planted_finding(concepts=[concept("food", 1.0)._replace(tokens=pieces)])
    assert [word.text for word in fired_words(found.concepts[0])] == ["swallowed", "insult"]
    marked = [piece.text for piece in marked_text(SENTENCE, found) if piece.side]
    assert marked == ["swallowed", "insult"]


def test_a_word_that_the_name_does_not_describe_is_not_marked() -> None:
    food = concept("food", 1.0, "soup", "insult")._replace(id="on:noun.food")
    pieces = marked_text(SENTENCE, planted_finding(concepts=[food]))
    assert [piece.text for piece in pieces if piece.side] == ["soup"]


def test_a_text_that_begins_elsewhere_is_marked_at_the_same_words() -> None:
    begins = SENTENCE.index("the")
    pieces = marked_text(SENTENCE[begins:], planted_finding(), begins)
    assert [(piece.text, piece.side) for piece in pieces if piece.side] == [
        ("insult", AGAINST),
        ("soup", FOR),
    ]


def test_of_two_readings_both_are_named_and_of_more_the_findings_own() -> None:
    assert headings(planted_finding()) == ("for metaphorical", "for literal")
    third = concept("a", -0.1, reading="ironic")
    several = planted_finding(concepts=[*planted_finding().concepts, third])
    assert headings(several) == ("against it", "for literal")
    assert headings(planted_finding(concepts=[concept("a", 1.0)]))[0] == "against it"


@pytest.mark.parametrize(
    ("log_odds", "told"),
    [
        (1.1, "margin +1.10: about 3 to 1 for “literal”, by the features alone"),
        (-3.0, "margin −3.00: about 20 to 1 against “literal”, by the features alone"),
        (900.0, f"margin +900.00: over {LARGEST_ODDS} to 1 for “literal”, by the features alone"),
        (None, ""),
    ],
)
def test_the_margin_is_told_in_odds(log_odds: float | None, told: str) -> None:
    assert margin_sentence(planted_finding(log_odds=log_odds)) == told


def test_without_the_strongest_concept_another_reading_may_win() -> None:
    without = "with as much of “food” as usual the features would"
    assert removal_sentence(planted_finding()) == f"{without} say “metaphorical” (−0.09)"
    strong = planted_finding(log_odds=LOG_ODDS + 1)
    assert removal_sentence(strong) == f"{without} still say “literal” (+0.91)"
    alone = planted_finding(concepts=planted_finding().concepts[:1])
    assert removal_sentence(alone) == f"{without} no longer say “literal” (−0.09)"
    for nothing in (
        planted_finding(log_odds=-0.5),
        planted_finding(log_odds=None),
        planted_finding(concepts=[concept("a", -1.0)]),
    ):
        assert removal_sentence(nothing) == ""


def test_contexts_are_those_of_the_strongest_concept_on_each_side() -> None:
    assert [found.name for found in telling_contexts(planted_finding())] == ["food", "feelings"]


# as data of the page


@given(
    findings(first=0),
    st.sampled_from(["", "Is it literal? 🦊\n"]),
    st.sampled_from(["", "\nAnswer:"]),
)
def test_the_page_gets_what_the_terminal_shows(
    found: Misunderstanding, before: str, after: str
) -> None:
    table, prompt = ConceptTable(), before + SENTENCE + after
    data = evidence_data(as_record(found), prompt, len(before), table)
    assert data is not None
    other, log_odds, rest, hidden, unnamed, near, lines, words, bars = data
    assert unnamed == ", ".join(unnamed_words(found))
    assert near == [[each.text, each.reading] for each in found.nearest]
    assert (f"for {other}" if other else "against it") == headings(found).against
    assert prompt[slice(*lines)] == SENTENCE
    assert log_odds == pytest.approx(found.log_odds, abs=0.006)
    total = rest + hidden + sum(adds for _, adds, *_ in bars)
    assert total == pytest.approx(found.log_odds, abs=0.05)
    for each, (name, _, examples, *numbers) in zip(shown_concepts(found), bars, strict=True):
        assert examples == alike_text(each)
        assert table.rows[name] == [each.name, each.verdict, each.contexts]
        if not fired_words(each):
            assert numbers == told_words(each)
            continue
        places = [-1 - number if number < 0 else number for number in numbers]
        starts = [words[2 * place] - len(before) for place in places]
        lengths = [words[2 * place + 1] for place in places]
        expected = [(word.start, word.end - word.start) for word in fired_words(each)]
        assert list(zip(starts, lengths)) == expected


def test_the_page_marks_words_that_the_name_does_not_describe() -> None:
    food = concept("food", 1.0, "soup", "insult")._replace(id="on:noun.food")
    food = food._replace(tokens=[each._replace(word=each.text) for each in food.tokens])
    found = as_record(planted_finding(concepts=[food]))
    *_, (bar,) = evidence_data(found, SENTENCE, 0, ConceptTable()) or []
    assert sorted(number < 0 for number in bar[3:]) == [False, True]


def test_what_a_concept_is_called_is_written_once() -> None:
    table = ConceptTable()
    found = as_record(planted_finding())
    first, second = (evidence_data(found, SENTENCE, 0, table) for _ in range(2))
    assert first == second
    assert len(table.rows) == 4


def test_nothing_is_marked_where_the_message_is_not_found_and_nothing_shown_without_concepts() -> (
    None
):
    found = as_record(planted_finding())
    *_, lines, words, bars = evidence_data(found, "another prompt", None, ConceptTable()) or []
    assert lines == words == [] and all(len(bar) == 3 for bar in bars)
    assert evidence_data(as_record(planted_finding(concepts=[])), "", 0, ConceptTable()) is None


def test_a_record_has_the_keys_of_the_contract() -> None:
    (first, *_) = as_record(planted_finding()).to_json()["concepts"]
    assert list(first) == [
        *("id", "name", "contribution", "verdict", "for", "tokens", "features", "contexts"),
        *("fires_less", "less_on", "alike"),
    ]
    assert list(first["tokens"][0]) == [
        *("start", "end", "text", "activation", "adds", "word", "described"),
    ]


def test_words_that_the_name_does_not_describe_stand_in_brackets() -> None:
    food = concept("food", 1.0, "soup", "insult")._replace(id="on:noun.food")
    food = food._replace(tokens=[each._replace(word=each.text) for each in food.tokens])
    near = food._replace(id="near:noun.food", name="near food", contribution=0.5)
    bars = evidence_bars(planted_finding(concepts=[food, near], rest=0.0))
    assert [list(bar.words) for bar in bars[:2]] == [["soup", "(insult)"], ["soup", "insult"]]
