"""The concept probe, on activations in which two concepts tell the reading and thirty do not."""

import json
from dataclasses import replace

import numpy as np
import pytest

from saetask.detection import NO_SIGNAL, Misunderstanding, ProbeConfig, reason_for_silence
from saetask.plugins import PluginRegistry
from saetask_plugins.detectors.concept_probe import ConceptProbe
from saetask_plugins.detectors.concept_selection import (
    COMPARED,
    MOST_CONCEPTS,
    candidate_concepts,
    fit_weights,
    order_of_entry,
)
from saetask_plugins.detectors.failure_probe import FailureProbe
from tests.helpers.planted_concepts import (
    CONCEPTS,
    conceptual_sample,
    make_concept,
    sum_of_parts,
)
from tests.helpers.planted_readings import D_SAE, PLANTED
from tests.helpers.refusals import refusal

OF_CONCEPTS = ("log_odds", "rest", "unlisted", "concepts", "against", "unnamed_tokens")
"""What a finding has only where features have concepts."""
TELLING = {"on:reading a", "on:reading b"}


@pytest.fixture(scope="module")
def sample():
    return conceptual_sample()


@pytest.fixture(scope="module")
def fresh():
    return conceptual_sample(1)


@pytest.fixture(scope="module")
def fitted(sample):
    return sample.fit(ConceptProbe())


@pytest.fixture(scope="module")
def probe(fitted):
    return fitted[0]


@pytest.fixture(scope="module")
def found(probe, fresh):
    return [probe.detect(reading) for reading in fresh.readings]


# what there is to find is found, and named


def test_planted_concepts_predict_failures_of_held_out_prompts(fitted, sample, fresh, found):
    assert sample.auroc(fitted[1]) > 0.9
    assert fresh.auroc(found) > 0.9


def test_the_planted_concepts_are_chosen_and_weigh_most(probe):
    chosen = probe.summary()["concepts"]
    strength = {
        c["id"]: max(abs(w) for of_reading in c["weights"].values() for w in of_reading.values())
        for c in chosen
    }
    assert set(sorted(strength, key=strength.__getitem__)[-2:]) == TELLING


def test_a_finding_names_a_telling_concept_first_by_its_presence_or_its_absence(fresh, found):
    stated = [m for m, _ in fresh.stated(found)]
    assert len(stated) > 50
    assert np.mean([m.concepts[0].id in TELLING for m in stated]) > 0.9
    for m in stated:
        for concept in m.concepts:
            if concept.id in TELLING:
                assert bool(concept.tokens) == (concept.id == f"on:reading {concept.reading}")


def test_it_is_found_by_its_name():
    assert PluginRegistry().get("detector", "concept-probe") is ConceptProbe


# sparse


def test_it_uses_sixteen_concepts_at_most_and_names_five_for_and_five_against(probe, found):
    assert probe.summary()["n_concepts"] == len(probe.concepts) <= MOST_CONCEPTS
    for finding in found:
        for m in finding.misunderstandings:
            signs = [concept.contribution > 0 for concept in m.concepts]
            assert sum(signs) <= 5
            assert len(signs) - sum(signs) <= 5
            assert signs == sorted(signs, reverse=True)


def test_single_named_features_stand_beside_groups(sample, fresh):
    """Of groups that tell nothing none is chosen before the features that do."""
    named = tuple(make_concept(f"f{f}", [f])._replace(id=f"feature:{f}") for f in range(D_SAE))
    single = replace_concepts(sample, CONCEPTS[2:])
    single.readings = [replace(r, named_features=named) for r in single.readings]
    probe, _ = single.fit(ConceptProbe())
    planted = {f for features in PLANTED.values() for f in features}
    assert {c.features for c in probe.concepts} >= {(f,) for f in planted}
    m = probe.explain(fresh.readings[0], "a")
    assert m.log_odds == pytest.approx(sum_of_parts(m), abs=1e-9)


@pytest.mark.parametrize("subject", ["form", "contrast"])
def test_what_is_no_meaning_is_no_candidate(sample, subject):
    other = CONCEPTS[0]._replace(subject=subject)
    left = replace_concepts(sample, (other, *CONCEPTS[1:]))
    assert candidate_concepts(left.readings) == CONCEPTS[1:]


@pytest.mark.parametrize(("n_prompts", "is_candidate"), [(4, False), (5, True)])
def test_what_fires_in_few_prompts_is_no_candidate(sample, n_prompts, is_candidate):
    rare = make_concept("rare", [D_SAE - 1])._replace(id="feature:rare")
    left = replace_concepts(sample, (rare, *CONCEPTS))
    others = np.arange(D_SAE - 1)
    firing = [r for r in left.readings if D_SAE - 1 in r.pooled("text").indices]
    kept = {id(r) for r in firing[:n_prompts]}
    assert len(kept) == n_prompts
    left.readings = [
        r
        if id(r) in kept
        else replace(r, activations=r.activations.restricted(others), computed={})
        for r in left.readings
    ]
    assert (rare in candidate_concepts(left.readings)) == is_candidate


def test_a_random_subset_of_as_many_features_leaves_candidates(sample):
    """The control draws as many live features as the detector may choose among."""
    probe, _ = sample.fit(ConceptProbe())
    assert probe.summary()["n_stable_features"] == len({f for c in CONCEPTS for f in c.features})


def test_three_readings_share_the_sixteen_concepts(sample):
    golds = sample.with_a_third_reading()
    probe = ConceptProbe()
    probe.fit(sample.readings, golds, sample.groups)
    assert probe.probe.weights.shape[0] == 3
    assert len(probe.concepts) <= MOST_CONCEPTS
    for reading in sample.readings[:10]:
        m = probe.explain(reading, "c")
        assert m.log_odds == pytest.approx(sum_of_parts(m), abs=1e-9)
        assert all((c.reading == "c") == (c.contribution > 0) for c in m.concepts)


def test_the_path_takes_the_telling_column_first_and_each_concept_once():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 300)
    design = generator.random((300, 2, 40))
    design[:, 1, 7] += labels
    design[:, :, 9] = 0.0
    order = order_of_entry(design, labels).tolist()
    assert order[0] == 7
    assert 9 not in order
    assert len(set(order)) == len(order) == MOST_CONCEPTS


def test_of_many_concepts_those_whose_means_differ_are_on_the_path():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 300)
    design = generator.random((300, 2, 5 * COMPARED))
    for label, concept in enumerate((3, 250, 499)):
        design[:, 1, concept] += labels == label
    assert set(order_of_entry(design, labels)[:3].tolist()) == {3, 250, 499}


def test_nothing_that_varies_is_one_concept_without_weight():
    design, labels = np.zeros((20, 2, 5)), np.arange(20) % 2
    assert order_of_entry(design, labels).tolist() == [0]
    assert not fit_weights(design, labels, 0.1).weights.any()


# honest


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_permuted_readings_lead_to_no_finding(seed):
    sample = conceptual_sample(seed)
    order = np.random.default_rng(seed).permutation(len(sample.golds))
    probe = ConceptProbe()
    held_out = probe.fit(sample.readings, [sample.golds[i] for i in order], sample.groups)
    assert probe.silence == NO_SIGNAL
    assert not any(finding.misunderstandings for finding in held_out)
    assert reason_for_silence(probe, held_out[0]) == NO_SIGNAL


def test_concepts_are_chosen_without_the_held_out_groups():
    """A concept that tells each group, whose items have one reading, tells nothing of others."""
    sample = conceptual_sample(group_features=True, plant=False)
    _, held_out = sample.fit(ConceptProbe())
    assert not any(finding.misunderstandings for finding in held_out)


def test_the_log_odds_are_those_of_the_probabilities(probe, fresh):
    """With two readings, the odds are e to the log-odds, the answer's part and the bias."""
    for reading in fresh.readings[:20]:
        p = probe.detect(reading).probabilities
        scores = reading.answer_scores
        answer = probe.stack[1] * (scores["a"] - scores["b"]) + probe.stack[2] - probe.stack[3]
        log_odds = probe.explain(reading, "a").log_odds
        assert np.log(p["a"] / p["b"]) == pytest.approx(log_odds + answer, abs=1e-9)


def test_evidence_is_where_the_features_fire(probe, fresh):
    """A slow twin: every firing of the prompt is looked at."""
    by_id = {concept.id: concept for concept in CONCEPTS}
    for reading in fresh.readings[:20]:
        for concept in probe.explain(reading, "a").concepts:
            own = by_id[concept.id]
            firings = [f for f in reading.activations.firings() if f.feature in own.features]
            assert set(concept.features) <= {firing.feature for firing in firings}
            strongest = {}
            for f in firings:
                strongest[f.span.start] = max(strongest.get(f.span.start, 0.0), f.value)
            for token in concept.tokens:
                assert token.text == reading.content[token.start : token.end]
                assert token.activation == pytest.approx(strongest[token.start])
            added = [abs(token.adds) for token in concept.tokens]
            assert added == sorted(added, reverse=True)
            assert concept.contexts == list(own.examples[:3])
            assert (concept.name, concept.verdict) == (own.text, own.verdict)


def test_a_concept_that_fires_less_than_usual_speaks_and_lists_no_token(probe):
    silent = conceptual_sample(2).silenced()
    m = probe.explain(replace(silent.readings[0], concepts=CONCEPTS), "a")
    speaks = {concept.id: concept.reading for concept in m.concepts}
    assert (speaks["on:reading a"], speaks["on:reading b"]) == ("b", "a")
    assert not any(concept.tokens or concept.features for concept in m.concepts)
    assert m.features == []
    assert m.log_odds == pytest.approx(sum_of_parts(m), abs=1e-9)


def test_the_average_prompt_is_explained_by_the_bias_alone(probe):
    at_mean = probe.stack[0] * probe.probe.log_odds(probe.means[None])[0]
    silent = conceptual_sample(2).silenced().readings[0]
    m = probe.explain(silent, "a")
    unlisted = len(probe.concepts) > len(m.concepts)
    assert unlisted or m.rest == pytest.approx(at_mean[0] - at_mean[1])


# controls, files, errors


def test_moved_concepts_have_other_features_and_no_name(probe, sample):
    everything = dict(zip(range(D_SAE), np.roll(np.arange(D_SAE), 1).tolist(), strict=True))
    moved = probe.on_features(everything, sample.readings, sample.golds)
    for concept, own in zip(moved.concepts, probe.concepts, strict=True):
        assert concept.features == tuple(everything[f] for f in own.features)
        assert concept.text == f"features in place of '{own.name}'"
        assert concept.verdict == "not validated"
    assert [c.id for c in probe.concepts] != [c.id for c in moved.concepts]
    assert {7, 11, 23, 42} & set(probe.feature_ids().tolist())


def test_its_state_goes_through_json(probe, fresh, found):
    state = probe.state_dict()
    arrays = {name: value for name, value in state.items() if isinstance(value, np.ndarray)}
    rest = {name: value for name, value in state.items() if name not in arrays}
    other = ConceptProbe()
    other.load_state_dict({**json.loads(json.dumps(rest)), **arrays})
    assert other.concepts == probe.concepts
    assert [other.detect(reading) for reading in fresh.readings[:20]] == found[:20]
    assert json.dumps(other.summary()) == json.dumps(probe.summary())


def test_without_concepts_the_error_says_how_to_name_them(sample):
    sample = conceptual_sample(n_groups=4, concepts=())
    said = refusal(ConceptProbe().fit, sample.readings, sample.golds, sample.groups)
    assert "saetask dictionary name" in said


def test_a_struck_concept_changes_the_fit(sample):
    """Without the features of the concepts that tell the reading, nothing is found."""
    left = np.setdiff1d(np.arange(D_SAE), [f for pair in PLANTED.values() for f in pair])
    struck = conceptual_sample(concepts=CONCEPTS[2:])
    struck.readings = [
        replace(r, activations=r.activations.restricted(left), computed={}) for r in struck.readings
    ]
    probe, held_out = struck.fit(ConceptProbe())
    assert not TELLING & {concept.id for concept in probe.concepts}
    assert not any(finding.misunderstandings for finding in held_out)


# the failure probe explains itself by concepts, too


def test_a_failure_probe_without_preference_finds_the_same_with_and_without_concepts(sample):
    plain = replace_concepts(sample, ())
    indifferent = ProbeConfig(other_scales=())
    told, held_out = sample.fit(FailureProbe(indifferent))
    other, without = plain.fit(FailureProbe(indifferent))
    named = []
    assert [f.probabilities for f in held_out] == [f.probabilities for f in without]
    for one, two in zip(held_out, without, strict=True):
        for m, bare in zip(one.misunderstandings, two.misunderstandings, strict=True):
            of_concepts = m._asdict() | {n: getattr(bare, n) for n in OF_CONCEPTS}
            assert Misunderstanding(**of_concepts) == bare
            assert m.log_odds == pytest.approx(sum_of_parts(m), abs=1e-9)
            named.append(m.concepts[0].id in TELLING)
    assert np.mean(named) > 0.8
    assert json.dumps(told.summary()) == json.dumps(other.summary())


def test_of_features_that_tell_as_much_the_failure_probe_rests_on_those_with_a_name(sample, fresh):
    planted = {reading: features[0] for reading, features in PLANTED.items()}
    named = tuple(make_concept(f"half of {r}", [f]) for r, f in planted.items())
    probe, _ = replace_concepts(sample, named).fit(FailureProbe())
    indifferent, _ = replace_concepts(sample, ()).fit(FailureProbe())
    assert probe.other_scale < indifferent.other_scale == 1.0
    shares = []
    for each in (probe, indifferent):
        sizes = np.abs(each.weights).sum(0)
        of_named = np.isin(each.columns % D_SAE, list(planted.values()))
        shares.append(sizes[of_named].sum() / sizes.sum())
    assert shares[0] > 2 * shares[1]
    found = [probe.detect(reading) for reading in fresh.readings]
    assert fresh.auroc(found) > 0.9


def replace_concepts(sample, concepts):
    changed = conceptual_sample(n_groups=0)
    changed.groups, changed.golds = sample.groups, sample.golds
    changed.readings = [replace(reading, concepts=concepts) for reading in sample.readings]
    return changed
