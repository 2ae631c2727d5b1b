"""A fold's plan: what each arm writes, and where it takes it from."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import saetask.experiments.control_detectors
from saetask import Item, Misunderstanding, Span
from saetask.data.prompts import as_prompt
from saetask.data.samples import Sample
from saetask.detection.baselines import dense_probe
from saetask.detection.calibration import fit_calibration
from saetask.experiments.arms import DEFAULT_ARMS
from saetask.experiments.fold import CLOSED_LOOP, _exchanged, make_plan, self_ask
from saetask_plugins.detectors.failure_probe import FailureProbe
from tests.helpers.refusals import refusal
from tests.helpers.touch_task import TouchNote, make_lab

pytestmark = pytest.mark.usefixtures("few_choices")


@pytest.fixture(scope="module", autouse=True)
def one_baseline():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saetask.experiments.control_detectors, "baselines", lambda: [dense_probe()])
        yield


@pytest.fixture(scope="module")
def lab(tiny_model, tiny_sae, few_choices):
    return make_lab(tiny_model, tiny_sae, FailureProbe, note=TouchNote())


def planned(lab, arms):
    return make_plan([lab.context], lab.study, 0, [lab.material], lab.trials, arms, 0)


@pytest.fixture(scope="module")
def plan(lab):
    return planned(lab, DEFAULT_ARMS)


def annotated(plan, arm, part):
    return [i for i in part if plan.prompts[arm][i].annotation]


def test_every_arm_has_a_prompt_of_every_item_that_is_tried_or_calibrated_on(plan, lab):
    assert set(plan.prompts) == set(DEFAULT_ARMS)
    fold = lab.study.folds[0]
    assert plan.fold == fold
    assert set(plan.calibrated_on) <= set(fold.fit)
    for prompts in plan.prompts.values():
        assert set(prompts) == {*plan.calibrated_on, *fold.test}


def test_the_calibration_of_the_chosen_wording_is_kept_for_arms_that_write_few_notes(plan, lab):
    (annotator,) = lab.context.annotators
    style = lab.trials.styles.index((annotator, plan.selection["wording"]))
    assert plan.annotated == fit_calibration(lab.trials.of(style, plan.fold.fit)) != plan.original


def test_findings_are_kept_of_tested_items_alone(plan, lab):
    assert {"saetask", "random-feature", "random-sae", "dense-probe"} == set(plan.findings)
    assert all(list(found) == lab.study.folds[0].test for found in plan.findings.values())


def test_only_the_arms_asked_for_are_planned(lab):
    assert list(planned(lab, ("original", "saetask")).prompts) == ["original", "saetask"]


@pytest.mark.parametrize("arm", ["random-sae", "dense-probe"])
def test_an_arm_whose_detector_was_not_fitted_is_refused_and_not_left_as_the_original(
    lab, monkeypatch, arm
):
    monkeypatch.setattr(saetask.experiments.control_detectors, "baselines", list)
    lab = lab._replace(material=lab.material._replace(random=None))
    assert f"'{arm}' needs a detector" in refusal(planned, lab, ("original", "saetask", arm))


def test_an_unknown_arm_is_refused_and_not_left_as_the_original(lab):
    message = refusal(planned, lab, ("original", "saetask", "shufled"))
    assert message == "Unknown arm 'shufled'. Did you mean 'shuffled'?"


def test_shuffled_findings_are_others_about_the_items_own_span_and_as_many(plan, lab):
    for part in (plan.calibrated_on, plan.fold.test):
        own, other = ([plan.prompts[arm][i] for i in part] for arm in ("saetask", "shuffled"))
        assert 0 < len(annotated(plan, "shuffled", part)) == len(annotated(plan, "saetask", part))

        def evidence(rows):
            return Counter((m.reading, str(m.features)) for r in rows for m in r.misunderstandings)

        assert evidence(other) == evidence(own)
    for i, written in plan.prompts["shuffled"].items():
        prompt = lab.study.samples[i].prompt
        for found in written.misunderstandings:
            assert found.span == prompt.spans["target"]
            assert found.text == prompt.content[slice(*found.span)]


def exchanged(groups, seed):
    """Returns whose finding each item gets, of items in these groups; None where it gets none."""
    samples = [
        Sample(Item(str(i), group, {}), as_prompt("x"), [], np.empty(0, bool), None)
        for i, group in enumerate(groups)
    ]
    items = range(len(groups))
    found = {i: [Misunderstanding("probe", Span(0, 1), "x", str(i), 0.5, [])] for i in items}
    given_to = _exchanged(found, samples, items, np.random.default_rng(seed))
    return [int(told[0].reading) if (told := given_to[i]) else None for i in items]


@given(st.lists(st.sampled_from("abcdef"), min_size=2, max_size=30), st.integers(0, 99))
def test_every_item_gets_anothers_finding_of_another_group_where_one_is_left(groups, seed):
    donors = exchanged(groups, seed)
    assert sorted(donors) == list(range(len(groups)))
    assert all(donor != i for i, donor in enumerate(donors))
    within = sum(groups[donor] == groups[i] for i, donor in enumerate(donors))
    largest = max(Counter(groups).values())
    # The others are too few for a group that is more than half of the items, and for it alone.
    assert within == max(0, 2 * largest - len(groups))


@pytest.mark.parametrize("seed", range(3))
def test_a_single_item_has_nobody_to_exchange_with_and_gets_no_finding(seed):
    assert exchanged(["a"], seed) == [None]
    assert exchanged([], seed) == []


def test_another_seed_exchanges_other_findings():
    groups = [f"g{i // 3}" for i in range(30)]
    assert exchanged(groups, 0) == exchanged(groups, 0) != exchanged(groups, 1)


def test_always_annotates_every_item_with_the_leading_reading(plan):
    assert annotated(plan, "always", plan.prompts["always"]) == list(plan.prompts["always"])
    for i in plan.fold.test:
        finding = plan.findings["saetask"][i]
        (told,) = plan.prompts["always"][i].misunderstandings
        assert told.reading == max(finding.probabilities, key=finding.probabilities.get)
        assert told.probability == finding.failure


def test_always_writes_what_saetask_writes_where_saetask_writes(plan):
    for i, written in plan.prompts["saetask"].items():
        if written.annotation:
            assert plan.prompts["always"][i] == written


def test_self_writes_what_the_model_said_and_nothing_else(plan, lab):
    for i, written in plan.prompts["self"].items():
        sample = lab.study.samples[i]
        said = lab.context.asker.output(self_ask(sample.prompt)).splitlines()[0]
        assert written.prompt.content == f"{question.prompt.content}\n(Note: {said})"
        assert written.misunderstandings == []


def test_a_random_dictionarys_features_are_named_by_no_label_of_the_trained_one(lab):
    note = lab.context.annotators[0]
    note.seen.clear()
    plan = planned(lab, ("original", "saetask", "random-sae"))
    found = [m for w in plan.prompts["random-sae"].values() for m in w.misunderstandings]
    features = [feature for misread in found for feature in misread.features]
    assert features and all(feature.label == "" for feature in features)
    own = [m for w in plan.prompts["saetask"].values() for m in w.misunderstandings]
    assert all(f.label.startswith("promotes") for m in own for f in m.features)
    told = [labels for misread, labels in note.seen if misread in found]
    assert len(told) >= len(found) > 0
    assert not any(told)
    assert any(labels for _, labels in note.seen)


def test_the_oracle_states_the_gold_reading_and_no_other_arm_knows_it(plan, lab):
    for i, written in plan.prompts["oracle"].items():
        (told,) = written.misunderstandings
        assert told.reading == lab.study.samples[i].gold_reading
    for arm in ("original", "generic", "placebo", "self"):
        assert not any(written.misunderstandings for written in plan.prompts[arm].values())


def test_the_closed_loop_starts_from_saetasks_findings(plan):
    own = plan.prompts["saetask"]
    tried = 0
    for i, written in plan.prompts[CLOSED_LOOP].items():
        assert bool(written.rounds) == bool(own[i].misunderstandings)
        tried += len(written.rounds)
        if written.annotation:
            assert written.rounds[-1].kept
            assert written.annotation == written.rounds[-1].annotation
    assert tried


def test_detectors_without_a_finding_leave_the_prompt_as_it_is(plan, lab):
    for arm in ("saetask", "random-feature", "random-sae", "dense-probe", "shuffled"):
        for i, written in plan.prompts[arm].items():
            if not written.misunderstandings:
                assert written.prompt is lab.study.samples[i].prompt


def test_a_seed_gives_the_same_plan_and_another_one_other_controls(lab, plan):
    again = planned(lab, DEFAULT_ARMS)
    assert again.prompts == plan.prompts
    other = make_plan(
        [lab.context], lab.study, 0, [lab.material], lab.trials, ("original", "shuffled"), 1
    )
    assert other.prompts["shuffled"] != plan.prompts["shuffled"]
