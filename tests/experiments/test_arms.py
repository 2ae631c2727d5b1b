"""The arms: where a note goes, what the control features are, and what stays untouched."""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saetask.annotation import Annotation, annotate
from saetask.annotation.base import PLACEMENTS
from saetask.annotation.prompt_writer import ArmPrompt, NoteTemplate, PromptAnnotator, fixed_note
from saetask.data import Item, Prompt, Span
from saetask.data.samples import Sample
from saetask.detection import Misunderstanding
from saetask.experiments import arms as arms_module
from saetask.experiments.arm_prompts import (
    SELF_REQUEST,
    retarget_findings,
    self_request,
    written_by_model,
)
from saetask.experiments.arms import ARMS, Arm, arm_names, arms_named, default_arm_names
from saetask.experiments.control_detectors import MATCHED_BLOCK, frequency_matched
from saetask.experiments.note_selection import gold_finding
from saetask.inference.requests import GenerateRequest
from saetask.report.arms import ArmSpec
from tests.helpers.probe_choices import QuickProbe
from tests.helpers.refusals import refusal
from tests.helpers.touch_task import TouchTwice, make_lab

SYSTEM = {"role": "system", "content": "Be brief."}
CONTENT = "Does the ship sail today?"
SHIP = Span(9, 13)


def ask(**spans):
    return Prompt([SYSTEM, {"role": "user", "content": CONTENT}], "Answer:", spans)


def note(placement, text="(a note)"):
    return Annotation(text, placement, "notes")


def finding(reading="literal", probability=0.8, span=SHIP):
    return Misunderstanding("probe", span, CONTENT[span.start : span.end], reading, probability, [])


class Notes:
    """Writes two notes about literal readings and one about others."""

    name = "notes"

    def candidates(self, misunderstanding, labels):
        literal = [note("end", f"{misunderstanding.reading} {labels.get(1, '')}".strip())]
        return [*literal, note("inline")] if misunderstanding.reading == "literal" else literal


def prompt_annotator(number, labels=None):
    return PromptAnnotator(NoteTemplate(Notes(), number), labels or {}, {})


# placements


@pytest.mark.parametrize(
    ("placement", "span", "written"),
    [
        ("end", None, "Does the ship sail today?\n(a note)"),
        ("end", SHIP, "Does the ship sail today?\n(a note)"),
        ("start", None, "(a note)\nDoes the ship sail today?"),
        ("start", SHIP, "(a note)\nDoes the ship sail today?"),
        ("inline", SHIP, "Does the ship (a note) sail today?"),
        ("inline", Span(0, len(CONTENT)), "Does the ship sail today? (a note)"),
        ("inline", None, "Does the ship sail today?\n(a note)"),
    ],
)
def test_a_note_goes_where_its_placement_says_and_only_into_the_last_message(
    placement, span, written
):
    prompt = ask(target=SHIP)
    annotated = annotate(prompt, note(placement), span)
    assert annotated.messages == [SYSTEM, {"role": "user", "content": written}]
    assert annotated.answer_prefix == "Answer:"
    assert prompt.content == CONTENT  # the original is left alone


@given(
    st.text(min_size=1, max_size=40),
    st.text(min_size=1, max_size=20),
    st.sampled_from(["start", "end", "inline"]),
    st.data(),
)
def test_every_character_of_the_prompt_stays_and_the_note_is_whole(content, text, placement, data):
    end = data.draw(st.integers(0, len(content)))
    prompt = Prompt([{"role": "user", "content": content}])
    annotated = annotate(prompt, note(placement, text), Span(0, end)).content
    assert text in annotated
    assert len(annotated) == len(content) + len(text) + 1
    pieces = {"start": [text, content], "end": [content, text]}
    pieces["inline"] = [content[:end], text + content[end:]]
    assert annotated in ("\n".join(pieces[placement]), " ".join(pieces[placement]))


class Drawn(NamedTuple):
    """A prompt with named spans, and the place of a note."""

    prompt: Prompt
    placement: str
    span: Span | None


@st.composite
def placed(draw):
    content = draw(st.text("ab \n", min_size=1, max_size=30))
    places = st.integers(0, len(content))
    spans = st.tuples(places, places).map(lambda ends: Span(*sorted(ends)))
    prompt = Prompt(
        [*draw(st.sampled_from([[], [SYSTEM]])), {"role": "user", "content": content}],
        "Answer:",
        draw(st.dictionaries(st.sampled_from(["text", "target", "story"]), spans)),
    )
    return Drawn(prompt, draw(st.sampled_from(PLACEMENTS)), draw(st.none() | spans))


@given(placed())
def test_named_spans_cover_the_same_text_or_have_the_note_inside(drawn):
    prompt, (placement, span) = drawn.prompt, drawn[1:]
    annotated = annotate(prompt, note(placement, "(A NOTE)"), span)
    assert annotated.spans.keys() == prompt.spans.keys()
    for name, before in prompt.spans.items():
        after = annotated.spans[name]
        text = annotated.content[after.start : after.end]
        inside = placement == "inline" and span and before.start < span.end < before.end
        assert ("(A NOTE)" in text) == bool(inside)
        assert text.replace(" (A NOTE)", "") == prompt.content[before.start : before.end]
        assert 0 <= after.start <= after.end <= len(annotated.content)


def test_a_system_note_joins_the_system_message_or_makes_one():
    joined = annotate(ask(target=SHIP), note("system"))
    assert joined.messages[0] == {"role": "system", "content": "Be brief.\n(a note)"}
    alone = Prompt([{"role": "user", "content": CONTENT}], "Answer:", {"target": SHIP})
    made = annotate(alone, note("system"))
    assert made.messages == [{"role": "system", "content": "(a note)"}, *alone.messages]
    for prompt in (joined, made):
        assert (prompt.content, prompt.spans) == (CONTENT, {"target": SHIP})
        assert prompt.answer_prefix == "Answer:"


# prompt annotators


def test_without_a_finding_the_prompt_stays_as_it_is():
    prompt = ask(target=SHIP)
    written = prompt_annotator(0).write(prompt, [])
    assert written.prompt is prompt
    assert (written.annotation, written.misunderstandings) == (None, [])


def test_the_first_finding_is_written_in_the_chosen_wording_at_its_span():
    findings = [finding("literal"), finding("metaphorical", 0.3)]
    written = prompt_annotator(1).write(ask(target=SHIP), findings)
    assert written.prompt.content == "Does the ship (a note) sail today?"
    assert written.annotation == note("inline")
    assert written.misunderstandings == findings


def test_a_wording_that_an_annotator_lacks_for_this_finding_leaves_the_prompt_as_it_is():
    prompt = ask(target=SHIP)
    written = prompt_annotator(1).write(prompt, [finding("metaphorical")])
    assert written.prompt is prompt
    assert written.annotation is None


def test_an_annotator_is_given_the_labels():
    written = prompt_annotator(0, {1: "sea"}).write(ask(), [finding("literal")])
    assert written.annotation == note("end", "literal sea")


def test_a_fixed_note_is_written_as_it_is_and_states_no_finding():
    written = fixed_note(ask(target=SHIP), note("end"))
    assert written.prompt.content == f"{CONTENT}\n(a note)"
    assert (written.annotation, written.misunderstandings) == (note("end"), [])


def sample(prompt, reading):
    return Sample(Item("1", "ships", {}), prompt, [], np.empty(0, bool), reading)


def test_the_oracle_knows_the_reading_and_points_at_the_target():
    (found,) = gold_finding(sample(ask(text=Span(0, 25), target=SHIP), "literal"))
    assert (found.span, found.text, found.reading) == (SHIP, "ship", "literal")
    assert (found.detector, found.probability) == ("oracle", 1.0)


def test_the_oracle_points_at_the_text_where_there_is_no_target():
    (found,) = gold_finding(sample(ask(text=Span(0, 8)), "literal"))
    assert (found.span, found.text) == (Span(0, 8), "Does the")


def test_the_oracle_finds_nothing_where_no_reading_leads_to_the_gold_answer():
    assert gold_finding(sample(ask(text=Span(0, 8)), None)) == []


# another item's finding, and the model's own note


def test_another_items_finding_is_told_of_this_items_own_words():
    (told,) = retarget_findings(
        ask(text=Span(0, 25), target=SHIP), [finding("metaphorical", span=Span(0, 4))]
    )
    assert told == finding("metaphorical")
    (told,) = retarget_findings(ask(text=Span(0, 8)), [finding()])
    assert (told.span, told.text) == (Span(0, 8), "Does the")
    assert retarget_findings(ask(text=Span(0, 8)), []) == []


def test_the_models_own_note_is_the_first_line_that_it_wrote_and_nothing_else():
    reply = "\n  It is about a boat. \nAnswer: yes"
    written = written_by_model(ask(target=SHIP), reply, "start")
    assert written.prompt.content == f"(Note: It is about a boat.)\n{CONTENT}"
    assert (written.annotation.annotator, written.misunderstandings) == ("self", [])


@pytest.mark.parametrize("output", ["", " \n\n"])
def test_a_model_that_writes_nothing_leaves_the_prompt_as_it_is(output):
    prompt = ask(target=SHIP)
    written = written_by_model(prompt, output, "end")
    assert (written.prompt, written.annotation) == (prompt, None)


def test_the_model_is_asked_for_its_note_with_the_prompt_alone(state):
    request = self_request(ask(target=SHIP), state)
    assert request.prompt.messages == [SYSTEM, {"role": "user", "content": CONTENT + SELF_REQUEST}]
    assert request.prompt.answer_prefix == "Note:"
    assert request == GenerateRequest(request.prompt, state.context.settings.self_note_tokens)


# the table


@pytest.fixture(scope="module")
def state(tiny_model, tiny_sae):
    """A fitted fold of a task."""
    return make_lab(tiny_model, tiny_sae, QuickProbe, TouchTwice()).fit_fold()


@pytest.mark.parametrize("arm", ARMS, ids=lambda arm: arm.spec.name)
def test_every_arm_writes_every_test_sample_and_says_what_it_is_for(arm, state, monkeypatch):
    monkeypatch.setattr(
        "saetask.experiments.prompt_optimisation._rewrite", lambda context, request: "Think."
    )
    prompts, calibration = (
        arm.write(state, state.fold.test),
        arm.calibrate(state, state.calibration),
    )
    assert list(prompts) == state.fold.test
    assert set(calibration) <= set(state.calibration) <= set(state.fold.train)
    for written in (*prompts.values(), *calibration.values()):
        assert isinstance(written, ArmPrompt)
    assert arm.spec.purpose.endswith(".") and "\n" not in arm.spec.purpose


def test_names_are_unique_and_the_reported_order_is_the_tables():
    names = [arm.spec.name for arm in ARMS]
    assert names == arm_names() and len(set(names)) == len(names)
    assert set(default_arm_names()) == {
        *("original", "gate-only", "gated-placebo", "shuffled", "dense-probe", "random-sae"),
        *("saetask", "oracle"),
    }
    assert [arm.spec.name for arm in arms_named(names[::-1])] == names
    kinds = {arm.spec.name: arm.spec.kind for arm in ARMS}
    assert (kinds["original"], kinds["saetask"], kinds["oracle"]) == ("baseline", "method", "bound")


def test_an_unknown_arm_is_refused_and_not_left_as_the_original():
    message = refusal(arms_named, ["original", "saetask", "shufled"])
    assert message == "Unknown arm 'shufled'. Did you mean 'shuffled'?"
    for names in (["original"], ["saetask"], []):
        assert "must include 'original' and 'saetask'" in refusal(arms_named, names)


def test_an_arm_is_one_entry_of_the_table(monkeypatch):
    spec = ArmSpec("upside-down", "The note comes first.", "variant")
    made_up = Arm(spec, lambda state, samples: {})
    monkeypatch.setattr(arms_module, "ARMS", (*ARMS, made_up))
    assert arm_names()[-1] == default_arm_names()[-1] == "upside-down"
    assert arms_named(["original", "saetask", "upside-down"])[-1] is made_up


# control features

densities = st.lists(st.integers(0, 50), min_size=2 * MATCHED_BLOCK, max_size=300).map(np.array)
seeds = st.integers(0, 5)


@given(densities, seeds)
def test_control_features_are_a_permutation_of_the_live_ones_without_fixed_points(density, seed):
    mapping = frequency_matched(density, np.random.default_rng(seed))
    live = np.flatnonzero(density).tolist()
    assert sorted(mapping) == sorted(mapping.values()) == live
    if len(live) > 1:
        assert all(feature != moved for feature, moved in mapping.items())


@given(densities, seeds)
def test_control_features_fire_about_as_often_as_those_they_stand_for(density, seed):
    mapping = frequency_matched(density, np.random.default_rng(seed))
    rank = {feature: i for i, feature in enumerate(sorted(mapping, key=lambda f: density[f]))}
    ties = {value: (density == value).sum() for value in set(density.tolist())}
    for feature, moved in mapping.items():
        slack = ties[density[feature]] + ties[density[moved]]  # features as dense have no order
        assert abs(rank[feature] - rank[moved]) < 2 * MATCHED_BLOCK + slack


def test_control_features_of_a_skewed_density_are_matched_closely():
    density = np.geomspace(100, 10**6, 2000).astype(int)
    mapping = frequency_matched(density, np.random.default_rng(0))
    ratios = [density[moved] / density[feature] for feature, moved in mapping.items()]
    assert max(ratios) < 1.5
    assert min(ratios) > 1 / 1.5


def test_control_features_depend_on_the_seed_alone():
    density = np.arange(200)
    first, again = (frequency_matched(density, np.random.default_rng(7)) for _ in range(2))
    assert first == again
    assert first != frequency_matched(density, np.random.default_rng(8))


def test_without_live_features_there_are_no_controls():
    assert frequency_matched(np.zeros(50, int), np.random.default_rng(0)) == {}


def test_a_note_in_a_system_message_is_part_of_the_prompts_text():
    prompt = Prompt([{"role": "user", "content": CONTENT}])
    assert prompt.text == CONTENT
    assert annotate(prompt, note("system")).text == f"(a note)\n{CONTENT}"
