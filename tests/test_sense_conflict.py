"""The sense that the context supports against the one that is held, on planted signatures."""

import json

import numpy as np
import pytest
from planted_readings import (
    D_SAE,
    N_TOKENS,
    PLANTED,
    REGIONS,
    SPANS,
    Sample,
    activations,
    answer_scores,
)
from refusals import refusal
from saetask_plugins.detectors.sense_conflict import NAMED_FEATURES, SenseConflict
from safetensors.numpy import load, save
from sklearn.metrics import roc_auc_score
from two_spans import two_span_reading

from saetask import Reading
from saetask.arms import frequency_matched

HOLDS = {"a": 61, "b": 62}
"""Features at the answer that fire for the sense that the model really holds."""


class Held(Sample):
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
            self.readings[i] = Reading(found, self.readings[i].content, SPANS, scores)


class Pairs(Sample):
    """Two spans that share their sense's features where the sense is the same."""

    def __init__(self, seed=0, plant=True):
        generator = np.random.default_rng(seed)
        self.readings, self.golds, self.groups = [], [], []
        for i in range(180):
            gold = ("same", "different")[i % 2]
            senses = generator.choice(6, size=2, replace=False)
            if gold == "same" or not plant:
                senses[1] = senses[0]
            spans = []
            for sense in senses:
                noise = generator.choice(np.arange(60, D_SAE), 8, replace=False)
                own = [f for f in range(10 * sense, 10 * sense + 8) if generator.random() < 0.6]
                spans.append({f: 1 + float(generator.gamma(2.0)) for f in [*noise.tolist(), *own]})
            right = generator.random() < 0.6
            answer = gold if right else {"same": "different", "different": "same"}[gold]
            scores = answer_scores("ab"[answer == "different"], generator)
            scores = {"same": scores["a"], "different": scores["b"]}
            self.readings.append(two_span_reading(*spans, scores))
            self.golds.append(gold)
            self.groups.append(f"w{i // 6}")


@pytest.fixture(scope="module")
def planted():
    return Sample()


@pytest.fixture(scope="module")
def fitted(planted):
    return planted.fit(SenseConflict())


@pytest.fixture(scope="module")
def fresh():
    return Sample(seed=1)


@pytest.fixture(scope="module")
def found(fitted, fresh):
    return [fitted[0].detect(reading) for reading in fresh.readings]


@pytest.fixture(scope="module")
def pairs():
    return Pairs().fit(SenseConflict())


@pytest.fixture(scope="module")
def held():
    return Held().fit(SenseConflict())


# what there is to find is found


def test_planted_signatures_predict_failures_of_held_out_prompts(fitted, planted, found, fresh):
    assert planted.auroc(fitted[1]) > 0.85
    assert fresh.auroc(found) > 0.85
    assert fitted[0].summary()["context"] == "signatures"


def test_findings_state_the_supported_sense_and_name_its_features(found, fresh):
    stated = [
        (finding.misunderstandings[0], gold)
        for finding, gold in zip(found, fresh.golds, strict=True)
        if finding.misunderstandings
    ]
    assert 0.3 < len(stated) / len(found) < 0.5  # the model is wrong in 40 %
    assert np.mean([m.reading == gold for m, gold in stated]) > 0.85
    assert {(m.span, m.detector) for m, _ in stated} == {(SPANS["target"], "sense-conflict")}
    firsts = [m.features[0].id in PLANTED[m.reading] for m, _ in stated if m.features]
    assert len(firsts) > 50
    assert np.mean(firsts) > 0.9
    assert all(len(m.features) <= NAMED_FEATURES for m, _ in stated)


def test_the_evidence_lies_on_the_target(found, fresh):
    for finding, reading in zip(found, fresh.readings, strict=True):
        on_target = reading.pooled("target").toarray()[0]
        for misunderstanding in finding.misunderstandings:
            for evidence in misunderstanding.features:
                assert evidence.activation == pytest.approx(on_target[evidence.id], rel=1e-4)


def test_prompts_without_a_target_are_read_on_their_text():
    regions = {name: span for name, span in REGIONS.items() if name != "target"}
    sample = Sample(n_groups=30, regions=regions)
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
    assert fitted[0].held is None
    assert fitted[0].summary()["held_by"] == "answer"


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
    sample = Sample(seed=seed, plant=False)
    detector, held_out = sample.fit(SenseConflict())
    fresh = Sample(seed=seed + 10, plant=False)
    findings = [detector.detect(reading) for reading in fresh.readings]
    assert np.mean([bool(f.misunderstandings) for f in [*held_out, *findings]]) < 0.02


def test_spans_that_are_alike_in_both_classes_lead_to_nearly_no_findings():
    detector, held_out = Pairs(seed=2, plant=False).fit(SenseConflict())
    findings = [detector.detect(r) for r in Pairs(seed=12, plant=False).readings]
    assert np.mean([bool(f.misunderstandings) for f in [*held_out, *findings]]) < 0.02


def test_what_is_known_of_a_group_alone_does_not_help_on_prompts_held_out():
    sample = Sample(plant=False, group_features=True)
    _, held_out = sample.fit(SenseConflict())
    assert 0.35 < sample.auroc(held_out) < 0.65


def test_weights_on_other_features_lose_the_signal(fitted, planted, fresh, found):
    density = sum(np.bincount(r.activations.features, minlength=D_SAE) for r in planted.readings)
    mapping = frequency_matched(density, np.random.default_rng(0))
    control = fitted[0].on_features(mapping, planted.readings, planted.golds)
    moved = [control.detect(reading) for reading in fresh.readings]
    assert fresh.auroc(moved) < fresh.auroc(found) - 0.2
    assert len(control.feature_ids()) == len(fitted[0].feature_ids())
    assert [fitted[0].detect(r) for r in fresh.readings[:20]] == found[:20]


def test_spans_whose_features_are_compared_with_others_lose_the_signal(pairs):
    sample, fresh = Pairs(), Pairs(seed=1)
    shuffled = np.random.default_rng(0).permutation(D_SAE).tolist()
    control = pairs[0].on_features(
        dict(zip(shuffled, np.roll(shuffled, 1).tolist(), strict=True)),
        sample.readings,
        sample.golds,
    )
    assert fresh.auroc([control.detect(r) for r in fresh.readings]) < 0.7


def test_detecting_does_not_depend_on_other_prompts_or_change_what_was_learnt(fitted, fresh, found):
    assert [fitted[0].detect(r) for r in reversed(fresh.readings)] == found[::-1]


# state


@pytest.mark.parametrize("kind", ["fitted", "pairs", "held"])
def test_what_was_learnt_survives_json_and_safetensors(kind, request):
    detector, _ = request.getfixturevalue(kind)
    fresh = {"fitted": Sample, "pairs": Pairs, "held": Held}[kind](seed=1).readings
    state = detector.state_dict()
    arrays = {k: np.ascontiguousarray(v) for k, v in state.items() if isinstance(v, np.ndarray)}
    values = json.loads(json.dumps({k: v for k, v in state.items() if k not in arrays}))
    other = SenseConflict()
    other.load_state_dict({**values, **load(save(arrays))})
    assert [other.detect(r) for r in fresh] == [detector.detect(r) for r in fresh]
    assert other.summary() == json.loads(json.dumps(detector.summary()))


def test_three_senses_are_told_apart():
    sample = Sample(n_groups=30)
    golds = [
        "c" if not any(r.pooled("target")[0, f] for f in (7, 11, 23, 42)) else gold
        for r, gold in zip(sample.readings, sample.golds, strict=True)
    ]
    detector = SenseConflict()
    findings = detector.fit(sample.readings, golds, sample.groups)
    likely = np.array([[f.probabilities[name] for name in "abc"] for f in findings])
    assert roc_auc_score(golds, likely, multi_class="ovr") > 0.8


# refusals


def test_a_fit_split_of_one_reading_or_of_two_groups_is_refused():
    sample = Sample(n_groups=2)
    fit = SenseConflict().fit
    assert "two at least" in refusal(fit, sample.readings, ["a"] * 12, sample.groups)
    assert "has 2 groups; it needs 3" in refusal(fit, sample.readings, sample.golds, sample.groups)
