"""The fitted pipeline: its note template is chosen on the fit split; it can be saved."""

from dataclasses import replace

import numpy as np
import pytest

from saetask.annotation.base import annotate
from saetask.data.prompts import Span, as_prompt
from saetask.data.samples import Sample, make_samples
from saetask.detection import Finding
from saetask.detection.calibration import (
    FEWEST_ITEMS,
    UNCALIBRATED,
    tested_calibration,
)
from saetask.experiments.pipeline import (
    _check_findings,
    check_finding,
    load_pipeline,
    raw_answer_shares,
    save_pipeline,
)
from saetask_plugins.detectors.uncertainty import Uncertainty
from tests.helpers.probe_choices import QuickProbe
from tests.helpers.refusals import refusal
from tests.helpers.touch_task import Touch, make_lab


@pytest.mark.parametrize("n_asked", [FEWEST_ITEMS, FEWEST_ITEMS - 1])
def test_annotated_prompts_are_calibrated_on_train_samples_in_the_chosen_template_if_they_suffice(
    tiny_model, tiny_sae, n_asked
):
    lab = make_lab(tiny_model, tiny_sae, Uncertainty)
    train: list[Sample] = lab.fold.train
    asked = {*train[:n_asked], *lab.fold.test}
    scored = {
        # A bias that hides answers which tell the right reading.
        key: scores._replace(scores=9.0 * scores.correct + np.array([30.0, 0.0]))
        for key, scores in lab.note_scores.scored.items()
        if key[1] in asked
    }
    scores = lab.note_scores._replace(scored=scored)
    fitted = replace(lab, note_scores=scores).fit_pipeline()
    template = scores.templates.index(fitted.template)
    own = tested_calibration([scored[template, sample] for sample in train[:n_asked]])
    assert (own == UNCALIBRATED) == (n_asked < FEWEST_ITEMS)
    assert fitted.note_bias == own


def test_a_prompt_of_the_fit_split_is_judged_with_its_group_held_out_others_by_the_detector(
    tiny_model, tiny_sae
):
    lab = make_lab(tiny_model, tiny_sae, QuickProbe)
    fitted = lab.fit_pipeline()
    assert list(fitted.findings) == lab.fold.train
    for observation in lab.observed(lab.fold.train):
        assert fitted.predict(observation) is fitted.findings[observation.sample]
    for observation in lab.observed(lab.fold.test):
        expected = fitted.detector.detect(fitted.input(observation))
        assert fitted.predict(observation) == expected


def test_a_saved_pipeline_judges_the_same_and_a_damaged_one_is_none(tiny_model, tiny_sae, tmp_path):
    lab = make_lab(tiny_model, tiny_sae, QuickProbe)
    fitted = lab.fit_pipeline()
    save_pipeline(tmp_path / "fit", fitted)
    loaded = load_pipeline(tmp_path / "fit", lab.context)
    assert (loaded.bias, loaded.note_bias) == (fitted.bias, fitted.note_bias)
    assert loaded.template == fitted.template
    assert loaded.raw_answers == fitted.raw_answers
    for observation in lab.observed(lab.fold.test):
        assert loaded.predict(observation) == fitted.predict(observation)
    document = tmp_path / "fit" / "fit.json"
    document.write_text(document.read_text()[:-9])
    assert load_pipeline(tmp_path / "fit", lab.context) is None
    assert load_pipeline(tmp_path / "none", lab.context) is None


def test_the_slope_of_the_answers_calibration_is_kept(tiny_model, tiny_sae):
    fitted = make_lab(tiny_model, tiny_sae, QuickProbe).fit_pipeline()
    assert fitted.selection["answer_slope"] == fitted.bias.slope


def test_raw_answers_are_counted_before_any_offset_on_the_fit_split_alone(tiny_model, tiny_sae):
    lab = make_lab(tiny_model, tiny_sae, QuickProbe)
    fitted = lab.fit_pipeline()
    said = [
        o.sample.readings[int(np.argmax(o.response.scores))] for o in lab.observed(lab.fold.train)
    ]
    assert fitted.raw_answers == {name: said.count(name) / len(said) for name in set(said)}
    assert raw_answer_shares([]) == {}


class NoProbabilities:
    """A detector that says how probable a failure is, and nothing of the readings."""

    name = "no-probabilities"

    def fit(self, inputs, gold_readings, groups):
        return [Finding(0.5, []) for _ in inputs]


def test_a_detector_whose_findings_lack_probabilities_is_refused_by_name(tiny_model, tiny_sae):
    lab = make_lab(tiny_model, tiny_sae, NoProbabilities, n_items=8)
    message = refusal(lab.fit_pipeline)
    assert "'no-probabilities'" in message and "saetask.detection.Finding" in message


class Beyond(QuickProbe):
    """Finds something outside the prompt once it is fitted."""

    span = (300, 350)

    def detect(self, detector_input):
        finding = super().detect(detector_input)
        found = self.explain(detector_input, finding.leading)._replace(span=Span(*self.span))
        return finding._replace(misunderstandings=[found])


@pytest.mark.parametrize("span", [(300, 350), (-1, 4), (4, 4), (9, 2)])
def test_a_detectors_span_outside_the_prompt_is_refused_by_name(
    tiny_model, tiny_sae, monkeypatch, span
):
    monkeypatch.setattr(Beyond, "span", span)
    lab = make_lab(tiny_model, tiny_sae, Beyond)
    (observation,) = lab.observed(lab.fold.test[:1])
    line = refusal(lab.fit_pipeline().predict, observation)
    assert f"Detector '{Beyond.name}'" in line and f"{span[0]} to {span[1]}" in line
    assert observation.sample.id in line


def test_a_note_that_is_none_is_refused():
    assert "'a text'" in refusal(annotate, as_prompt("It rains."), "a text")


@pytest.mark.parametrize(
    ("method", "returned"), [("fit", None), ("fit", [0.5]), ("detect", {"a": 1})]
)
def test_a_detector_that_returns_no_finding_is_named_with_what_it_returned(
    monkeypatch, method, returned
):
    monkeypatch.setattr(Uncertainty, method, lambda *_: returned)
    detector, (sample, *_) = Uncertainty(), make_samples(Touch(), Touch().items())
    check = {
        "fit": lambda: _check_findings(detector, detector.fit([], [], [])),
        "detect": lambda: check_finding(detector, detector.detect(None), sample),
    }
    message = refusal(check[method])
    assert message.startswith("Detector 'uncertainty'")
    assert f"its method {method} returned {returned!r}, not a" in message
