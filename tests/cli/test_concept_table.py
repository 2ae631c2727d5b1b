"""Concepts that a prompt activates: where they fire, and how strongly."""

import io

import numpy as np
import pytest
from rich.console import Console

from saetask.cli.concept_table import LEGEND, concept_firings, concepts_table
from saetask.data import RenderedPrompt, Span
from saetask.saes import Concept, FeatureActivations

TEXT = "sys eat warm soup"
SPANS = [Span(0, 3), Span(4, 7), Span(8, 12), Span(13, 17)]
FOOD = Concept("on:food", "food", "on", (1, 2, 3), (1.0, 1.0, 1.0), "validated", ("soup",))
HEAT = Concept("near:heat", "near [heat]", "near", (2,), (1.0,))
SILENT = Concept("on:none", "none", "on", (7,), (1.0,))
OUTSIDE = Concept("on:system", "system", "on", (4,), (1.0,))


def activations() -> FeatureActivations:
    """Returns firings of four features on four tokens, the first outside the text."""
    prompt = RenderedPrompt(TEXT, [0, 1, 2, 3], SPANS, {"text": Span(4, len(TEXT))})
    features = np.array([4, 1, 2, 1], np.int32)
    values = np.array([9.0, 1.0, 2.0, 4.0], np.float32)
    return FeatureActivations([prompt], 8, np.array([0, 1, 2, 3, 4]), features, values)


def test_concepts_that_fire_in_the_text_are_told_with_their_tokens_strongest_first() -> None:
    food, heat = concept_firings(activations(), [HEAT, SILENT, OUTSIDE, FOOD], top=5)
    assert food[:2] == ("on:food", "food (soup)")
    assert (food.activation, food.words) == (4.0, ["soup", "warm", "eat"])
    assert (food.n_features, food.n_all) == (2, 3)
    assert (heat.name, heat.words, heat.verdict) == ("near [heat]", ["warm"], "not validated")
    assert concept_firings(activations(), [HEAT, FOOD], top=1) == [food]


@pytest.mark.parametrize("width", [60, 80])
def test_the_columns_of_figures_say_what_they_are_in_few_columns(width) -> None:
    out, long = io.StringIO(), FOOD._replace(name="a long name of food")
    found = concept_firings(activations(), [long, HEAT], top=5)
    Console(file=out, width=width).print(concepts_table(found))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert "highest" in lines[1] and "activation" in lines[2] and "features" in lines[2]
    assert "Highest activation" in LEGEND and "active features" in LEGEND


def test_the_table_has_a_row_for_each_and_takes_names_as_text() -> None:
    out = io.StringIO()
    Console(file=out, width=100).print(
        concepts_table(concept_firings(activations(), [FOOD, HEAT], top=5))
    )
    assert "near [heat]" in out.getvalue()
    assert "soup, warm, eat" in out.getvalue() and "2 of 3" in out.getvalue()
