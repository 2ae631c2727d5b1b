"""Which concepts a detector gets: validated ones, less those that are struck out."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saetask.detection.calibration import UNCALIBRATED
from saetask.dictionary.feature_labels import FeatureLabels
from saetask.experiments.context import checked_context
from saetask.experiments.known_concepts import (
    NO_CONCEPTS,
    KnownConcepts,
    find_known_concepts,
    random_features,
    random_groups,
    restrict_concepts,
)
from saetask.experiments.observation import observe
from saetask.experiments.pipeline_name import pipeline_name
from saetask_plugins.detectors.concept_probe import ConceptProbe
from tests.helpers.made_up_readings import make_reading
from tests.helpers.named_features import named_labels
from tests.helpers.planted_concepts import make_concept
from tests.helpers.probe_choices import QuickProbe
from tests.helpers.refusals import refusal
from tests.helpers.touch_task import NO_BASELINE, Touch, make_context, make_lab

FOOD, ROCK = make_concept("food", [1, 2, 3]), make_concept("rock", [3, 4])
NEAR = make_concept("near food", [8])._replace(kind="near", name="food")
VAGUE = make_concept("vague", [5], "inconsistent")
EVERY = [FOOD, ROCK, NEAR, VAGUE]


def ids(known):
    return [concept.id for concept in known.concepts]


def test_only_validated_concepts_are_used_unless_labels_may_be_unvalidated():
    assert ids(find_known_concepts(named_labels(EVERY))) == ["on:food", "on:rock", "on:near food"]
    known = find_known_concepts(named_labels(EVERY, unvalidated=True))
    assert known == KnownConcepts(tuple(EVERY), ())


def test_an_sae_without_a_dictionary_or_with_one_that_was_not_named_has_none():
    assert find_known_concepts(FeatureLabels(None, None)) == NO_CONCEPTS  # pyright: ignore
    assert find_known_concepts(named_labels([])) == NO_CONCEPTS


@pytest.mark.parametrize("name", ["on:rock", "rock", ROCK.text])
def test_a_struck_concept_takes_its_features_from_the_others(name):
    known = find_known_concepts(named_labels(EVERY), [name])
    assert known.struck == (3, 4)
    assert ids(known) == ["on:food", "on:near food"]
    assert known.concepts[0].features == (1, 2)
    assert known.concepts[0].weights == (1.0, 1.0)


FEATURES = [
    make_concept("apple", [1])._replace(id="feature:1"),
    make_concept("stone", [3])._replace(id="feature:3", name="rock"),
    make_concept("vague", [9], "not confirmed")._replace(id="feature:9"),
    make_concept("commas", [7])._replace(id="feature:7", subject="form"),
]


def test_single_features_are_returned_on_request_if_they_are_validated_for_a_meaning():
    labels = named_labels(EVERY, features=FEATURES)
    assert find_known_concepts(labels).named_features == ()
    known = find_known_concepts(labels, with_features=True)
    assert [c.id for c in known.named_features] == ["feature:1", "feature:3"]
    assert ids(known) == ids(find_known_concepts(labels))


@pytest.mark.parametrize(("name", "struck"), [("feature:1", (1,)), ("rock", (3, 4))])
def test_a_single_feature_is_struck_by_its_id_and_by_the_name_that_it_shares(name, struck):
    labels = named_labels(EVERY, features=FEATURES)
    known = find_known_concepts(labels, [name], with_features=True)
    assert known.struck == struck
    kept = {"feature:1": 1, "feature:3": 3}
    assert [c.id for c in known.named_features] == [i for i, f in kept.items() if f not in struck]


def test_a_feature_without_a_name_is_struck_by_its_number_with_or_without_a_dictionary():
    assert find_known_concepts(named_labels(EVERY), ["feature:8"]).struck == (8,)
    bare = replace(named_labels([]), dictionary=None)
    assert find_known_concepts(bare, ["feature:8"]).struck == (8,)
    said = refusal(find_known_concepts, bare, ["feature:64"])
    assert said == "--without 'feature:64': the SAE has features 0 to 63."


@given(st.integers(0, 2**32 - 1), st.integers(0, 20))
def test_random_features_are_live_ones_without_a_name_each_once(seed, n):
    generator = np.random.default_rng(seed)
    live = generator.choice(50, generator.integers(1, 9), replace=False)
    drawn = random_features(n, live, 50, generator)
    features = [f for concept in drawn for f in concept.features]
    assert len(set(features)) == len(features) == min(n, len(live))
    assert set(features) <= set(live.tolist())
    assert all(c.verdict == "not validated" and c.weights == (1.0,) for c in drawn)


def test_a_name_strikes_every_concept_of_that_name():
    known = find_known_concepts(named_labels(EVERY), ["food"])
    assert (known.struck, ids(known)) == ((1, 2, 3, 8), ["on:rock"])


def test_a_concept_that_shares_all_its_features_goes_with_the_struck_one():
    part = make_concept("pebble", [4])
    assert "on:pebble" not in ids(find_known_concepts(named_labels([*EVERY, part]), ["rock"]))


def test_an_unknown_concept_is_refused_with_the_nearest():
    said = refusal(find_known_concepts, named_labels(EVERY), ["foods"])
    assert "--without 'foods'" in said
    assert "Did you mean 'food'?" in said


def test_where_nothing_is_named_striking_out_says_how_to_name_it():
    said = refusal(find_known_concepts, named_labels([]), ["food"])
    assert "saetask dictionary name named" in said
    said = refusal(find_known_concepts, FeatureLabels(None, None), ["food"])
    assert "no dictionary" in said


@pytest.mark.parametrize(
    ("labels", "without", "says"),
    [
        (FeatureLabels(None, None), (), "this SAE has no dictionary"),  # pyright: ignore
        (named_labels([]), (), "the dictionary named has none; `saetask dictionary name named`"),
        (named_labels([VAGUE]), (), "--unvalidated-labels"),
        (named_labels([FOOD]), ("food",), "--without leaves no concept"),
    ],
)
def test_a_detector_of_concepts_is_refused_where_there_are_none(labels, without, says):
    context = replace(
        make_context(None, None, ConceptProbe, client=object()),
        feature_labels=labels,
        known_concepts=find_known_concepts(labels, without),
    )
    assert says in refusal(checked_context, context)
    assert checked_context(replace(context, make_detector=QuickProbe))


def test_features_of_struck_concepts_are_not_seen():
    activations = make_reading({"a": 0.0}, features=[1, 3, 7, 9]).activations
    seen = KnownConcepts((), (3, 9)).seen(activations)
    assert seen.features.tolist() == [1, 7]
    assert NO_CONCEPTS.seen(activations) is activations


def test_observations_hold_the_concepts_and_no_struck_feature(tiny_model, tiny_sae):
    lab = make_lab(tiny_model, tiny_sae, QuickProbe, n_items=8, settings=NO_BASELINE)
    fired = np.unique(lab.observed(lab.samples)[0].features.features)
    known = KnownConcepts((FOOD,), tuple(fired[:3].tolist()))
    context = replace(lab.context, known_concepts=known)
    for observation in observe(context, lab.samples):
        assert not set(observation.features.features.tolist()) & set(known.struck)
        assert observation.concepts == known.concepts
        assert observation.detector_input(UNCALIBRATED, Touch.readings).concepts == (FOOD,)


def test_a_session_keeps_the_fits_with_and_without_a_concept_apart(tiny_model, tiny_sae):
    context = make_context(tiny_model, tiny_sae, QuickProbe)
    struck = replace(context, known_concepts=KnownConcepts((), (3,)))
    named = replace(context, known_concepts=KnownConcepts((FOOD,), ()))
    names = [pipeline_name(each, None, 9, []) for each in (context, struck, named)]
    assert len(set(names)) == 3, "the failure probe may rest on concepts"
    probes = [replace(each, make_detector=ConceptProbe) for each in (context, named)]
    assert pipeline_name(probes[0], None, 9, []) != pipeline_name(probes[1], None, 9, [])


@given(st.integers(0, 2**32 - 1))
def test_random_groups_have_the_sizes_of_the_concepts_and_live_features(seed):
    generator = np.random.default_rng(seed)
    live = generator.choice(50, generator.integers(1, 9), replace=False)
    groups = random_groups(EVERY, live, 50, generator)
    for group, concept in zip(groups, EVERY, strict=True):
        assert len(group.features) == min(len(live), len(concept.features)) == len(group.weights)
        assert len(set(group.features)) == len(group.features)
        assert set(group.features) <= set(live.tolist())
        assert concept.name not in group.text
        assert group.verdict == "not validated"


@given(st.integers(0, 2**32 - 1))
def test_a_live_feature_more_or_less_leaves_the_other_random_features_as_they_are(seed):
    generator = np.random.default_rng(seed)
    live = generator.permutation(50)[: generator.integers(2, 50)]
    lost = live[0]
    drawn = [
        [c.features[0] for c in random_features(50, some, 50, np.random.default_rng(seed))]
        for some in (live, live[1:])
    ]
    assert [f for f in drawn[0] if f != lost] == drawn[1]


@given(st.sets(st.integers(0, 9)))
def test_restricted_concepts_keep_the_weights_of_their_features(kept):
    concepts = [make_concept("c", [1, 5, 9], weights=(0.1, 0.5, 0.9))]
    (restricted,) = restrict_concepts(concepts, np.array(sorted(kept), dtype=int))
    assert set(restricted.features) == kept & {1, 5, 9}
    assert restricted.weights == tuple(feature / 10 for feature in restricted.features)
