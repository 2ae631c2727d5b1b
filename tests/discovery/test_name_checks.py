"""Where the names of discoveries hold in a log: where they are active, and anywhere."""

from types import SimpleNamespace

import numpy as np
import pytest

from saetask.dictionary.feature_labels import FeatureLabels
from saetask.discovery.documents import Discovery
from saetask.discovery.hypotheses import Hypothesis, has_telling_name
from saetask.discovery.name_checks import name_predicate, spread, with_name_checks
from saetask.discovery.prompt_text import own_texts
from saetask.discovery.reading import render_log
from saetask.discovery.result_rows import Row
from saetask.discovery.sentences import discovery_sentence, name_misleads
from saetask.discovery.shown_prompts import Shown
from saetask.discovery.splitting import Halves
from saetask.saes.concepts import Concept
from tests.helpers.planted_discovery import discovery
from tests.helpers.words import NOUNS, SEA

SHIP = NOUNS.index("ship")
TEXTS = ["The sea was Red.", "A ship is Old and Red.", "The sea and a ship.", "some sea, no more."]


@pytest.fixture(scope="module")
def checked(tiny_model, word_sae):
    """Returns a function that checks a concept's name where it is active on the sea and ships."""
    rendered = render_log(tiny_model, word_sae, [*"abcd"], TEXTS, own_texts(TEXTS))
    labels = FeatureLabels(tiny_model, word_sae)

    def check(concept_id, confirmed=True, kind="concept", labels=labels):
        features = (SEA, SHIP) if kind == "concept" else (SEA,)
        concept = Concept(concept_id, "a name", "on", features, (1.0,) * len(features))
        found = discovery(concept=concept_id, threshold=0.0, confirmed=confirmed)
        row = Row(
            Discovery.model_validate({**found, "name_holds": None, "name_in_prompts": None}),
            Hypothesis(concept_id, "a name", kind, concept),
            np.ones(4, np.float32),
            np.ones(4, bool),
            Shown([], []),
        )
        halves = Halves(np.array([3]), np.array([0, 1, 2]))
        (row,) = with_name_checks([row], rendered, halves, labels)
        return row.discovery.name_holds, row.discovery.name_in_prompts

    return check


def test_a_name_that_every_prompt_fits_and_that_is_elsewhere_active_is_seen_as_such(checked):
    """Every prompt begins with a capital letter; the concept is active on nouns without one."""
    assert checked("on:capitalised words") == (0.0, 1.0)


def test_a_name_that_holds_where_it_is_active_is_counted_by_tokens(checked):
    holds, in_prompts = checked("on:noun.object")
    assert holds == pytest.approx(2 / 4) and in_prompts == pytest.approx(2 / 3)


def test_names_of_what_is_not_confirmed_are_looked_for_and_of_no_words_are_not(checked):
    assert checked("on:capitalised words", confirmed=False) == (None, 1.0)
    assert checked("user:whatever") == (None, None)


@pytest.mark.parametrize(
    ("name", "relation", "verdict", "expected"),
    [
        ("sea, lake", "on", "validated", (1.0, 2 / 3)),
        ("after ship", "after", "validated", (0.0, 2 / 3)),
        ("sea, lake", "on", "weak", (None, None)),
    ],
)
def test_a_name_of_a_features_own_words_is_looked_for_by_its_words(
    checked, tiny_model, word_sae, name, relation, verdict, expected
):
    row = {"name": name, "name_source": f"{relation}:words", "name_verdict": verdict}
    dictionary = SimpleNamespace(feature=lambda feature: SimpleNamespace(row=row))
    labels = FeatureLabels(tiny_model, word_sae, dictionary)  # pyright: ignore
    found = checked("feature:0", kind="feature", labels=labels)
    assert found == (None, None) if expected[0] is None else found == pytest.approx(expected)


def test_a_name_of_every_other_word_is_no_telling_one():
    row = {"name": "nouns", "name_source": "on:nouns", "name_verdict": "validated"}
    assert not has_telling_name(row)
    assert has_telling_name({**row, "name_source": "on:concrete things"})
    assert not has_telling_name({**row, "name_source": "on:plurals", "name_verdict": "weak"})
    assert not has_telling_name({})


def test_a_feature_without_a_dictionary_has_no_name(tiny_model, word_sae):
    concept = Concept("feature:3", "feature 3", "on", (3,), (1.0,))
    feature = Hypothesis("feature:3", "feature 3", "feature", concept)
    assert name_predicate(feature, FeatureLabels(tiny_model, word_sae)) is None


def test_some_of_many_are_spread_evenly():
    assert spread(np.arange(7), 9) == [*range(7)]
    assert spread(np.arange(1000), 5) == [0, 250, 500, 749, 999]


@pytest.mark.parametrize(
    ("holds", "misleads"), [(0.0, True), (0.09, True), (0.1, False), (1.0, False), (None, False)]
)
def test_a_name_that_hardly_holds_where_it_is_active_is_said_to_mislead(holds, misleads) -> None:
    found = Discovery.model_validate(
        {
            **discovery(concept="on:food", threshold=0.0, confirmed=True),
            "name_holds": holds,
            "name_in_prompts": 0.3,
        }
    )
    assert name_misleads(found) == misleads
    assert ("misleads" in discovery_sentence(found, "correctness")) == misleads
