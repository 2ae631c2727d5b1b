"""How well concepts explain a detector: a faithful explanation has the figures of one."""

import json
from dataclasses import replace

import numpy as np
import pytest

from saetask import run
from saetask.experiments import context as context_module
from saetask.experiments.control_detectors import OWN
from saetask.experiments.explanation import (
    ExplainedItem,
    measure_explanation,
    measure_faithfulness,
    measure_stability,
    remove_features,
)
from saetask.experiments.known_concepts import KnownConcepts
from saetask.report.explanation import Explanation
from saetask.utils.files import read_json
from saetask_plugins.detectors.concept_probe import ConceptProbe
from tests.helpers.named_features import NamedFeatures
from tests.helpers.planted_concepts import conceptual_sample, make_concept
from tests.helpers.probe_choices import FEW_CHOICES, QuickProbe
from tests.helpers.refusals import refusal
from tests.helpers.touch_task import NO_BASELINE, ONE_BASELINE, Touch, make_lab, touch_plugins


class QuickConceptProbe(ConceptProbe):
    """The concept probe with few settings to choose among."""

    def __init__(self):
        super().__init__(FEW_CHOICES)


@pytest.fixture(scope="module")
def planted():
    """A concept probe on planted readings, and the items that it finds something in."""
    sample, fresh = conceptual_sample(), conceptual_sample(1)
    probe, _ = sample.fit(ConceptProbe())
    found = [probe.detect(reading).misunderstandings for reading in fresh.readings]
    return [
        ExplainedItem(0, group, probe, reading, misunderstandings[0])
        for group, reading, misunderstandings in zip(fresh.groups, fresh.readings, found)
        if misunderstandings
    ]


def what_they_add(item, id):
    """Returns what the features of a concept add to a reading, against their silence."""
    probe, chosen = item.detector, "ab".index(item.found.reading)
    (number,) = [i for i, concept in enumerate(probe.concepts) if concept.id == id]
    added = 0.0
    for place, region in enumerate(probe.regions):
        weights = probe.stack[0] * probe.probe.weights[:, place, number]
        pooled = item.given.pooled(region).toarray()[0]
        activation = sum(np.log1p(pooled[f]) for f in probe.concepts[number].features)
        added += (weights[chosen] - weights[1 - chosen]) * activation
    return added


def test_removed_features_take_their_contributions_along(planted):
    """Concepts share no feature here, so each takes what its own features add to it."""
    generator = np.random.default_rng(0)
    for item in planted[:30]:
        removed = remove_features(item, generator)
        fallen = sum(what_they_add(item, c.id) for c in item.found.concepts if c.contribution > 0)
        assert removed.whole == item.found.log_odds
        assert removed.whole - removed.without_named == pytest.approx(fallen, abs=1e-4)


def test_named_features_are_necessary_and_sufficient_beyond_random_ones(planted):
    necessity, sufficiency = measure_faithfulness(planted, seed=0)
    assert necessity.effect > 2 * necessity.random
    assert sufficiency.effect == pytest.approx(1.0, abs=1e-3)
    assert sufficiency.random < 0.8
    assert necessity.p < 0.01 > sufficiency.p


def test_features_are_not_where_every_firing_one_is_named(planted):
    """They are compared with themselves."""
    items = []
    for item in planted:
        firing = item.given.pooled("text").indices.tolist()
        (concept, *_) = item.found.concepts
        stated = item.found._replace(concepts=[concept._replace(features=firing)])
        items.append(item._replace(found=stated))
    necessity, sufficiency = measure_faithfulness(items, seed=0)
    assert necessity.effect == necessity.random
    assert necessity.p == sufficiency.p == 1.0


def test_a_finding_without_concepts_removes_nothing(planted):
    item = planted[0]._replace(found=planted[0].found._replace(concepts=()))
    removed = remove_features(item, np.random.default_rng(0))
    assert removed.whole == pytest.approx(removed.without_named)
    assert removed.only_named == removed.only_random


# in an experiment

WARM = ("hot", "boiling")


@pytest.fixture(scope="module")
def lab(tiny_model, tiny_sae):
    """A lab whose features have concepts: on words for warm things, for cold ones, and others."""
    lab = make_lab(tiny_model, tiny_sae, QuickConceptProbe, n_items=60, settings=NO_BASELINE)
    return with_concepts(lab, concepts_of(lab))


def concepts_of(lab):
    """Returns a concept of features that fire on words of one reading alone, and of others."""
    firing = {"warm": set(), "cold": set()}
    for observation in lab.observed(lab.samples):
        target = observation.features.pooled("target").indices.tolist()
        firing[observation.sample.gold_reading].update(target)
    both = sorted(firing["warm"] & firing["cold"])
    return (
        make_concept("heat", sorted(firing["warm"] - firing["cold"])),
        make_concept("frost", sorted(firing["cold"] - firing["warm"]), "inconsistent"),
        *(make_concept(f"other {i}", both[i::3]) for i in range(3)),
    )


def with_concepts(lab, concepts):
    observations = {s: replace(o, concepts=concepts) for s, o in lab.observations.items()}
    context = replace(lab.context, known_concepts=KnownConcepts(concepts, ()))
    return replace(lab, observations=observations, context=context)


@pytest.fixture(scope="module")
def state(lab):
    return lab.fit_fold(controls=())


@pytest.fixture(scope="module")
def explanation(state):
    return measure_explanation([state], seed=0)


def test_a_faithful_explanation_has_the_figures_of_one(explanation, state):
    findings = [m for f in state.findings(OWN).values() for m in f.misunderstandings]
    assert explanation.detector == "concept-probe"
    assert explanation.n_concepts == len({c.id for m in findings for c in m.concepts})
    assert explanation.k_per_finding == np.mean([len(m.concepts) for m in findings])
    assert explanation.additive_error < 1e-9
    assert 0 < explanation.validated_share < explanation.named_share <= 1
    assert explanation.sufficiency.effect == pytest.approx(1.0, abs=1e-3)


def test_the_shares_are_those_of_the_rows(explanation, state):
    """A slow twin."""
    named = validated = rest = 0.0
    for finding in state.findings(OWN).values():
        for m in finding.misunderstandings:
            rest += abs(m.rest)
            for concept in m.concepts:
                named += abs(concept.contribution)
                if concept.verdict == "validated":
                    validated += abs(concept.contribution)
    assert explanation.named_share == pytest.approx(named / (named + rest))
    assert explanation.validated_share == pytest.approx(validated / (named + rest))


def test_an_error_in_the_sum_is_seen(state):
    def broken(finding):
        stated = [m._replace(rest=m.rest + 0.5) for m in finding.misunderstandings]
        return finding._replace(misunderstandings=stated)

    own = {sample: broken(finding) for sample, finding in state.findings(OWN).items()}
    changed = replace(state, detectors=state.detectors._replace(findings={OWN: own}))
    assert measure_explanation([changed], 0).additive_error == pytest.approx(0.5)


def test_halves_that_can_name_one_concept_only_name_the_same(lab, state, explanation):
    assert 0 <= explanation.stability == measure_stability(state, seed=0) <= 1
    one = with_concepts(lab, concepts_of(lab)[:1]).fit_fold(controls=())
    assert measure_stability(one, seed=0) == 1.0


def test_halves_that_are_too_small_have_no_stability(state):
    few = state.pipeline.trained_on[:8]
    small = replace(state, pipeline=replace(state.pipeline, trained_on=few))
    assert measure_stability(small, seed=0) is None


def test_findings_that_no_concept_explains_have_no_figures(lab):
    plain = with_concepts(lab, ()).fit_fold(controls=(), make_detector=QuickProbe)
    assert any(finding.misunderstandings for finding in plain.findings(OWN).values())
    assert measure_explanation([plain], 0) is None


# in a run folder


@pytest.fixture(scope="module")
def run_with(lab, tiny_model, tiny_sae, tmp_path_factory):
    """Returns a function that runs the task with a dictionary of the concepts."""
    folder = tmp_path_factory.mktemp("runs")
    original = context_module.find_feature_labels

    def named(*arguments):
        labels = original(*arguments)
        concepts = lab.context.known_concepts.concepts
        return replace(labels, dictionary=NamedFeatures(concepts, tiny_sae.cfg.d_sae))

    def start(name="run", **options):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(context_module, "find_feature_labels", named)
            return run(
                Touch(),
                items=Touch().items()[:32],
                model=tiny_model,
                sae=tiny_sae,
                out=folder / name,
                plugins=touch_plugins(),
                settings=ONE_BASELINE,
                arms=["original", "saetask"],
                folds=3,
                detector="concept-probe",
                unvalidated_labels=True,
                **options,
            )

    return start


@pytest.fixture(scope="module")
def result(run_with):
    """A finished run."""
    return run_with()


def test_a_run_folder_holds_contributions_that_add_up_and_the_explanation(result):
    rows = [json.loads(line) for line in (result.folder / "items.jsonl").open()]
    found = [m for row in rows for m in row["misunderstandings"]]
    assert found
    for m in found:
        parts = m["rest"] + sum(concept["contribution"] for concept in m["concepts"])
        assert parts == pytest.approx(m["log_odds"], abs=1e-3)
        for concept in m["concepts"]:
            keys = ["id", "name", "contribution", "verdict", "for", "tokens", "features"]
            assert list(concept) == [*keys, "contexts", "fires_less", "less_on", "alike"]
    block = read_json(result.folder / "summary.json")["explanation"]
    assert set(block) == set(Explanation.model_fields)
    detection = result.summary["reading_detection"]
    assert block["auroc"] == detection["saetask"]["auroc"]
    assert block["auroc_dense"] == detection["baselines"]["dense-probe"]["auroc"]
    assert block["auroc_random_sae"] == detection["baselines"]["random-sae"]["auroc"]
    assert block["auroc_words"] is None  # that baseline was not fitted


def test_a_run_without_a_concept_is_another_run_that_does_not_name_it(run_with, result):
    without = run_with("without", without=["heat"])
    said = refusal(run_with, without=["heat"])
    assert "another config" in said
    for each, told in ((result, True), (without, False)):
        chosen = [
            concept["id"]
            for fold in each.summary["selection"]["folds"]
            for concept in fold["detector"]["concepts"]
        ]
        assert ("on:heat" in chosen) == told
        assert ("heat" in (each.folder / "config.yaml").read_text()) != told


def test_an_unknown_concept_is_refused_in_one_line(run_with):
    assert "Did you mean 'heat'?" in refusal(run_with, "unknown", without=["heart"])
