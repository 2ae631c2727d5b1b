"""Notes that say nothing come out as no effect, though the gate in front of them knows much.

The gate picks prompts that are probably answered wrongly. An offset that is fitted on picked
prompts alone tells what the gate knows, and the note would get the credit for it.
"""

from dataclasses import replace

import numpy as np
import pytest

from saetask.annotation import Annotation
from saetask.data.samples import make_samples
from saetask.experiments.arms import arms_named
from saetask.experiments.metrics import summarise
from saetask.experiments.runner import run_experiment
from saetask.inference.client import RankResponse
from tests.helpers.probe_choices import QuickProbe
from tests.helpers.touch_task import (
    ONE_BASELINE,
    WORDS,
    StubClient,
    Touch,
    make_context,
    make_folds_in_turn,
)

ARMS = ("original", "gate-only", "gated-placebo", "shuffled", "dense-probe", "saetask", "oracle")
PLACES = ["house", "garden"]
BIAS = 3.0
"""Log-odds by which the model prefers "warm", in nats."""
SHIFT = -4.0
"""What any note adds to them."""
SIGNAL = 0.8
"""What the right reading adds to its own score; the noise has a standard deviation of 1."""


class ManyThings(Touch):
    """As many items as things, words and places."""

    annotators = ("gibberish",)

    def items(self, data=None):
        own = super().items()
        return [
            replace(item, id=f"{item.id}-{place}", question=in_place(item.question, place))
            for place in PLACES
            for item in own
        ]


def in_place(question, place):
    return question | {"sentence": question["sentence"].replace("house", place)}


class Gibberish:
    """Writes the same words whatever was found."""

    name = "gibberish"

    def candidates(self, misunderstanding, labels):
        return [Annotation("(Note: tea, 'ed', annie; about ... '?'.)", "end", self.name)]


class Telling(Gibberish):
    """Says which reading was found, so that a note can be told from the gate."""

    def candidates(self, misunderstanding, labels):
        return [Annotation(f"(that is {misunderstanding.reading})", "end", self.name)]


class BiasedClient(StubClient):
    """A biased model that knows a little of the right reading, follows notes, and is moved by any.

    Its noise is that of the sentence, so that a note which says nothing changes no answer but by a
    constant.
    """

    def response(self, request):
        sentence, _, note = request.prompt.content.partition("\n")
        noise = super().response(request._replace(prompt=request.prompt.with_content(sentence)))
        gold = next(r for r, words in WORDS.items() if any(f" {w} " in sentence for w in words))
        scores = noise.scores + SIGNAL * np.array([gold == "warm", gold == "cold"])
        scores[0] += BIAS + SHIFT * bool(note)
        for place, reading in enumerate(WORDS):
            scores[place] += 20 * (f"is {reading}" in note)
        return RankResponse(scores)


def summary_of(model, sae, annotator):
    task = ManyThings()
    parts = model, sae, QuickProbe, task, annotator, BiasedClient(), ONE_BASELINE
    folds = make_folds_in_turn(make_samples(task, task.items()))
    result = run_experiment([make_context(*parts)], folds, arms_named(ARMS), False, 0)
    return summarise(result, result.arms, 0)


@pytest.fixture(scope="module")
def inert(tiny_model, tiny_sae):
    return summary_of(tiny_model, tiny_sae, Gibberish())


def test_the_gate_opens_where_the_answer_is_wrong_and_has_a_gain_of_its_own(inert):
    n = inert.arms["original"].n
    assert 0.55 < inert.arms["original"].accuracy < 0.85
    assert 0.15 < inert.arms["saetask"].annotated / n < 0.45
    gate = inert.arms["gate-only"]
    assert gate.difference > 0.05 and gate.holm_p < 1e-3


@pytest.mark.parametrize("arm", ["saetask", "gated-placebo", "shuffled", "dense-probe"])
def test_a_note_that_says_nothing_gains_nothing(inert, arm):
    figures = inert.arms[arm]
    assert figures.annotated > 0
    assert abs(figures.difference) <= 0.03 and figures.holm_p > 0.05
    assert figures.difference < inert.arms["gate-only"].difference - 0.05


def test_a_note_that_says_nothing_is_not_credited_and_loses_to_the_gate(inert):
    assert abs(inert.against["gated-placebo"].difference) <= 0.02
    assert inert.against["gated-placebo"].holm_p > 0.05
    assert inert.finding_credit.control == "gate-only"
    assert inert.finding_credit.difference < 0


def test_raw_answers_show_the_shift_of_any_note_and_no_more(inert):
    raw = {arm: inert.arms[arm].raw for arm in ("original", "saetask", "gated-placebo")}
    assert raw["original"].accuracy < inert.arms["original"].accuracy
    assert raw["saetask"].accuracy == raw["gated-placebo"].accuracy


def test_a_note_that_tells_the_reading_is_credited_beyond_the_gate(tiny_model, tiny_sae):
    telling = summary_of(tiny_model, tiny_sae, Telling())
    for control in ("gate-only", "gated-placebo"):
        assert telling.against[control].difference > 0.05
        assert telling.against[control].holm_p < 0.01
    assert telling.finding_credit.difference > 0.05
