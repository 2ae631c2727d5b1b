"""One prompt at a time, on the tiny model: fitted once, kept, and consistent with itself."""

import json
from dataclasses import replace

import pytest

from saetask import Session, UserError
from saetask.detection import Finding, Misunderstanding
from saetask.detection.calibration import Calibration
from saetask.session import SessionConfig
from saetask.session.results import Answers, preference_sentence
from tests.helpers.probe_choices import QuickProbe
from tests.helpers.refusals import refusal
from tests.helpers.touch_task import ONE_BASELINE, Touch, touch_plugins

CONFIG = SessionConfig(fit_items=60, settings=ONE_BASELINE)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def use_cache(cache, monkeypatch):
    monkeypatch.setenv("SAETASK_CACHE", str(cache))


@pytest.fixture
def own_cache(monkeypatch, tmp_path):
    """An empty cache folder."""
    monkeypatch.setenv("SAETASK_CACHE", str(tmp_path / "own"))
    return tmp_path / "own"


@pytest.fixture
def never_fitted(monkeypatch):
    """Fails the test if a pipeline is fitted."""

    def refuse(*arguments):
        raise AssertionError("A pipeline was fitted although one was kept.")

    monkeypatch.setattr("saetask.session.session.fit_pipeline", refuse)


@pytest.fixture
def make_session(tiny_model, tiny_sae):
    """Makes sessions of the tiny model."""

    def make(task="metaphor", detector=QuickProbe, **options):
        return Session(tiny_model, tiny_sae, task, detector, config=CONFIG, **options)

    return make


@pytest.fixture
def session(make_session) -> Session:
    return make_session()


SENTENCE = "The committee boiled the report down to a page."


def test_spans_count_in_the_text_that_was_given(session) -> None:
    detection = session.detect(SENTENCE, target="boiled")
    assert detection.prompt == SENTENCE
    assert {detection.answer, detection.calibrated_answer} <= {"literal", "metaphorical"}
    assert 0 <= detection.failure <= 1
    for found in detection.misunderstandings:
        assert SENTENCE[found.span.start : found.span.end] == found.text == "boiled"


class Silent(QuickProbe):
    """Finds nothing."""

    name = "silent"

    def detect(self, detector_input):
        return Finding(0.1, [])


class Disagreeing(QuickProbe):
    """Finds the other reading than the answer's in every prompt."""

    name = "disagreeing"

    def detect(self, detector_input):
        other = {"literal": "metaphorical", "metaphorical": "literal"}[detector_input.answer]
        span = detector_input.spans["target"]
        return Finding(0.9, [Misunderstanding("test", span, "boiled", other, 0.9, [])])


def test_a_prompt_without_a_finding_is_left_as_it_is(make_session) -> None:
    done = make_session(detector=Silent).reformulate(SENTENCE, target="boiled")
    assert not done.annotations
    assert done.before == done.after == done.detection.answer
    assert done.calibrated_before == done.calibrated_after == done.detection.calibrated_answer
    assert done.reformulated.endswith(f'"{SENTENCE}"')


OTHER = {"literal": "metaphorical", "metaphorical": "literal"}


def test_before_and_after_are_raw_and_the_calibrated_answers_stand_beside_them(
    make_session,
) -> None:
    plain = make_session(detector=Disagreeing)
    pipeline = plain._pipeline_for_use()
    said = plain.reformulate(SENTENCE, target="boiled")

    def against(reading: str) -> Calibration:
        return Calibration(1.0, {OTHER[reading]: 50.0})

    # Offsets that turn every answer round, and a fit split to which the model says one thing.
    plain._pipeline = replace(
        pipeline,
        bias=against(said.before),
        note_bias=against(said.after),
        raw_answers={said.before: 0.97, OTHER[said.before]: 0.03},
    )
    done = plain.reformulate(SENTENCE, target="boiled")
    assert done.before == said.before == done.detection.answer
    assert done.calibrated_before == OTHER[said.before] == done.detection.calibrated_answer
    (found,) = done.detection.misunderstandings
    assert found.reading == said.before  # a finding is against the calibrated answer
    assert done.calibrated_after == OTHER[done.after]
    assert done.detection.preference == (
        f"the model says '{said.before}' to 97 % of the prompts that the detector was fitted on, "
        "so what it says tells little about this one; judged is what it answers with that "
        f"preference taken out: '{OTHER[said.before]}'"
    )


@pytest.mark.parametrize(
    ("shares", "bias", "end"),
    [
        ({"literal": 0.89, "metaphorical": 0.11}, Calibration(1.0, {"literal": -9.0}), ""),
        ({}, Calibration(1.0, {}), ""),
        ({"literal": 0.95}, Calibration(1.0, {}), "tells little about this one"),
        ({"literal": 0.95}, Calibration(1.0, {"literal": -1.0}), "taken out: still 'literal'"),
    ],
)
def test_a_preference_is_told_where_there_is_one(shares, bias, end) -> None:
    sentence = preference_sentence(shares, bias, Answers("literal", "literal"))
    assert sentence.endswith(end) and bool(sentence) is bool(end)


def test_a_finding_is_written_into_the_prompt(make_session) -> None:
    done = make_session(detector=Disagreeing).reformulate(SENTENCE, target="boiled")
    assert len(done.annotations) == 1
    assert done.annotations[0] in done.reformulated
    assert SENTENCE in done.reformulated.replace(f" {done.annotations[0]}", "")


@pytest.mark.parametrize(
    "detector",
    [
        QuickProbe,
        pytest.param("uncertainty", marks=pytest.mark.slow),
        pytest.param("missing-concept", marks=pytest.mark.slow),
        pytest.param("sense-conflict", marks=pytest.mark.slow),
    ],
)
def test_any_detectors_pipeline_is_kept_and_gives_the_same_detection(
    make_session, detector, request
) -> None:
    found = make_session(detector=detector).detect(SENTENCE, target="boiled")
    request.getfixturevalue("never_fitted")
    assert make_session(detector=detector).detect(SENTENCE, target="boiled") == found


def test_a_damaged_pipeline_is_fitted_anew(make_session, own_cache) -> None:
    first = make_session().detect(SENTENCE, target="boiled")
    (kept,) = (own_cache / "fits").glob("*/fit.json")
    kept.write_text(kept.read_text()[:20])
    assert make_session().detect(SENTENCE, target="boiled") == first
    assert json.loads(kept.read_text())["annotator"] == "sense-note"


def test_reading_needs_no_pipeline(session, own_cache) -> None:
    assert session.read("The sea was calm.", "It rained.").top(3)
    assert not (own_cache / "fits").exists()


# a task, items and a data file at hand


@pytest.fixture(scope="module")
def plugins():
    """Plugins with the task's annotator."""
    return touch_plugins()


def test_a_task_at_hand_is_asked_about_a_text(make_session, plugins) -> None:
    session = make_session(Touch(), plugins=plugins)
    text = "The soup in the house was icy today."
    detection = session.detect(text, target="icy")
    assert detection.answer in ("warm", "cold")
    done = session.reformulate(text, target="icy")
    assert bool(done.annotations) == bool(detection.misunderstandings)


def test_items_at_hand_are_what_is_fitted_on_and_have_a_pipeline_of_their_own(
    make_session, plugins, own_cache
) -> None:
    task = Touch()
    items = task.items()
    text = "The soup in the house was icy today."

    def names():
        return {path.parent.name for path in (own_cache / "fits").glob("*/fit.json")}

    make_session(task, plugins=plugins, data=items[:40]).detect(text, target="icy")
    first = names()
    assert len(first) == 1
    make_session(task, plugins=plugins, data=items[:40]).detect(text, target="icy")
    assert names() == first
    make_session(task, plugins=plugins, data=items[:44]).detect(text, target="icy")
    assert len(names()) == 2
    make_session(task, plugins=plugins).detect(text, target="icy")
    assert len(names()) == 3


def test_a_data_file_is_read_in_the_tasks_format(make_session, items_file, own_cache) -> None:
    rows = [
        {"id": i, "sentence": f"verb{i // 2} now {i}", "target": f"verb{i // 2}"}
        | {"target_start": 0, "label": ("literal", "metaphorical")[i % 2]}
        for i in range(40)
    ]
    session = make_session(data=items_file(*rows))
    session.detect(SENTENCE, target="boiled")
    with pytest.raises(UserError, match=r"missing\.jsonl does not exist"):
        make_session(data="missing.jsonl")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"task": None}, "task must be a task plugin or its name"),
        ({"detector": None}, "detector must be a detector plugin or its name"),
        ({"config": {}}, "config must be a saetask.session.SessionConfig"),
        ({"config": SessionConfig(ranking="foo")}, "Option 'ranking' of a session: expected"),
        ({"config": SessionConfig(fit_items=True)}, "Option 'fit_items' of a session: expected"),
        ({"data": []}, "data has no items"),
        ({"data": 3}, "data must be a list of saetask.data.Item"),
    ],
)
def test_what_a_session_can_not_take_is_named(tiny_model, tiny_sae, options, named) -> None:
    assert named in refusal(Session, tiny_model, tiny_sae, **options)


def test_a_model_and_an_sae_that_change_places_are_refused(tiny_model, tiny_sae) -> None:
    assert refusal(Session, tiny_sae, tiny_model).startswith("model must be")
    assert refusal(Session, tiny_model, tiny_model).startswith("sae must be")


def test_a_task_that_does_not_exist_is_suggested(tiny_model, tiny_sae) -> None:
    with pytest.raises(UserError, match="Did you mean 'metaphor'"):
        Session(tiny_model, tiny_sae, task="metaphors")


@pytest.mark.parametrize(
    ("task", "text", "target"),
    [
        ("metaphor", "She swallowed the insult.", "swallowed"),
        ("word-problems", "Ada had 12 figs and ate 5. How many figs are left?", None),
    ],
)
def test_the_shipped_pipelines_spare_the_defaults_fitting(
    model, default_sae, task, text, target, monkeypatch
) -> None:
    def refuse(*arguments):
        raise AssertionError("The shipped pipeline was not found.")

    monkeypatch.setattr("saetask.session.session.fit_pipeline", refuse)
    found = Session(model, default_sae, task).detect(text, target)
    assert 0 < found.failure < 1
