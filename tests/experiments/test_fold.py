"""A fold's state: what each arm writes, and where it takes it from."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saetask.annotation.generated_notes import EndpointReplies, count_failed
from saetask.data import Item, Span
from saetask.data.prompts import as_prompt
from saetask.data.samples import Sample
from saetask.detection import Misunderstanding
from saetask.detection.calibration import fit_calibration
from saetask.experiments.arms import (
    GENERIC,
    SELF_REQUEST,
    arms_named,
    exchange_findings,
    optimised,
    self_note,
    self_request,
)
from saetask.experiments.closed_loop import CLOSED_LOOP
from saetask.inference import Endpoint
from tests.helpers.chat_server import Said, chat_server
from tests.helpers.every_arm import EVERY_ARM
from tests.helpers.probe_choices import QuickProbe
from tests.helpers.refusals import refusal
from tests.helpers.touch_task import NO_BASELINE, SENTINEL, TouchNote, make_lab


@pytest.fixture(scope="module")
def lab(tiny_model, tiny_sae):
    return make_lab(tiny_model, tiny_sae, QuickProbe, annotator=TouchNote())


@pytest.fixture(scope="module")
def state(lab):
    return lab.fit_fold()


def write(state, names):
    """Returns the prompts of some arms."""
    return {arm.spec.name: arm.write(state) for arm in arms_named(names)}


@pytest.fixture(scope="module")
def prompts(state):
    """The prompts of all default arms."""
    return write(state, EVERY_ARM)


def annotated(prompts, samples):
    return [sample for sample in samples if prompts[sample].annotation]


def test_every_arm_has_a_prompt_of_every_sample_that_is_tested_or_calibrated_on(
    state, prompts, lab
):
    assert state.fold == lab.fold
    assert set(state.calibration) <= set(lab.fold.train)
    assert state.wanted == [*state.calibration, *lab.fold.test]
    for written in prompts.values():
        assert set(written) == set(state.wanted)


def test_the_calibration_of_the_chosen_template_is_kept_for_arms_that_write_few_notes(state, lab):
    index = lab.note_scores.templates.index(state.pipeline.template)
    assert state.pipeline.template.annotator is lab.context.annotators[0]
    assert state.pipeline.template.number == state.selection["wording"]
    fitted = fit_calibration(lab.note_scores.of(index, lab.fold.train))
    assert state.pipeline.note_bias == fitted != state.pipeline.bias


def test_findings_of_every_detector_are_of_tested_samples_alone(state, lab):
    findings = state.findings_on_test()
    assert {"saetask", "random-feature", "random-sae", "dense-probe"} == set(findings)
    assert all(list(found) == lab.fold.test for found in findings.values())


@pytest.mark.parametrize("arm", ["random-sae", "dense-probe"])
def test_an_arm_whose_detector_was_not_fitted_is_refused_and_not_left_as_the_original(lab, arm):
    without_control = {
        sample: replace(observation, control_features=None)
        for sample, observation in lab.observations.items()
    }
    state = replace(lab, observations=without_control).fit_fold(settings=NO_BASELINE)
    assert f"'{arm}' needs a detector" in refusal(write, state, ["original", "saetask", arm])


def test_shuffled_findings_are_others_about_the_samples_own_span_and_as_many(state, prompts):
    for part in state.parts:
        own, other = ([prompts[arm][s] for s in part] for arm in ("saetask", "shuffled"))
        n_shuffled = len(annotated(prompts["shuffled"], part))
        assert 0 < n_shuffled == len(annotated(prompts["saetask"], part))

        def evidence(rows):
            return Counter((m.reading, str(m.features)) for r in rows for m in r.misunderstandings)

        assert evidence(other) == evidence(own)
    for sample, written in prompts["shuffled"].items():
        for found in written.misunderstandings:
            assert found.span == sample.prompt.spans["target"]
            assert found.text == sample.prompt.content[slice(*found.span)]


def exchanged(groups, seed):
    """Returns whose finding each sample gets, of samples in these groups; None without one."""
    samples = [
        Sample(Item(str(i), group, {}), as_prompt("x"), [], np.empty(0, bool), None, i)
        for i, group in enumerate(groups)
    ]
    found = {s: [Misunderstanding("probe", Span(0, 1), "x", s.id, 0.5, [])] for s in samples}
    given_to = exchange_findings(found, samples, np.random.default_rng(seed))
    assert list(given_to) == samples
    return [int(told[0].reading) if (told := given_to[s]) else None for s in samples]


@given(st.lists(st.sampled_from("abcdef"), min_size=2, max_size=30), st.integers(0, 99))
def test_every_sample_gets_anothers_finding_of_another_group_where_one_is_left(groups, seed):
    donors = exchanged(groups, seed)
    assert sorted(donors) == list(range(len(groups)))
    assert all(donor != i for i, donor in enumerate(donors))
    within = sum(groups[donor] == groups[i] for i, donor in enumerate(donors))
    largest = max(Counter(groups).values())
    # The others are too few for a group that is more than half of the items, and for it alone.
    assert within == max(0, 2 * largest - len(groups))


@pytest.mark.parametrize("seed", range(3))
def test_a_single_sample_gets_no_finding(seed):
    assert exchanged(["a"], seed) == [None]
    assert exchanged([], seed) == []


def test_another_seed_exchanges_other_findings():
    groups = [f"g{i // 3}" for i in range(30)]
    assert exchanged(groups, 0) == exchanged(groups, 0) != exchanged(groups, 1)


def test_always_annotates_every_sample_with_the_leading_reading(state, prompts):
    assert annotated(prompts["always"], state.wanted) == state.wanted
    for sample in state.fold.test:
        finding = state.findings("saetask")[sample]
        (told,) = prompts["always"][sample].misunderstandings
        assert told.reading == max(finding.probabilities, key=finding.probabilities.get)
        assert told.probability == finding.failure


def test_always_writes_what_saetask_writes_where_saetask_writes(prompts):
    for sample, written in prompts["saetask"].items():
        if written.annotation:
            assert prompts["always"][sample] == written


def test_self_writes_what_the_model_said_and_nothing_else(state, prompts):
    for sample, written in prompts["self"].items():
        said = state.context.client.text(self_request(sample.prompt, state)).splitlines()[0]
        assert written.prompt.content == f"{sample.prompt.content}\n(Note: {said})"
        assert written.misunderstandings == []


def test_self_may_be_written_by_another_model(state):
    failing = state.wanted[2].prompt.content

    def answer(request):
        asked = request["messages"][-1]["content"]
        return Said("no", 500) if asked.startswith(failing) else "It is about weather.\nMore."

    client = state.context.client
    before = client.n_generated()
    with chat_server(answer) as server:
        writer = EndpointReplies(Endpoint("other", server.url, retries=0), client)
        written = self_note(replace(state, context=replace(state.context, self_writer=writer)))
    assert client.n_generated() == before, "the model under test is not asked"
    assert sorted(server.prompts()) == sorted({s.prompt.content + SELF_REQUEST for s in written})
    for sample, prompt in written.items():
        note = "" if sample.prompt.content == failing else "\n(Note: It is about weather.)"
        assert prompt.prompt.content == sample.prompt.content + note
    assert count_failed([], writer) == 1 and SENTINEL not in str(server.requests)


def test_the_prompt_is_optimised_on_all_that_the_detector_learnt_from(state, monkeypatch):
    known = [state.observations[sample] for sample in state.pipeline.findings]
    borrowed = [replace(each, sample=replace(each.sample, auxiliary=True)) for each in known[:5]]
    pipeline = replace(state.pipeline, trained_on=[*known, *borrowed])
    seen = []

    def optimise(context, samples, *others):
        seen.extend(samples)
        return GENERIC

    monkeypatch.setattr("saetask.experiments.arms.optimised_note", optimise)
    optimised(replace(state, pipeline=pipeline))
    assert seen == [each.sample for each in pipeline.trained_on]


def test_a_random_dictionarys_features_are_named_by_no_label_of_the_trained_one(lab, state):
    note = lab.context.annotators[0]
    note.seen.clear()
    written = write(state, ["original", "saetask", "random-sae"])
    found = [m for w in written["random-sae"].values() for m in w.misunderstandings]
    features = [feature for misread in found for feature in misread.features]
    assert features and all(feature.label == "" for feature in features)
    own = [m for w in written["saetask"].values() for m in w.misunderstandings]
    assert all(f.label.startswith("promotes") for m in own for f in m.features)
    told = [labels for misread, labels in note.seen if misread in found]
    assert len(told) >= len(found) > 0
    assert not any(told)
    assert any(labels for _, labels in note.seen)


def test_the_oracle_states_the_gold_reading_and_no_other_arm_knows_it(prompts):
    for sample, written in prompts["oracle"].items():
        (told,) = written.misunderstandings
        assert told.reading == sample.gold_reading
    for arm in ("original", "generic", "placebo", "self"):
        assert not any(written.misunderstandings for written in prompts[arm].values())


def test_the_closed_loop_starts_from_saetasks_findings(prompts):
    own = prompts["saetask"]
    tried = 0
    for sample, written in prompts[CLOSED_LOOP].items():
        assert bool(written.rounds) == bool(own[sample].misunderstandings)
        tried += len(written.rounds)
        if written.annotation:
            assert written.rounds[-1].kept
            assert written.annotation == written.rounds[-1].annotation
    assert tried


def test_detectors_without_a_finding_leave_the_prompt_as_it_is(prompts):
    for arm in ("saetask", "random-feature", "random-sae", "dense-probe", "shuffled"):
        for sample, written in prompts[arm].items():
            if not written.misunderstandings:
                assert written.prompt is sample.prompt


def test_a_seed_gives_the_same_prompts_and_another_one_other_controls(lab, prompts):
    assert write(lab.fit_fold(), EVERY_ARM) == prompts
    other = write(lab.fit_fold(seed=1), ["original", "shuffled", "saetask"])
    assert other["shuffled"] != prompts["shuffled"]


def test_an_arm_writes_the_same_whichever_arms_were_written_before(lab, prompts):
    state = lab.fit_fold()
    for name in reversed(EVERY_ARM):
        if name not in ("original", "saetask"):
            (arm,) = [
                arm for arm in arms_named([name, "original", "saetask"]) if arm.spec.name == name
            ]
            assert arm.write(state) == prompts[name]
