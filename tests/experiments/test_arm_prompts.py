"""What each arm writes, and on which prompts its offset is fitted."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saetask.annotation import Annotation
from saetask.annotation.fixed_notes import GENERIC, neutral_note
from saetask.annotation.generated_notes import EndpointReplies, count_failed
from saetask.annotation.prompt_writer import ArmPrompt
from saetask.data import Candidate, Item, Span
from saetask.data.prompts import as_prompt
from saetask.data.samples import Sample
from saetask.detection import Misunderstanding
from saetask.detection.calibration import FEWEST_ITEMS, fit_calibration, tested_calibration
from saetask.experiments.arm_prompts import (
    SELF_REQUEST,
    exchange_findings,
    note_placement,
    optimised,
    self_note,
    self_request,
    taken_from_probe,
)
from saetask.experiments.arms import ARMS, arms_named
from saetask.experiments.closed_loop import CLOSED_LOOP
from saetask.experiments.control_detectors import RANDOM_SAES
from saetask.inference import Endpoint
from saetask.inference.client import RankResponse
from tests.helpers.chat_server import Said, chat_server
from tests.helpers.every_arm import EVERY_ARM
from tests.helpers.probe_choices import QuickProbe
from tests.helpers.refusals import refusal
from tests.helpers.touch_task import NO_BASELINE, SENTINEL, TouchNote, make_lab


@pytest.fixture(scope="module")
def lab(tiny_model, tiny_sae):
    return make_lab(tiny_model, tiny_sae, QuickProbe, annotator=TouchNote(), n_items=60)


@pytest.fixture(scope="module")
def state(lab):
    return lab.fit_fold()


def write(state, names):
    """Returns the test prompts of some arms."""
    return {arm.spec.name: arm.write(state, state.fold.test) for arm in arms_named(names)}


@pytest.fixture(scope="module")
def prompts(state):
    """The test prompts of all arms."""
    return write(state, EVERY_ARM)


@pytest.fixture(scope="module")
def calibrations(state):
    """The prompts on which each arm's offset is fitted."""
    arms = arms_named(EVERY_ARM)
    return {arm.spec.name: arm.calibrate(state, state.calibration) for arm in arms}


def annotated(prompts):
    return [sample for sample, written in prompts.items() if written.annotation]


@pytest.mark.parametrize("arm", ["random-sae-2", "dense-probe"])
def test_an_arm_whose_detector_was_not_fitted_is_refused_and_not_left_as_the_original(lab, arm):
    without_control = {
        sample: replace(observation, control_features=())
        for sample, observation in lab.observations.items()
    }
    state = replace(lab, observations=without_control).fit_fold(settings=NO_BASELINE)
    assert f"'{arm}' needs a detector" in refusal(write, state, ["original", "saetask", arm])


# on which prompts an offset is fitted

STATE_A_FINDING = [
    *("moved-weights", "random-subset", "shuffled", "dense-probe", *RANDOM_SAES),
    *(CLOSED_LOOP, "always", "saetask", "oracle"),
]
"""Arms that write what some reading of the item would be."""


def test_the_offset_of_every_arm_that_states_a_finding_is_fitted_on_the_same_unselected_prompts(
    state, calibrations
):
    expected = calibrations["oracle"]
    assert list(expected) == state.calibration
    for sample, written in expected.items():
        assert f"(that is {sample.gold_reading})" in written.prompt.content
    for arm in STATE_A_FINDING:
        assert calibrations[arm] == expected, arm
    picked = [s for s in state.calibration if state.pipeline.findings[s].misunderstandings]
    assert 0 < len(picked) < len(expected)


def test_a_note_of_the_same_kind_stands_in_every_prompt_on_which_its_offset_is_fitted(
    state, calibrations
):
    for arm in ("generic", "placebo", "gated-placebo", "self"):
        assert annotated(calibrations[arm]) == state.calibration, arm
    notes = [written.annotation for written in calibrations["gated-placebo"].values()]
    stated = [written.annotation for written in calibrations["oracle"].values()]
    assert notes == [neutral_note(note) for note in stated]


def test_arms_that_write_no_note_are_calibrated_as_they_say(state, calibrations):
    assert calibrations["original"] == calibrations["probe-answer"] == {}
    assert list(calibrations["calibrated"]) == state.calibration
    picked = [s for s in state.calibration if state.pipeline.findings[s].misunderstandings]
    assert list(calibrations["gate-only"]) == picked
    for arm in ("calibrated", "gate-only"):
        for sample, written in calibrations[arm].items():
            assert written == ArmPrompt(sample.prompt, None, [], own_offset=True)
    fits = {arm.spec.name: arm.fit for arm in ARMS}
    untested = {name for name, fit in fits.items() if fit is fit_calibration}
    assert untested == {"calibrated", "gate-only"}
    assert {fit for name, fit in fits.items() if name not in untested} == {tested_calibration}


# arms that separate the gate from the note


def test_the_gate_alone_changes_the_offset_of_what_saetask_annotates_and_nothing_else(
    state, prompts
):
    found = state.misunderstandings("saetask")
    for sample, written in prompts["gate-only"].items():
        assert written == ArmPrompt(sample.prompt, None, [], own_offset=bool(found[sample]))
    assert 0 < sum(written.own_offset for written in prompts["gate-only"].values()) < len(found)


@pytest.mark.parametrize("n_picked", [FEWEST_ITEMS - 1, FEWEST_ITEMS])
def test_the_gate_has_no_offset_where_it_picks_too_few_training_prompts(state, n_picked):
    picked = [s for s in state.calibration if state.pipeline.findings[s].misunderstandings]
    others = [s for s in state.calibration if s not in picked]
    few = replace(state, calibration=[*picked[:n_picked], *others])
    assert len(picked) >= FEWEST_ITEMS
    written = write(few, ["original", "gate-only", "saetask"])["gate-only"]
    assert any(w.own_offset for w in written.values()) == (n_picked == FEWEST_ITEMS)


def test_a_neutral_note_stands_where_saetasks_note_does_and_in_no_other_prompt(prompts):
    for sample, own in prompts["saetask"].items():
        neutral = prompts["gated-placebo"][sample]
        assert neutral.misunderstandings == []
        if own.annotation is None:
            assert neutral == ArmPrompt(sample.prompt, None, [])
        else:
            assert neutral.annotation == neutral_note(own.annotation)
            expected = own.prompt.text.replace(own.annotation.text, neutral.annotation.text)
            assert neutral.prompt.text == expected
    assert annotated(prompts["gated-placebo"])


class Inline(TouchNote):
    """Writes inside the sentence alone."""

    def candidates(self, misunderstanding, labels):
        return super().candidates(misunderstanding, labels)[1:]


def test_a_neutral_note_inside_the_sentence_stands_after_the_same_word(tiny_model, tiny_sae):
    state = make_lab(tiny_model, tiny_sae, QuickProbe, annotator=Inline()).fit_fold()
    written = write(state, ["original", "gated-placebo", "saetask"])["gated-placebo"]
    for sample in annotated(written):
        word, note = sample.item.question["word"], written[sample].annotation.text
        assert f"{word} {note} today" in written[sample].prompt.content
    assert annotated(written)


def test_the_probes_answer_is_the_likeliest_candidate_of_its_leading_reading(state, prompts):
    findings = state.findings("saetask")
    for sample, written in prompts["probe-answer"].items():
        assert written == ArmPrompt(sample.prompt, None, [], answer=f" {findings[sample].leading}")


@pytest.mark.parametrize(
    ("readings", "answer"),
    [(["leading"] * 3 + ["no"], " b"), (["no"] * 4, None)],
    ids=["several", "none, so that the model is asked"],
)
def test_of_several_candidates_of_a_reading_the_one_that_the_model_finds_likelier_is_taken(
    state, readings, answer
):
    sample = state.fold.test[0]
    leading = state.findings("saetask")[sample].leading
    named = [leading if reading == "leading" else reading for reading in readings]
    candidates = [Candidate(f" {text}", reading) for text, reading in zip("abcd", named)]
    several = replace(sample, candidates=candidates)
    response = RankResponse(np.array([-3.0, -1.0, -2.0, 0.0]))
    observed = {several: replace(state.observations[sample], sample=several, response=response)}
    found = {"saetask": {several: state.findings("saetask")[sample]}}
    detectors = state.detectors._replace(findings=found)
    other = replace(state, observations=observed, detectors=detectors)
    assert taken_from_probe(other, [several])[several].answer == answer


# another item's finding


def test_shuffled_findings_are_others_about_the_samples_own_span_and_as_many(prompts):
    own, other = prompts["saetask"], prompts["shuffled"]
    assert 0 < len(annotated(own)) < len(own)
    assert annotated(other) == annotated(own)  # so that the gate is the same

    def evidence(rows):
        return Counter((m.reading, str(m.features)) for r in rows for m in r.misunderstandings)

    assert evidence(other.values()) == evidence(own.values())
    for sample, written in other.items():
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
    assert annotated(prompts["always"]) == state.fold.test
    for sample in state.fold.test:
        finding = state.findings("saetask")[sample]
        (told,) = prompts["always"][sample].misunderstandings
        assert told.reading == max(finding.probabilities, key=finding.probabilities.get)
        assert told.probability == finding.failure


def test_always_writes_what_saetask_writes_where_saetask_writes(prompts):
    for sample, written in prompts["saetask"].items():
        if written.annotation:
            assert prompts["always"][sample] == written


def test_self_writes_what_the_model_said_in_the_place_of_saetasks_notes(state, prompts):
    place = annotated(prompts["saetask"])
    assert note_placement(state) == prompts["saetask"][place[0]].annotation.placement
    for sample, written in prompts["self"].items():
        said = state.context.client.text(self_request(sample.prompt, state)).splitlines()[0]
        assert written.annotation == Annotation(f"(Note: {said})", note_placement(state), "self")
        assert written.prompt.content == f"{sample.prompt.content}\n(Note: {said})"
        assert written.misunderstandings == []


def test_self_may_be_written_by_another_model(state):
    failing = state.fold.test[2].prompt.content

    def answer(request):
        asked = request["messages"][-1]["content"]
        return Said("no", 500) if asked.startswith(failing) else "It is about weather.\nMore."

    client = state.context.client
    before = client.n_generated()
    with chat_server(answer) as server:
        writer = EndpointReplies(Endpoint("other", server.url, retries=0), client)
        told = replace(state, context=replace(state.context, self_writer=writer))
        written = self_note(told, state.fold.test)
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
        return GENERIC.notes[0]

    monkeypatch.setattr("saetask.experiments.arm_prompts.optimised_note", optimise)
    optimised(replace(state, pipeline=pipeline), state.fold.test)
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
    for arm in ("original", "gate-only", "gated-placebo", "generic", "placebo", "self"):
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
    for arm in ("saetask", "moved-weights", "random-sae", "dense-probe", "shuffled"):
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
            assert arm.write(state, state.fold.test) == prompts[name]
