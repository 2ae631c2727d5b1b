"""The sense that the context supports against the one that is held, on planted signatures."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from saetask import DetectorInput
from saetask_plugins.detectors.sense_conflict import NAMED_FEATURES, SenseConflict
from tests.helpers.planted_readings import (
    D_SAE,
    N_TOKENS,
    PLANTED,
    REGIONS,
    SPANS,
    Fitted,
    PlantedSample,
    activations,
    answer_scores,
    share_found_in_noise,
)
from tests.helpers.saved_state import saved_and_loaded
from tests.helpers.two_spans import Pairs

HOLDS = {"a": 61, "b": 62}
"""Features at the answer that fire for the sense that the model really holds."""


class Held(PlantedSample):
    """Features at the answer say what the model holds; half of its answers are drawn by lot."""

    def __init__(self, seed=0):
        super().__init__(seed, plant=False)
        generator = np.random.default_rng(seed)
        for i, gold in enumerate(self.golds):
            held = gold if generator.random() < 0.85 else "ab"[gold == "a"]
            answer = held if generator.random() < 0.5 else "ab"[generator.integers(2)]
            tokens = {t: {} for t in range(N_TOKENS)}
            for firing in self.readings[i].activations.firings():
                if firing.feature not in HOLDS.values():
                    tokens[firing.token][firing.feature] = firing.value
            tokens[N_TOKENS - 1][HOLDS[held]] = 9.0
            scores = answer_scores(answer, generator)
            found = activations(tokens, REGIONS)
            self.readings[i] = DetectorInput(found, self.readings[i].content, SPANS, scores)


@pytest.fixture(scope="module")
def fitted():
    return Fitted(SenseConflict())


@pytest.fixture(scope="module")
def pairs():
    return Pairs().fit(SenseConflict())


@pytest.fixture(scope="module")
def held():
    return Held().fit(SenseConflict())


# what there is to find is found


def test_planted_signatures_predict_failures_of_held_out_prompts(fitted):
    assert fitted.sample.auroc(fitted.held_out) > 0.85
    assert fitted.fresh.auroc(fitted.found) > 0.85
    assert fitted.detector.summary()["context"] == "signatures"


def test_findings_state_the_supported_sense_and_name_its_features(fitted):
    stated = fitted.fresh.stated(fitted.found)
    assert 0.3 < len(stated) / len(fitted.found) < 0.5  # the model is wrong in 40 %
    assert np.mean([m.reading == gold for m, gold in stated]) > 0.85
    assert {(m.span, m.detector) for m, _ in stated} == {(SPANS["target"], "sense-conflict")}
    firsts = [m.features[0].id in PLANTED[m.reading] for m, _ in stated if m.features]
    assert len(firsts) > 50
    assert np.mean(firsts) > 0.9
    assert all(len(m.features) <= NAMED_FEATURES for m, _ in stated)


def test_the_evidence_lies_on_the_target(fitted):
    for finding, reading in zip(fitted.found, fitted.fresh.readings, strict=True):
        on_target = reading.pooled("target").toarray()[0]
        for misunderstanding in finding.misunderstandings:
            for evidence in misunderstanding.features:
                assert evidence.activation == pytest.approx(on_target[evidence.id], rel=1e-4)


def test_prompts_without_a_target_are_read_on_their_text():
    regions = {name: span for name, span in REGIONS.items() if name != "target"}
    sample = PlantedSample(n_groups=30, regions=regions)
    _, findings = sample.fit(SenseConflict())
    assert sample.auroc(findings) > 0.7
    assert {m.span for f in findings for m in f.misunderstandings} == {SPANS["text"]}


def test_features_at_the_answer_tell_the_held_sense_where_the_answer_tells_it_worse(held):
    detector, findings = held
    assert detector.summary()["held_by"] == "features"
    fresh = Held(seed=1)
    assert fresh.auroc([detector.detect(r) for r in fresh.readings]) > 0.7
    assert Held().auroc(findings) > 0.7


def test_features_that_hold_another_sense_are_named_with_a_weight_below_zero(held):
    fresh = Held(seed=1)
    n_named = 0
    for reading in fresh.readings:
        for name, other in ("ab", "ba"):
            evidence = held[0].explain(reading, name).features
            against = [e for e in evidence if e.weight < 0]
            if reading.pooled("answer")[0, HOLDS[other]]:
                assert HOLDS[other] in {e.id for e in against}
                n_named += 1
            else:
                assert HOLDS[other] not in {e.id for e in evidence}
    assert n_named == len(fresh.readings)


def test_without_features_at_the_answer_the_answer_itself_is_the_held_sense(fitted):
    assert fitted.detector.held is None
    assert fitted.detector.summary()["held_by"] == "answer"


def test_two_spans_are_compared_with_each_other(pairs):
    detector, findings = pairs
    fresh = Pairs(seed=1)
    assert detector.summary()["context"] == "overlap"
    assert Pairs().auroc(findings) > 0.8
    assert fresh.auroc([detector.detect(r) for r in fresh.readings]) > 0.8


def test_two_spans_are_explained_by_what_they_share_or_do_not(pairs):
    for reading in Pairs(seed=1).readings[:30]:
        one, two = (reading.pooled(name).toarray()[0] for name in ("target", "other"))
        same = pairs[0].explain(reading, "same").features
        assert all(one[e.id] and two[e.id] for e in same)
        apart = pairs[0].explain(reading, "different").features
        assert apart
        assert all(one[e.id] != two[e.id] for e in apart)


# and what is not there is not


@pytest.mark.parametrize("seed", [2, 3])
def test_features_that_carry_nothing_lead_to_nearly_no_findings(seed):
    assert share_found_in_noise(SenseConflict(), seed) < 0.02


def test_spans_that_are_alike_in_both_classes_lead_to_nearly_no_findings():
    detector, held_out = Pairs(seed=2, plant=False).fit(SenseConflict())
    findings = [detector.detect(r) for r in Pairs(seed=12, plant=False).readings]
    assert np.mean([bool(f.misunderstandings) for f in [*held_out, *findings]]) < 0.02


def test_weights_on_other_features_lose_the_signal(fitted):
    control, fresh = fitted.on_other_features(), fitted.fresh
    assert fresh.auroc(fitted.finds(control)) < fresh.auroc(fitted.found) - 0.2
    assert len(control.feature_ids()) == len(fitted.detector.feature_ids())
    assert [fitted.detector.detect(r) for r in fresh.readings[:20]] == fitted.found[:20]


def test_spans_whose_features_are_compared_with_others_lose_the_signal(pairs):
    sample, fresh = Pairs(), Pairs(seed=1)
    shuffled = np.random.default_rng(0).permutation(D_SAE).tolist()
    control = pairs[0].on_features(
        dict(zip(shuffled, np.roll(shuffled, 1).tolist(), strict=True)),
        sample.readings,
        sample.golds,
    )
    assert fresh.auroc([control.detect(r) for r in fresh.readings]) < 0.7


def test_detecting_does_not_depend_on_other_prompts_or_change_what_was_learnt(fitted):
    again = [fitted.detector.detect(r) for r in reversed(fitted.fresh.readings)]
    assert again == fitted.found[::-1]


# state


@pytest.mark.parametrize("kind", ["pairs", "held"])
def test_overlap_and_held_senses_survive_json_and_safetensors(kind, request):
    detector, _ = request.getfixturevalue(kind)
    fresh, other = {"pairs": Pairs, "held": Held}[kind](seed=1), saved_and_loaded(detector)
    assert [other.detect(r) for r in fresh.readings] == [detector.detect(r) for r in fresh.readings]
    assert other.summary() == detector.summary()


def test_three_senses_are_told_apart():
    sample = PlantedSample(n_groups=30)
    golds = sample.with_a_third_reading()
    findings = SenseConflict().fit(sample.readings, golds, sample.groups)
    likely = np.array([[f.probabilities[name] for name in "abc"] for f in findings])
    assert roc_auc_score(golds, likely, multi_class="ovr") > 0.8
