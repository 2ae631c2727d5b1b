"""How much of the evidence lies on words that the concepts' names describe."""

import pytest

from saetask.experiments.described_words import measure_described
from tests.helpers.planted_evidence import concept, planted_finding, token


def listed(source, *words, adds=1.0):
    """Returns a concept that adds as much on each of some words of the planted sentence."""
    tokens = [token(word)._replace(word=word, adds=adds) for word in words]
    return concept(source, 1.0)._replace(id=f"on:{source}", tokens=tokens)


def test_words_count_by_what_the_concept_adds_on_them() -> None:
    found = planted_finding(
        concepts=[
            listed("noun.food", "soup", adds=3.0),
            listed("noun.food", "insult", adds=-1.0),
            concept("noun.food", 1.0),  # on no word
            listed("plurals", "soup", adds=50.0),  # no word tells
        ]
    )
    measured = measure_described([found], 0)
    assert measured.effect == pytest.approx(3 / 4)


def test_names_on_their_own_words_beat_exchanged_names_and_names_at_random_do_not() -> None:
    pairs = [("noun.food", "soup"), ("verb.consumption", "swallowed")] * 20
    right = [planted_finding(concepts=[listed(*pair)]) for pair in pairs]
    measured = measure_described(right, 0)
    assert measured.effect == 1.0 and measured.random == pytest.approx(0.5, abs=0.1)
    assert measured.p < 0.01
    words = [word for _, word in pairs]
    mixed = [
        planted_finding(concepts=[listed(source, words[place // 2 % 2])])
        for place, (source, _) in enumerate(pairs)
    ]
    assert measure_described(mixed, 0).p > 0.05
    assert measured == measure_described(right, 0)


def test_without_names_of_words_nothing_is_measured() -> None:
    assert measure_described([planted_finding(concepts=[listed("plurals", "soup")])], 0) is None
    assert measure_described([planted_finding(concepts=[])], 0) is None
