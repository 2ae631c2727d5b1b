"""Obeyed or understood: who follows which note, what layers read, and what steering does beside."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import logit
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from saetask.annotation import Annotation
from saetask.annotation.prompt_writer import ArmPrompt
from saetask.data import Candidate, Item, Prompt, Span
from saetask.data.rendering import render
from saetask.data.samples import Sample
from saetask.detection.base import Finding, Misunderstanding
from saetask.experiments.arms import arms_named
from saetask.experiments.inside import RAW_STRENGTH, SAE_READER, noted_prompts
from saetask.experiments.obedience import (
    calibrated_output,
    count_kinds,
    measure_obedience,
    note_pairs,
    raw_output,
    two_sided,
)
from saetask.experiments.runner import run_experiment
from saetask.models.hooks import read_hook
from saetask.report.understanding import NOTE_KINDS, kind_sentence
from tests.helpers.probe_choices import QuickProbe
from tests.helpers.touch_task import (
    NO_BASELINE,
    Touch,
    TouchNote,
    make_context,
    make_folds_in_turn,
    make_samples,
)

ARMS = ["original", "saetask", "contrary", "gated-placebo", "shuffled", "oracle"]
STEERING = ["steer", "steer-dense", "steer-random"]
OTHER = {"warm": "cold", "cold": "warm"}


def sample(number, gold="warm", group=None):
    name = f"item-{number}"
    item = Item(name, group or name, {}, gold)
    prompt = Prompt([{"role": "user", "content": name}], "", {"text": Span(0, 4)})
    candidates = [Candidate(" warm", "warm"), Candidate(" cold", "cold")]
    return Sample(item, prompt, candidates, np.array([gold == "warm", gold == "cold"]), gold)


def misunderstanding(reading, margin=None):
    return Misunderstanding("probe", Span(0, 4), "item", reading, 0.9, [], margin=margin)


def row(arm, of, says, states=None):
    note = None if states is None else Annotation(states, "start", "notes")
    found = [] if states is None else [misunderstanding(states)]
    written = ArmPrompt(of.prompt, note, found)
    return SimpleNamespace(
        sample=of, arm=arm, fold=0, written=written, raw_output=f" {says}", output=" cold"
    )


def obeyed(says_right, says_wrong, says_before="cold", **options):
    """Returns rows of one warm item whose finding is right."""
    of = sample(options.pop("number", 0), **options)
    return [
        row("original", of, says_before),
        row("saetask", of, says_right, "warm"),
        row("contrary", of, says_wrong, "cold"),
    ]


# Obedience


def test_a_note_that_is_followed_whatever_it_says_makes_no_difference():
    rows = [r for n in range(8) for r in obeyed("warm", "cold", number=n)]
    found = measure_obedience(rows, raw_output, 0)
    assert (found.n, found.right, found.wrong, found.before) == (8, 1.0, 1.0, 0.0)
    assert found.difference == 0 and found.ci95 == (0, 0) and found.p == 1


def test_right_notes_that_alone_are_followed_make_a_difference_of_one():
    rows = [r for n in range(8) for r in obeyed("warm", "warm", number=n)]
    found = measure_obedience(rows, raw_output, 0)
    assert (found.right, found.wrong, found.difference) == (1.0, 0.0, 1.0)
    assert found.p == pytest.approx(2 / 2**8)
    calibrated = measure_obedience(rows, calibrated_output, 0)
    assert (calibrated.right, calibrated.wrong) == (0.0, 1.0)


def test_wrong_findings_are_the_wrong_notes_and_the_contrary_the_right_ones():
    of = sample(0, gold="cold")
    rows = [
        row("original", of, "cold"),
        row("saetask", of, "warm", "warm"),
        row("contrary", of, "warm", "cold"),
    ]
    ((right, wrong),) = note_pairs(rows)
    assert (right.arm, wrong.arm) == ("contrary", "saetask")
    found = measure_obedience(rows, raw_output, 0)
    assert (found.right, found.wrong, found.before) == (0.0, 1.0, 1.0)


def test_without_both_notes_there_is_nothing_to_compare():
    rows = obeyed("warm", "cold")
    assert measure_obedience(rows[:2], raw_output, 0) is None
    assert note_pairs(rows[:2]) == []


def test_a_group_counts_once():
    values = np.ones((12, 1))
    assert two_sided(values, ["one"] * 12, 0)[0] == 1
    assert two_sided(values, [str(n) for n in range(12)], 0)[0] < 0.01
    assert two_sided(-values, [str(n) for n in range(12)], 0)[0] < 0.01


# What findings are


def test_the_margin_alone_says_what_a_finding_is_and_gold_only_scores_it():
    found = [("warm", 2.0), ("cold", 1.0), ("warm", -0.5), ("warm", None)]
    findings = {
        sample(n): Finding(0.9, [misunderstanding(reading, margin)])
        for n, (reading, margin) in enumerate(found)
    }
    counted = count_kinds({**findings, sample(9): Finding(0.1, [])})
    assert (counted.n, counted.misreport, counted.misreading, counted.unknown) == (4, 2, 1, 1)
    assert (counted.misreport_right, counted.misreading_right) == (0.5, 1.0)


@pytest.mark.parametrize(
    ("margin", "begins"),
    [(2.04, "kind: misreport, "), (-2.04, "kind: misreading, "), (0.2, ""), (None, "")],
)
def test_a_sentence_says_which_and_by_how_much(margin, begins):
    said = kind_sentence(misunderstanding("warm", margin))
    assert said.startswith(begins) and ("(about 7.7 to 1)" in said) == bool(said) == bool(begins)


# A run


@pytest.fixture(scope="module")
def folds():
    return make_folds_in_turn(make_samples(Touch(), Touch().items()[:48]), 2)


class StartNote(TouchNote):
    def candidates(self, misunderstanding, labels):
        return [Annotation(f"({misunderstanding.reading})", "start", self.name)]


@pytest.fixture(scope="module")
def context(tiny_model, tiny_sae):
    return make_context(
        tiny_model, tiny_sae, QuickProbe, annotator=StartNote(), settings=NO_BASELINE
    )


@pytest.fixture(scope="module")
def result(context, folds):
    arms = arms_named([*ARMS, *STEERING])
    return run_experiment([context], folds, arms, False, 0, read_inside=True)


def test_the_contrary_arm_states_the_other_reading_on_the_same_prompts(result):
    own = {r.sample.id: r for r in result.results if r.arm == "saetask"}
    picked = 0
    for other in (r for r in result.results if r.arm == "contrary"):
        stated = own[other.sample.id].written
        assert bool(stated.annotation) == bool(other.written.annotation)
        if stated.annotation:
            picked += 1
            readings = [w.misunderstandings[0].reading for w in (stated, other.written)]
            assert readings[1] == OTHER[readings[0]]
    assert picked > 5


def test_findings_of_a_probe_say_how_far_it_supports_them(context, folds, result):
    for findings in result.findings["saetask"].values():
        for found in findings.misunderstandings:
            assert found.margin is not None
    assert result.understanding.findings.unknown == 0 < result.understanding.findings.n


def test_layers_are_read_by_probes_of_prompts_without_notes(context, folds, result):
    """The slow twin: one layer, one place, one prompt at a time."""
    (target, answer) = result.understanding.inside
    hooks = [f"blocks.{layer}.hook_resid_post" for layer in range(4)]
    assert target.readers == answer.readers == [*hooks, SAE_READER]
    assert set(target.notes) == {"none", "right", "wrong", "placebo", "other", "oracle"}
    model, layer = context.model, 2

    def mean_at_target(prompt):
        rendered = render(model.tokenizer, prompt)
        tokens = rendered.tokens_in(rendered.regions["target"])
        import torch

        return read_hook(model, torch.tensor([rendered.token_ids]), hooks[layer])[0, tokens].mean(0)

    rows = noted_prompts(result.results)
    expected, shifts = [], []
    for number, fold in enumerate(folds):
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=RAW_STRENGTH, max_iter=300))
        design = np.stack([mean_at_target(s.prompt).numpy() for s in fold.train])
        probe.fit(design, [s.gold_reading for s in fold.train])
        for noted in (r for r in rows["oracle"] if r.fold == number):
            pair = np.stack(
                [mean_at_target(p).numpy() for p in (noted.sample.prompt, noted.prompt)]
            )
            expected.append(probe.predict(pair)[1] == noted.reading)
            chance = probe.predict_proba(pair)[:, list(probe.classes_).index(noted.reading)]
            shifts.append(logit(chance[1]) - logit(chance[0]))
    found = target.notes["oracle"].every
    assert found.n == len(expected) == 48
    assert found.accuracy[layer] == pytest.approx(np.mean(expected))
    assert found.shift[layer] == pytest.approx(np.mean(shifts), abs=1e-3)
    low, high = found.shift_ci95[layer]
    assert low <= found.shift[layer] <= high


def test_right_and_wrong_answers_are_apart_and_add_up(result):
    said = {r.sample.id: r.raw_score.correct for r in result.results if r.arm == "original"}
    for inside in result.understanding.inside:
        assert list(inside.notes) == [kind for kind in NOTE_KINDS if kind in inside.notes]
        for kind, noted in inside.notes.items():
            parts = [each.n for each in (noted.right, noted.wrong) if each]
            assert noted.every.n == sum(parts)
            assert (noted.every.shift is None) == (kind == "none") == (noted.every.holm_p is None)
        none = inside.notes["none"]
        assert none.right.n == sum(said.values()) and none.every.n == len(said)


def test_a_note_behind_the_target_changes_nothing_there(tiny_model, tiny_sae, folds):
    class EndNote(TouchNote):
        def candidates(self, misunderstanding, labels):
            return [Annotation(f"({misunderstanding.reading})", "end", self.name)]

    context = make_context(
        tiny_model, tiny_sae, QuickProbe, annotator=EndNote(), settings=NO_BASELINE
    )
    arms = arms_named(["original", "saetask", "oracle"])
    found = run_experiment([context], folds, arms, False, 0, read_inside=True).understanding
    target, answer = found.inside
    assert target.notes_before == 0 and answer.notes_before == 1
    assert np.abs(target.notes["oracle"].every.shift).max() < 1e-3
    assert np.abs(answer.notes["oracle"].every.shift).max() > 1e-2


def test_gold_reaches_no_kind_of_finding(context, folds, result):
    """With all tested right readings exchanged, the kinds that findings are given stay the same."""
    flipped = []
    for fold in folds[:1]:
        test = [
            replace(s, gold_reading=OTHER[s.gold_reading], correct=~s.correct) for s in fold.test
        ]
        flipped.append(fold._replace(test=test))
    arms = arms_named(["original", "saetask"])
    plain = run_experiment([context], folds[:1], arms, False, 0).findings["saetask"]
    other = run_experiment([context], flipped, arms, False, 0).findings["saetask"]
    assert {i: [m.kind for m in f.misunderstandings] for i, f in plain.items()} == {
        i: [m.kind for m in f.misunderstandings] for i, f in other.items()
    }


# Side effects of steering


def test_side_effects_of_steering_are_measured(result, folds):
    steering = result.steering
    assert list(steering.arms) == STEERING and list(steering.against) == STEERING[1:]
    assert len(steering.strengths) == len(folds) and steering.relative_norm > 0
    own = {i: f for i, f in result.findings["saetask"].items() if not f.misunderstandings}
    for arm in steering.arms.values():
        assert arm.others.n == len(own)
        assert arm.cross_entropy != steering.cross_entropy
        assert arm.others.fixed + arm.others.broken <= arm.others.n


def test_without_an_arm_that_steers_nothing_is_said_of_it(context, folds):
    arms = arms_named(["original", "saetask"])
    assert run_experiment([context], folds, arms, False, 0).steering is None
