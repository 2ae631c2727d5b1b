"""Choices that differ from item to item: nothing can be learnt, which is said, not measured."""

import warnings

import pytest

from saetask import run
from saetask.data import TellsUnlearnable
from saetask.detection import reason_for_silence
from saetask.detection.silent import SilentDetector
from saetask.experiments.context import ExperimentSettings, task_detector
from saetask_plugins.tasks.metaphor import Metaphor
from saetask_plugins.tasks.multiple_choice import MultipleChoice
from tests.helpers.made_up_readings import make_reading

SCORES = {"A": -1.0, "B": -2.0}


def row(i, *choices):
    return {"id": i, "prompt": f"Which, {i}?", "choices": choices or ("yes", "no"), "label": i % 2}


def detector_for(items_file, rows):
    items = MultipleChoice().items(items_file(*rows))
    return task_detector(MultipleChoice(), items, lambda: "the chosen one")()


def test_choices_that_most_items_share_leave_the_chosen_detector(items_file):
    assert isinstance(MultipleChoice(), TellsUnlearnable)
    rows = [row(i) for i in range(6)] + [row(i, "a", str(i)) for i in range(6, 10)]
    assert detector_for(items_file, rows) == "the chosen one"
    assert task_detector(Metaphor(), [], lambda: "the chosen one")() == "the chosen one"


@pytest.mark.parametrize("shuffled", [True, False])
def test_choices_in_another_order_or_of_other_texts_differ(items_file, shuffled):
    choices = [("yes", "no"), ("no", "yes")] if shuffled else [("a", str(i)) for i in range(10)]
    rows = [row(i, *choices[i % len(choices)]) for i in range(10)]
    detector = detector_for(items_file, rows)
    assert isinstance(detector, SilentDetector)
    assert "differ from item to item" in detector.silence


def test_a_silent_detector_follows_the_answer_and_keeps_its_reason():
    inputs = [make_reading(SCORES) for _ in range(9)]
    detector = SilentDetector("no reason to speak")
    findings = detector.fit(inputs, ["A", "B", "A"] * 3, [str(i) for i in range(9)])
    assert not any(finding.misunderstandings for finding in findings)
    assert findings[0].leading == "A" and 0 < findings[0].failure < 0.5
    other = SilentDetector("")
    other.load_state_dict(detector.state_dict())
    assert other.detect(inputs[0]) == findings[0]
    assert reason_for_silence(other, findings[0]) == "no reason to speak"
    assert other.on_features({}, inputs, []) is other and not len(other.feature_ids())
    assert other.explain(inputs[0], "B").reading == "B"


@pytest.mark.usefixtures("few_choices")
def test_a_run_finds_nothing_measures_no_detection_and_says_why(
    items_file, tiny_model_folder, tiny_sae_folder, tmp_path, capsys
):
    data = items_file(*(row(i, "a", str(i)) for i in range(40)))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        result = run(
            "multiple-choice",
            data=data,
            model=str(tiny_model_folder),
            sae=str(tiny_sae_folder),
            out=tmp_path / "out",
            folds=2,
            arms=["original", "moved-weights", "saetask", "oracle"],
            settings=ExperimentSettings(note_samples=4, make_baselines=lambda: []),
        )
    summary = result.summary
    assert summary["arms"]["saetask"]["annotated"] == 0 < summary["arms"]["oracle"]["annotated"]
    assert "moved-weights" not in summary["arms"]
    assert summary["detection"]["saetask"] is None is summary["probe_alone"]
    assert summary["reading_detection"] == {"saetask": None, "baselines": {}}
    for said in (summary["not_measured"]["detection"], capsys.readouterr().err):
        assert "the choices differ from item to item" in said
    assert all("differ" in fold["silence"] for fold in summary["selection"]["folds"])
    assert "differ from item to item" in (result.folder / "report.html").read_text()
