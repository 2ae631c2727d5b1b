"""Experiments on a tiny random model: its answers are noise, which is all that is needed here."""

import json
from collections import Counter
from dataclasses import replace
from itertools import groupby

import numpy as np
import pytest

import saetask.inference.client
from saetask import UserError
from saetask.annotation.base import annotate
from saetask.annotation.fixed_notes import GENERIC
from saetask.data import Prompt
from saetask.data.folds import add_auxiliary_samples
from saetask.data.rendering import render
from saetask.data.samples import make_samples
from saetask.detection.baselines import baselines
from saetask.experiments.arms import ARMS, arms_named
from saetask.experiments.control_detectors import RANDOM_SAES
from saetask.experiments.run_folder import item_record
from saetask.experiments.runner import run_experiment
from saetask.experiments.steering import STEERING_ARMS
from saetask.inference.client import ModelClient
from saetask.inference.requests import RankRequest
from saetask.models.generation import generate_texts
from saetask_plugins.detectors.uncertainty import Uncertainty
from tests.helpers.every_arm import EVERY_ARM
from tests.helpers.probe_choices import QuickProbe
from tests.helpers.touch_task import (
    ONE_BASELINE,
    SENTINEL,
    SETTINGS,
    StubClient,
    Touch,
    TouchNote,
    TouchTwice,
    make_context,
    make_folds_in_turn,
)


class SpiedProbe(QuickProbe):
    """Remembers what it was shown."""

    shown = ()

    def fit(self, inputs, gold_readings, groups):
        type(self).shown += (*inputs,)
        return super().fit(inputs, gold_readings, groups)

    def detect(self, detector_input):
        type(self).shown += (detector_input,)
        return super().detect(detector_input)


def run_arms(context, folds, arms=EVERY_ARM, generate=False, seed=0):
    return run_experiment([context], folds, arms_named(arms), generate, seed)


@pytest.fixture
def small(tiny_model, tiny_sae):
    """Returns a function that runs an experiment of 32 items, two folds and one baseline."""

    def run(
        items=None,
        task=None,
        journal=None,
        detector=QuickProbe,
        annotator=None,
        settings=ONE_BASELINE,
        make_folds=lambda samples: make_folds_in_turn(samples, 2),
        **options,
    ):
        task = task or Touch()
        samples = make_samples(task, items if items is not None else task.items()[:32])
        client = ModelClient(tiny_model, journal)
        context = make_context(tiny_model, tiny_sae, detector, task, annotator, client, settings)
        return run_arms(context, make_folds(samples), **options)

    return run


@pytest.fixture(scope="module")
def whole(tiny_model, tiny_sae):
    """One experiment with every arm and every baseline."""
    context = make_context(tiny_model, tiny_sae, QuickProbe, settings=SETTINGS)
    return run_arms(context, make_folds_in_turn(make_samples(context.task, context.task.items())))


@pytest.fixture
def asked(monkeypatch):
    """Counts every prompt and answer that the model is asked to score."""
    counts = Counter()
    original = saetask.inference.client.log_likelihoods

    def counted(model, continuations):
        counts.update((tuple(c.prompt_ids), tuple(c.answer_ids)) for c in continuations)
        return original(model, continuations)

    monkeypatch.setattr(saetask.inference.client, "log_likelihoods", counted)
    return counts


def n_ranked(journal):
    """Returns how many prompts' candidates have likelihoods in the whole lines of a journal."""
    lines = [line for line in journal.read_text().splitlines(keepends=True) if line[-1:] == "\n"]
    known = {key: answer for line in lines for key, answer in json.loads(line).items()}
    return sum(isinstance(answer, list) for answer in known.values())


def rows(result):
    """Returns what the run folder would hold of a result, as text."""
    return [json.dumps(item_record(sample_result, 0).to_json()) for sample_result in result.results]


def by_arm(result):
    return {
        arm: {sample_result.sample.id: sample_result for sample_result in results}
        for arm, results in groupby(result.results, key=lambda sample_result: sample_result.arm)
    }


# coverage


def test_every_item_stands_in_every_arm_once_in_the_reported_order(whole):
    ids = sorted(item.id for item in Touch().items())
    assert len(ids) == 60
    found = [(sample_result.arm, sample_result.sample.id) for sample_result in whole.results]
    assert found == [(arm, item) for arm in EVERY_ARM for item in ids]


def test_every_item_is_judged_in_the_fold_that_tests_it(whole):
    folds = make_folds_in_turn(make_samples(Touch(), Touch().items()))
    fold_of = {sample.id: number for number, fold in enumerate(folds) for sample in fold.test}
    assert all(
        sample_result.fold == fold_of[sample_result.sample.id] for sample_result in whole.results
    )
    assert len(whole.selection) == 3
    assert all(fold["n_fit"] == 40 for fold in whole.selection)


def test_every_prediction_is_the_likeliest_candidate_and_is_judged_by_the_task(whole):
    for sample_result in whole.results:
        assert set(sample_result.scores) == {" warm", " cold"}
        assert np.exp(list(sample_result.scores.values())).sum() == pytest.approx(1)
        likeliest = max(sample_result.scores, key=sample_result.scores.__getitem__)
        assert sample_result.output == (sample_result.written.answer or likeliest)
        assert sample_result.score == Touch().score(sample_result.sample.item, sample_result.output)


def test_every_detector_judges_every_item_once(whole):
    names = {"saetask", "moved-weights", "random-subset", *RANDOM_SAES}
    assert set(whole.findings) == names | {baseline.name for baseline in baselines()}
    for findings in whole.findings.values():
        assert sorted(findings) == sorted(item.id for item in Touch().items())
        for finding in findings.values():
            assert 0 <= finding.failure <= 1
            assert sum(finding.probabilities.values()) == pytest.approx(1)


# what each arm writes


def test_the_original_arm_is_the_tasks_own_prompt(whole):
    for sample_result in by_arm(whole)["original"].values():
        assert sample_result.written.prompt == Touch().prompt(sample_result.sample.item)
        assert sample_result.written.annotation is None


def test_a_prompt_is_optimised_once_a_fold(small, monkeypatch):
    searched = []

    def optimise(context, samples, *others):
        searched.append(len(samples))
        return GENERIC.notes[0]._replace(text=f"(Search {len(searched)})")

    monkeypatch.setattr("saetask.experiments.arm_prompts.optimised_note", optimise)
    result = small(arms=["original", "optimised-prompt", "saetask"])
    assert len(searched) == 2  # folds
    rows = [row for row in result.results if row.arm == "optimised-prompt"]
    assert all(row.written.annotation.text == f"(Search {row.fold + 1})" for row in rows)


@pytest.mark.parametrize("arm", ["generic", "placebo"])
def test_a_fixed_arm_writes_the_note_that_its_fold_chose_into_every_prompt(whole, arm):
    (notes,) = [each.notes.notes for each in ARMS if each.spec.name == arm]
    results = by_arm(whole)[arm].values()
    for fold in range(3):
        (chosen,) = {o.written.annotation for o in results if o.fold == fold}
        assert chosen in notes
    for sample_result in results:
        expected = annotate(sample_result.sample.prompt, sample_result.written.annotation)
        assert sample_result.written.prompt == expected


def test_the_oracle_arm_states_the_right_reading_in_every_prompt(whole):
    for sample_result in by_arm(whole)["oracle"].values():
        assert (
            f"(that is {sample_result.sample.gold_reading})" in sample_result.written.prompt.content
        )


@pytest.mark.parametrize("arm", ["saetask", "moved-weights", "random-sae", "dense-probe"])
def test_a_detecting_arm_annotates_where_it_found_something_and_nowhere_else(whole, arm):
    results = by_arm(whole)[arm].values()
    annotated = [sample_result for sample_result in results if sample_result.written.annotation]
    if arm == "saetask":
        assert 10 < len(annotated) < 50  # half of the noise is wrong, and the features know it
    for sample_result in results:
        found = sample_result.written.misunderstandings
        assert bool(found) == (sample_result.written.annotation is not None)
        if found:
            assert f"(that is {found[0].reading})" in sample_result.written.prompt.content
            assert found[0].text == sample_result.sample.item.question["word"]
            labels = [feature.label for feature in found[0].features]
            assert not (labels and arm == "dense-probe")
            # A random dictionary's features have no meaning that anyone knows of.
            assert all(label.startswith("promotes") != (arm == "random-sae") for label in labels)


def test_the_planted_signal_is_found(whole):
    results = by_arm(whole)["saetask"].values()
    found = [o for o in results if o.written.misunderstandings]
    right = [o.written.misunderstandings[0].reading == o.sample.gold_reading for o in found]
    assert np.mean(right) > 0.9


@pytest.mark.parametrize("arm", ["saetask", "moved-weights", "gated-placebo", "gate-only"])
def test_a_prompt_left_as_it_is_keeps_the_output_of_the_original(whole, arm):
    arms = by_arm(whole)
    untouched = [
        o for o in arms[arm].values() if o.written.annotation is None and not o.written.own_offset
    ]
    assert untouched
    for sample_result in untouched:
        original = arms["original"][sample_result.sample.id]
        assert sample_result.written.prompt == original.written.prompt
        assert (sample_result.output, sample_result.score, sample_result.scores) == (
            original.output,
            original.score,
            original.scores,
        )


# the gold answer stays where it belongs


@pytest.fixture
def sent(monkeypatch):
    """Remembers every request that is sent to the model, whatever its kind."""
    requests = []
    for name in ("rank", "generate"):
        original = getattr(ModelClient, name)

        def remembered(self, given, title="", original=original):
            given = list(given)
            requests.extend(given)
            return original(self, given, title)

        monkeypatch.setattr(ModelClient, name, remembered)
    return requests


def test_no_gold_answer_reaches_a_prompt_a_detector_or_an_annotator(small, sent):
    SpiedProbe.shown = ()
    note = TouchNote()
    result = small(detector=SpiedProbe, annotator=note, task=TouchTwice())
    assert SENTINEL in str(result.results[0].sample.item.gold)
    assert SENTINEL not in repr(sent)
    for words in ("say how this text is to be understood", "Would you touch it?"):
        assert any(words in request.prompt.content for request in sent)  # of every kind
    assert len(SpiedProbe.shown) > 60 and len(note.seen) > 60
    for seen in SpiedProbe.shown:
        told = (seen.content, seen.spans, seen.answer_scores, seen.activations.prompts)
        assert SENTINEL not in repr(told)
    assert SENTINEL not in repr(note.seen)
    assert SENTINEL not in "".join(rows(result))
    assert SENTINEL not in repr([sample_result.written for sample_result in result.second_results])


def without_examples(written):
    """Returns what was written, without examples of the fit split: their right reading is known."""
    bare = [m._replace(nearest=()) for m in written.misunderstandings]
    return written._replace(misunderstandings=bare)


class Secret(Touch):
    """The right reading of some items has a name that no candidate stands for."""

    readings = ("warm", "cold", SENTINEL)

    def gold_reading(self, item):
        return SENTINEL if item.group in ("soup", "tea") else item.gold[1]


def test_a_reading_that_only_gold_answers_know_stands_in_the_oracles_prompts_alone(small):
    arms = by_arm(small(task=Secret()))
    secret = {item.id for item in Touch().items() if item.group in ("soup", "tea")}
    for arm in EVERY_ARM:
        written = {i: without_examples(result.written) for i, result in arms[arm].items()}
        told = {i for i, each in written.items() if SENTINEL in repr(each)}
        assert told == (secret if arm == "oracle" else set()), arm


def test_examples_are_of_the_fit_split_alone(small):
    result = small()
    texts = {}
    for each in result.results:
        span = each.sample.prompt.spans["text"]
        text = each.sample.prompt.content[span.start : span.end]
        texts.setdefault(each.fold, set()).add(text)
    shown = [
        (each.fold, near.text)
        for each in result.results
        for m in each.written.misunderstandings
        for near in m.nearest
    ]
    assert shown and not any(text in texts[fold] for fold, text in shown)


# the same again


def test_a_seed_gives_the_same_result_every_time_and_only_the_arms_asked_for_are_run(small):
    arms = ("original", "moved-weights", "random-subset", "saetask")
    first = small(arms=arms)
    assert list(by_arm(first)) == list(arms)
    assert first.left_out == {}
    assert rows(small(arms=arms)) == rows(first)


def test_controls_that_would_be_saetasks_own_arm_again_are_left_out_and_told(small, capsys):
    arms = ("original", "moved-weights", "dense-probe", "saetask")
    result = small(arms=arms, detector=Uncertainty)
    assert list(by_arm(result)) == ["original", "dense-probe", "saetask"]
    assert set(result.findings) == {"saetask", "dense-probe"}
    # Of the detection table, too; one random dictionary is always read.
    assert set(result.left_out) == {"moved-weights", "random-sae"}
    told = [line for line in capsys.readouterr().err.splitlines() if "left out" in line]
    assert len(told) == 2
    assert f"moved-weights is left out. {result.left_out['moved-weights']}" in told[0]
    assert "detector uncertainty uses no feature" in told[0]


@pytest.mark.parametrize("cut", [0, -7], ids=["after a line", "within a line"])
def test_a_killed_run_goes_on_where_it_was_with_the_same_result(small, asked, tmp_path, cut):
    # What is asked with an addition is counted by the client's own tests.
    arms = [name for name in EVERY_ARM if name not in STEERING_ARMS]
    journal = tmp_path / "answers.jsonl"
    first = rows(small(journal=journal, arms=arms))
    n_first = asked.total()
    assert set(asked.values()) == {1}  # nothing is asked twice
    lines = journal.read_bytes().splitlines(keepends=True)
    half = b"".join(lines[: len(lines) // 2 + 1])
    journal.write_bytes(half[:cut] if cut else half)
    n_kept = n_ranked(journal)
    assert 0 < 2 * n_kept < n_first  # two candidates each

    asked.clear()
    assert rows(small(journal=journal, arms=arms)) == first
    assert asked.total() == n_first - 2 * n_kept
    assert set(asked.values()) == {1}

    assert 2 * n_ranked(journal) == n_first  # next, nothing is asked


# items without candidates, generated answers


def test_items_without_candidates_count_as_wrong_and_are_not_skipped(small):
    task = Touch(mute=["soup", "tea"])
    arms = by_arm(small(task=task))
    for arm in EVERY_ARM:
        assert len(arms[arm]) == 32
        for sample_result in arms[arm].values():
            if sample_result.sample.item.group in task.mute:
                assert sample_result.score.correct is False
                assert (sample_result.output, sample_result.scores) == ("", {})
    spoken = [o for o in arms["original"].values() if o.sample.item.group not in task.mute]
    assert 0 < sum(o.score.correct for o in spoken) < len(spoken)


def test_generated_answers_are_what_the_model_writes_after_each_prompt(
    small, tiny_model, tiny_tokenizer
):
    settings = replace(ONE_BASELINE, answer_tokens=4)
    result = small(arms=("original", "generic", "saetask"), generate=True, settings=settings)
    assert len(result.results) == 3 * 32
    for sample_result in result.results[::11]:
        prompt = render(tiny_tokenizer, sample_result.written.prompt).token_ids
        (alone,) = generate_texts(tiny_model, [prompt], 4)
        assert sample_result.output == alone
    for sample_result in result.results:
        assert sample_result.score == Touch().score(sample_result.sample.item, sample_result.output)
    assert len({sample_result.output for sample_result in result.results}) > 3


def test_an_answer_of_no_tokens_is_a_user_error(tiny_model):
    with pytest.raises(UserError, match="no tokens"):
        request = RankRequest(Touch().prompt(Touch().items()[0]), ("", " a"))
        ModelClient(tiny_model).rank([request])


class Elsewhere(Touch):
    """Has built-in items about other places."""

    def prompt(self, item):
        prompt = super().prompt(item)
        return Prompt(
            prompt.with_content(prompt.content.replace("house", "woods")).messages,
            prompt.answer_prefix,
            prompt.spans,
        )


def test_auxiliary_items_are_read_and_learnt_from_and_never_asked(tiny_model, tiny_sae):
    task, client = Touch(), StubClient()
    own = make_folds_in_turn(make_samples(task, task.items()))
    folds = add_auxiliary_samples(Elsewhere(), own, 40, 0)
    SpiedProbe.shown = ()
    context = make_context(tiny_model, tiny_sae, SpiedProbe, task, client=client)
    result = run_arms(context, folds)
    assert {"woods" in seen.content for seen in SpiedProbe.shown} == {True, False}
    for seen in SpiedProbe.shown:
        assert seen.auxiliary == ("woods" in seen.content)
        assert seen.auxiliary == (seen.answer == "")
    assert not [request for request in client.requests if "woods" in request.prompt.content]
    tested = Counter(o.sample.id for o in result.results if o.arm == "saetask")
    assert tested == Counter(item.id for item in task.items())
    assert [fold["n_borrowed"] for fold in result.selection] == [
        len(fold.auxiliary) for fold in folds
    ]
    assert all(0 < len(fold.auxiliary) < 40 for fold in folds)
