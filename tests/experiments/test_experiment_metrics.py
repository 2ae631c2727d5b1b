"""The figures of a run, recomputed from made-up results in the plain way."""

import json
import math

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from saetask.annotation import Annotation
from saetask.annotation.prompt_writer import ArmPrompt
from saetask.data import Candidate, Item, Score
from saetask.data.prompts import as_prompt
from saetask.data.samples import Sample
from saetask.detection.base import Finding
from saetask.experiments.arms import ARMS
from saetask.experiments.run_folder import RunDescription, make_summary
from saetask.experiments.runner import ExperimentResult
from saetask.experiments.scoring import SampleResult
from saetask.experiments.seed_spread import summarise_seeds
from saetask.report.arms import ArmSpec
from saetask.report.summary import ModelDescription, SAEDescription
from saetask.utils.statistics import smallest_detectable_difference
from tests.helpers.every_arm import EVERY_ARM

N = 90
DETECTORS = ("saetask", "moved-weights", "dense-probe")
READINGS = "abc"
CANDIDATES = [Candidate(f" {name}", name) for name in READINGS]
MAJORITIES = ["a", "c"]
"""The most frequent reading of each of two folds."""
CREDITED = [arm.spec.name for arm in ARMS if arm.spec.in_sae_credit]
SHARES = dict(zip(EVERY_ARM, np.linspace(0.35, 0.8, len(EVERY_ARM))))
NOTE = Annotation("(a note)", "end", "notes")


def answered(sample, arm, right, random, flexible=None):
    """Returns a random answer, whose candidates were ranked."""
    note = NOTE._replace(text=f"(a note of {arm})")
    annotation = note if random.random() < 0.5 and arm != "original" else None
    share = random.uniform(0.3, 0.99)
    scores = {" a": math.log(share), " b": math.log(1 - share)}
    score = Score("a", bool(right), flexible)
    said = max(scores, key=scores.__getitem__)
    raw = Score(said, bool(random.random() < 0.9 * SHARES[arm]))
    written = ArmPrompt(sample.prompt, annotation, [])
    fold = int(sample.id) % 2
    return SampleResult(sample, fold, arm, written, " a", score, scores, said, raw, scores)


def made_up(arms=EVERY_ARM, seed=0, right=None, golds=None, second=False, flexible=None):
    """Returns a result of random answers and findings.

    Args:
        arms: Those that were run.
        seed: Seed.
        right: Whether all answers of the original arm are; None draws them.
        golds: Right readings of the items in turn.
        second: Was another question asked?
        flexible: The looser judgement of every answer.
    """
    random = np.random.default_rng(seed)
    golds = golds or [*READINGS, None]
    samples = []
    for i in range(N):
        prompt = as_prompt("x" * random.integers(3, 40))
        item = Item(f"{i:03}", f"group {i // 3}", {})
        right_one = golds[i % len(golds)]
        correct = np.array([name == right_one for name in READINGS])
        samples.append(Sample(item, prompt, CANDIDATES, correct, right_one))
    results = []
    for arm in arms:
        for sample in samples:
            correct = random.random() < SHARES[arm]
            if arm == "original" and right is not None:
                correct = right
            results.append(answered(sample, arm, correct, random, flexible))
    findings = {name: {sample.item.id: _found(random) for sample in samples} for name in DETECTORS}
    asked = [
        answered(sample, arm, random.random() < SHARES[arm], random)
        for arm in ("original", "gated-placebo", "saetask")
        for sample in samples[:40]
        if second
    ]
    specs = [entry.spec for entry in ARMS if entry.spec.name in arms]
    return ExperimentResult(specs, results, asked, findings, [], MAJORITIES, {})


def _found(random):
    shares = random.dirichlet(np.ones(3)).round(1) + 0.1  # with ties
    probabilities = dict(zip(READINGS, (shares / shares.sum()).tolist()))
    return Finding(round(random.random(), 1), [], probabilities)


@pytest.fixture(scope="module")
def result():
    return made_up(second=True)


def written(result, seed):
    """Returns what `summary.json` holds of a result."""
    model = {"name": "tiny", "fingerprint": "a", "dtype": "float32", "device": "cpu"}
    sae = {"name": "tiny", "hook_name": "blocks.0.hook_resid_post", "d_sae": 8, "fingerprint": "b"}
    fit = {"fvu": 0.1, "l0": 2.0, "cross_entropy_recovered": 0.9}
    described = ModelDescription(**model), SAEDescription(**sae, **fit)
    summary = make_summary(
        result, RunDescription("made-up", *described, 0, 1.0, seed, "rank", None)
    )
    return json.loads(json.dumps(summary.to_json()))


@pytest.fixture(scope="module")
def summary(result):
    return written(result, 0)


def correct(result, arm):
    return [
        sample_result.score.correct for sample_result in result.results if sample_result.arm == arm
    ]


def paired(before, after):
    """Returns the paired comparison in the plain way, but for the interval."""
    fixed = sum(b < a for b, a in zip(before, after, strict=True))
    broken = sum(b > a for b, a in zip(before, after, strict=True))
    p = binomtest(fixed, fixed + broken).pvalue if fixed + broken else 1.0
    return {
        "fixed": fixed,
        "broken": broken,
        "difference": pytest.approx((sum(after) - sum(before)) / len(before)),
        "mcnemar_p": pytest.approx(p),
    }


def holm(p_values):
    m, ordered = len(p_values), sorted(p_values.values())
    return {
        name: min(1.0, max((m - i) * q for i, q in enumerate(ordered) if q <= p))
        for name, p in p_values.items()
    }


def test_each_arm_is_compared_with_the_original_as_by_hand(result, summary):
    assert list(summary["arms"]) == list(EVERY_ARM)
    original = correct(result, "original")
    p_values = {}
    for arm, entry in summary["arms"].items():
        values = correct(result, arm)
        assert (entry["n"], entry["accuracy"]) == (N, pytest.approx(np.mean(values)))
        noted = [o.written.annotation for o in result.results if o.arm == arm]
        assert entry["annotated"] == sum(note is not None for note in noted)
        assert entry["ci95"][0] <= entry["accuracy"] <= entry["ci95"][1]
        if arm == "original":
            assert not {"difference", "holm_p", "detectable_difference"} & set(entry)
            continue
        told = paired(original, values)
        assert {name: entry[name] for name in told} == told
        p_values[arm] = entry["mcnemar_p"]
        assert entry["detectable_difference"] == pytest.approx(
            smallest_detectable_difference(N, (entry["fixed"] + entry["broken"]) / N)
        )
        low, high = entry["difference_ci95"]
        assert low <= entry["difference"] <= high
    assert {a: summary["arms"][a]["holm_p"] for a in p_values} == pytest.approx(holm(p_values))


def test_saetask_is_compared_with_every_control_and_with_controls_only(result, summary):
    no_controls = {"original", "saetask", "oracle", "always", "closed-loop", "steer"}
    controls = set(EVERY_ARM) - no_controls
    assert set(summary["against"]) == controls
    own = correct(result, "saetask")
    for arm, entry in summary["against"].items():
        told = paired(correct(result, arm), own)
        assert {name: entry[name] for name in told} == told
        assert entry["ci95"][0] <= entry["difference"] <= entry["ci95"][1]
    p_values = {arm: entry["mcnemar_p"] for arm, entry in summary["against"].items()}
    found = {arm: entry["holm_p"] for arm, entry in summary["against"].items()}
    assert found == pytest.approx(holm(p_values))
    assert any(found[arm] > p_values[arm] for arm in found)


def raw_correct(result, arm):
    return [o.raw_score.correct for o in result.results if o.arm == arm]


def test_raw_answers_are_compared_beside_the_calibrated_ones_in_the_same_way(result, summary):
    original, own = raw_correct(result, "original"), raw_correct(result, "saetask")
    raw = {arm: entry["raw"] for arm, entry in summary["arms"].items()}
    for arm, entry in raw.items():
        values = raw_correct(result, arm)
        assert entry["accuracy"] == pytest.approx(np.mean(values))
        assert entry["ci95"][0] <= entry["accuracy"] <= entry["ci95"][1]
        if arm == "original":
            assert set(entry) == {"accuracy", "ci95"}
            continue
        told = paired(original, values)
        assert {name: entry[name] for name in told} == told
    assert sum(e["accuracy"] != summary["arms"][arm]["accuracy"] for arm, e in raw.items()) > 10
    p_values = {arm: entry["mcnemar_p"] for arm, entry in raw.items() if arm != "original"}
    assert {arm: raw[arm]["holm_p"] for arm in p_values} == pytest.approx(holm(p_values))
    against = {arm: entry["raw"] for arm, entry in summary["against"].items()}
    for arm, entry in against.items():
        told = paired(raw_correct(result, arm), own)
        assert {name: entry[name] for name in told} == told
    p_values = {arm: entry["mcnemar_p"] for arm, entry in against.items()}
    found = {arm: entry["holm_p"] for arm, entry in against.items()}
    assert found == pytest.approx(holm(p_values))


def test_what_the_model_says_stands_beside_chance_and_the_majority_of_the_fit_splits(
    result, summary
):
    rows = original_rows(result)
    said = [o.raw_output.strip() for o in rows]
    assert summary["bias"]["raw_answers"] == {
        name: pytest.approx(said.count(name) / N) for name in "ab"
    }
    assert list(summary["bias"]["raw_answers"]) == ["a", "b"]  # most frequent first
    golds = [o.sample.gold_reading for o in rows]
    assert summary["bias"]["chance"] == pytest.approx(np.mean([g is not None for g in golds]) / 3)
    majority = [gold == MAJORITIES[o.fold] for o, gold in zip(rows, golds)]
    assert summary["bias"]["majority"] == pytest.approx(np.mean(majority))


@pytest.mark.parametrize("seed", range(5))
def test_finding_credit_is_what_saetask_adds_to_the_best_control_that_uses_no_finding(seed):
    result = made_up(seed=seed)
    summary = written(result, 0)
    rates = {arm: np.mean(correct(result, arm)) for arm in CREDITED}
    credit = summary["finding_credit"]
    assert credit == summary["credit"]  # its former name
    assert rates[credit["control"]] == max(rates.values())
    assert credit["difference"] == pytest.approx(
        np.mean(correct(result, "saetask")) - max(rates.values())
    )
    assert credit["ci95"] == summary["against"][credit["control"]]["ci95"]


def test_finding_credit_is_over_the_gated_controls_and_not_over_other_findings():
    assert {"gate-only", "gated-placebo", "calibrated", "moved-weights"} <= set(CREDITED)
    others = {"random-subset", "random-sae", "dense-probe", "probe-answer", "always", "closed-loop"}
    assert not {*others, "oracle"} & set(CREDITED)
    summary = written(made_up(("original", "random-sae", "dense-probe", "saetask")), 0)
    assert set(summary["against"]) == {"random-sae", "dense-probe"}
    assert "finding_credit" not in summary


def test_the_probe_alone_is_right_where_its_leading_reading_is_and_asked_where_one_is_right():
    result = made_up()
    golds = {o.sample.item.id: o.sample.gold_reading for o in result.results}
    known = {item for item, gold in golds.items() if gold is not None}
    right = []
    for item in known:
        probabilities = result.findings["saetask"][item].probabilities
        right.append(max(probabilities, key=probabilities.get) == golds[item])
    own = [o for o in result.results if o.arm == "saetask" and o.sample.item.id in known]
    entry = written(result, 0)["probe_alone"]
    assert 0 < len(known) == entry["n"] < N
    assert entry["accuracy"] == pytest.approx(np.mean(right))
    assert entry["saetask"] == pytest.approx(np.mean([o.score.correct for o in own]))
    assert entry["saetask"] != np.mean(correct(result, "saetask"))
    assert entry["ci95"][0] <= entry["accuracy"] <= entry["ci95"][1]
    # saetask minus the probe alone is tested over the same items
    alone = {item: answer for item, answer in zip(known, right)}
    before = [alone[o.sample.item.id] for o in own]
    told = paired(before, [o.score.correct for o in own])
    comparison = entry["comparison"]
    assert {name: comparison[name] for name in told} == told
    assert comparison["holm_p"] == comparison["mcnemar_p"]


def original_rows(result):
    return [sample_result for sample_result in result.results if sample_result.arm == "original"]


def test_wrong_answers_are_told_as_well_as_sklearn_says(result, summary):
    rows = original_rows(result)
    wrong = [not sample_result.score.correct for sample_result in rows]
    scores = {
        name: [found[sample_result.sample.item.id].failure for sample_result in rows]
        for name, found in result.findings.items()
    }
    scores["answer-entropy"] = [
        -sum(math.exp(value) * value for value in sample_result.scores.values())
        for sample_result in rows
    ]
    scores["prompt-length"] = [len(sample_result.written.prompt.content) for sample_result in rows]
    detection = summary["detection"]
    assert detection["n_wrong"] == sum(wrong)
    measured = {"saetask": detection["saetask"], **detection["baselines"]}
    assert set(measured) == set(scores)
    for name, entry in measured.items():
        assert entry["auroc"] == pytest.approx(roc_auc_score(wrong, scores[name]))
        assert entry["n"] == N
        assert entry["ci95"][0] <= entry["auroc"] <= entry["ci95"][1]


def test_right_readings_are_told_as_well_as_sklearn_says(result, summary):
    rows = [o for o in original_rows(result) if o.sample.gold_reading is not None]
    golds = [sample_result.sample.gold_reading for sample_result in rows]
    assert len(rows) < N
    detection = summary["reading_detection"]
    measured = {"saetask": detection["saetask"], **detection["baselines"]}
    assert set(measured) == set(DETECTORS)
    for name, entry in measured.items():
        found = [
            result.findings[name][sample_result.sample.item.id].probabilities
            for sample_result in rows
        ]
        table = np.array([[row[reading] for reading in READINGS] for row in found])
        expected = roc_auc_score(golds, table, multi_class="ovr", average="macro")
        assert entry["auroc"] == pytest.approx(expected)
        assert entry["n"] == len(rows)


def test_a_reading_that_a_detector_does_not_know_has_no_probability():
    result = made_up(golds=["a", "b", "unknown"])
    entry = written(result, 0)["reading_detection"]["saetask"]
    found = [result.findings["saetask"][o.sample.item.id] for o in original_rows(result)]
    golds = np.array([o.sample.gold_reading for o in original_rows(result)])
    areas = [
        roc_auc_score(golds == name, [f.probabilities.get(name, 0.0) for f in found])
        for name in ("a", "b", "unknown")
    ]
    assert areas[2] == 0.5
    assert entry["auroc"] == pytest.approx(np.mean(areas))


def test_the_second_question_is_compared_as_the_first_is(result, summary):
    second = summary["second_question"]
    assert second["n"] == 40
    assert list(second["arms"]) == ["original", "gated-placebo", "saetask"]
    values = {
        arm: [o.score.correct for o in result.second_results if o.arm == arm]
        for arm in second["arms"]
    }
    for arm, entry in second["arms"].items():
        assert (entry["n"], entry["accuracy"]) == (40, pytest.approx(np.mean(values[arm])))
        if arm != "original":
            told = paired(values["original"], values[arm])
            assert {name: entry[name] for name in told} == told


def test_rounds_are_the_accuracies_of_one_round_and_of_the_closed_loop(result, summary):
    assert summary["rounds"]["one"] == pytest.approx(np.mean(correct(result, "saetask")))
    loop = np.mean(correct(result, "closed-loop"))
    assert summary["rounds"]["closed_loop"] == pytest.approx(loop)


def test_what_was_not_run_is_absent_or_none():
    summary = written(made_up(("original", "saetask")), 0)
    assert set(summary["arms"]) == {"original", "saetask"}
    assert summary["against"] == {}
    assert not {"finding_credit", "credit", "sae_credit"} & set(summary)
    assert summary["rounds"] is None
    assert summary["second_question"] is None
    assert "flexible_accuracy" not in summary["arms"]["saetask"]


@pytest.mark.parametrize("right", [True, False])
def test_answers_that_are_all_right_or_all_wrong_can_not_be_detected(right):
    summary = written(made_up(right=right), 0)
    detection = summary["detection"]
    assert detection["n_wrong"] == (0 if right else N)
    assert detection["saetask"] is None
    assert set(detection["baselines"].values()) == {None}
    assert summary["arms"]["original"]["accuracy"] == float(right)
    assert summary["reading_detection"]["saetask"] is not None


def unranked(result, items):
    """Returns the result as if some items' answers had been generated, and none ranked."""
    results = [
        o._replace(scores={}, raw_scores={}) if o.sample.item.id in items else o
        for o in result.results
    ]
    findings = {
        name: {item: f._replace(failure=1.0) if item in items else f for item, f in found.items()}
        for name, found in result.findings.items()
    }
    return result._replace(results=results, findings=findings)


def test_where_no_candidates_were_ranked_detection_is_not_measured_and_the_reason_is_told(result):
    summary = written(unranked(result, {f"{i:03}" for i in range(N)}), 0)
    detection = summary["detection"]
    assert detection["saetask"] is None
    assert set(detection["baselines"].values()) == {None}
    assert detection["n_wrong"] == written(result, 0)["detection"]["n_wrong"] > 0
    assert "candidate answers" in summary["not_measured"]["detection"]
    assert summary["reading_detection"]["saetask"]["n"] > 0
    assert "bias" not in summary
    assert written(result, 0)["not_measured"] == {}


def test_items_whose_candidates_were_not_ranked_are_left_out_of_detection(result):
    some = {f"{i:03}" for i in range(0, N, 4)}
    rows = [o for o in original_rows(result) if o.sample.item.id not in some]
    summary = written(unranked(result, some), 0)
    wrong = [not sample_result.score.correct for sample_result in rows]
    for name, entry in summary["detection"]["baselines"].items():
        assert entry["n"] == len(rows) < N
        if name in result.findings:
            scores = [result.findings[name][o.sample.item.id].failure for o in rows]
            assert entry["auroc"] == pytest.approx(roc_auc_score(wrong, scores))
    assert summary["not_measured"] == {}


@pytest.mark.parametrize("golds", [["a"], [None]], ids=["one reading", "no right reading"])
def test_readings_that_are_all_the_same_or_unknown_can_not_be_told_apart(golds):
    summary = written(made_up(golds=golds), 0)
    assert summary["reading_detection"]["saetask"] is None
    assert summary["detection"]["saetask"] is not None
    if golds == [None]:
        assert summary["probe_alone"] is None


def test_readings_that_no_resample_holds_all_of_have_an_area_without_an_interval():
    result = made_up(golds=[str(i) for i in range(N)])  # each stands in one group alone
    summary = written(result, 0)
    assert summary["reading_detection"]["saetask"] == {"auroc": 0.5, "ci95": None, "n": N}
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


@pytest.mark.parametrize("flexible", [True, False])
def test_the_looser_judgement_is_counted_where_there_is_one(flexible):
    summary = written(made_up(("original", "saetask"), flexible=flexible), 0)
    assert summary["arms"]["saetask"]["flexible_accuracy"] == float(flexible)


def test_too_few_items_to_detect_any_difference_are_no_infinity():
    result = made_up(("original", "saetask"))
    few = result._replace(
        results=[o for o in result.results if o.sample.item.id in ("000", "003", "006")]
    )
    arm = written(few, 0)["arms"]["saetask"]
    assert arm["n"] == 3
    assert arm["detectable_difference"] is None


def test_what_was_left_out_is_told_beside_what_could_not_be_measured(result):
    partial = result._replace(left_out={"moved-weights": "It uses no feature."})
    assert written(partial, 0)["not_measured"] == partial.left_out
    told = written(unranked(partial, {f"{i:03}" for i in range(N)}), 0)["not_measured"]
    assert set(told) == {"moved-weights", "detection"}


def test_an_arm_that_a_repetition_left_out_has_no_spread():
    first, second = made_up(("original", "placebo", "saetask")), made_up(("original", "saetask"))
    spread = summarise_seeds([first.results, second.results], 3).to_json()
    assert spread["seeds"] == [3, 4]
    assert list(spread["arms"]) == ["original", "saetask"]
    accuracies = [np.mean(correct(run, "saetask")) for run in (first, second)]
    assert spread["arms"]["saetask"]["accuracy"] == pytest.approx(accuracies)


def test_a_summary_is_json_and_the_seed_decides_its_intervals(result, summary):
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert written(result, 0) == summary
    other = written(result, 1)
    assert other["detection"]["saetask"]["ci95"] != summary["detection"]["saetask"]["ci95"]
    assert other["detection"]["saetask"]["auroc"] == summary["detection"]["saetask"]["auroc"]


def test_an_arm_that_is_specified_elsewhere_is_compared_and_described():
    result = made_up(("original", "placebo", "saetask"))
    spec = ArmSpec("another", "Something else would do.", "control")
    results = [o._replace(arm="another") if o.arm == "placebo" else o for o in result.results]
    specs = [spec if entry.name == "placebo" else entry for entry in result.arms]
    summary = written(result._replace(results=results, arms=specs), 0)
    assert list(summary["arms"]) == ["original", "another", "saetask"]
    described = {"purpose": spec.purpose, "kind": "control", "in_sae_credit": False}
    assert summary["arms"]["another"] | described == summary["arms"]["another"]
    assert set(summary["against"]) == {"another"} and "finding_credit" not in summary
