"""Activations count less on words that a feature's name does not describe, and nowhere else."""

from dataclasses import replace

import numpy as np
import pytest

from saetask import FeatureActivations
from saetask.data import RenderedPrompt, Span
from saetask.detection import DetectorInput, weigh_by_words
from saetask.detection.token_words import token_word
from saetask.saes.described_words import describes
from tests.helpers.planted_concepts import make_concept

ANIMALS, FOOD, NEAR = "on:noun.animal", "on:noun.food", "near:noun.food"
TEXT = "dog ate the bread of a cat <end>"
CONTENT = TEXT.removesuffix(" <end>")
D_SAE = 6


@pytest.fixture
def given():
    """Every feature fires on every token, one more strongly than the other."""
    starts = [0, *(place + 1 for place, sign in enumerate(TEXT) if sign == " ")]
    spans = [Span(start, start + len(TEXT[start:].split(maxsplit=1)[0])) for start in starts]
    text = {"text": Span(0, len(CONTENT))}
    activations = FeatureActivations(
        [RenderedPrompt(TEXT, list(range(len(spans))), spans, text)],
        D_SAE,
        D_SAE * np.arange(len(spans) + 1),
        np.tile(np.arange(D_SAE, dtype=np.int32), len(spans)),
        np.arange(1, 1 + D_SAE * len(spans), dtype=np.float32),
    )
    concepts = [
        make_concept(name, features)._replace(id=name, subject="meaning")
        for name, features in ((ANIMALS, [0, 1]), (FOOD, [2, 3]), (NEAR, [4]))
    ]
    return DetectorInput(activations, CONTENT, text, {"a": -1.0, "b": -2.0}, concepts=concepts)


@pytest.mark.parametrize("scale", [0.0, 0.25, 0.5])
def test_firings_are_weighed_one_by_one(given, scale):
    before, after = given.activations, weigh_by_words(given, scale).activations
    names = {0: ANIMALS, 1: ANIMALS, 2: FOOD, 3: FOOD, 4: NEAR}
    assert 0 < (before.values != after.values).sum() < len(before.values)
    for token in range(len(before.prompts[0].token_ids)):
        word = token_word(given, token)
        for firing in range(*before.indptr[[token, token + 1]]):
            name = names.get(int(before.features[firing]), "")
            told = name in (ANIMALS, FOOD) and not describes(name, word)
            expected = before.values[firing] * (scale if told else 1)
            assert after.values[firing] == pytest.approx(expected)


def test_an_input_is_weighed_once_and_stays_as_it_was(given):
    before = given.activations.values.copy()
    weighed = weigh_by_words(given, 0.25)
    assert weigh_by_words(given, 0.25).activations is weighed.activations
    np.testing.assert_array_equal(given.activations.values, before)
    assert (weighed.pooled("text").toarray() <= given.pooled("text").toarray()).all()


def test_nothing_changes_where_no_name_tells_of_words(given):
    near = replace(given, concepts=given.concepts[2:], computed={})
    assert weigh_by_words(near, 0.25) is near
    assert weigh_by_words(given, 1.0) is given


def test_other_concepts_and_answers_of_the_same_prompt_are_not_mixed_up(given):
    first = weigh_by_words(given, 0.25)
    other = replace(given, concepts=given.concepts[1:], answer_scores={"a": -3.0, "b": -0.1})
    weighed = weigh_by_words(other, 0.25)
    assert weighed.answer == "b" and first.answer == "a"
    assert (weighed.activations.values >= first.activations.values).all()
    assert (weighed.activations.values > first.activations.values).any()
