"""One prompt at a time, on the tiny model: fitted once, kept, and consistent with itself."""

import json

import pytest

import saetask.session as session_module
from saetask import Session, UserError


@pytest.fixture
def session(tiny_model, tiny_sae, tmp_path, monkeypatch) -> Session:
    monkeypatch.setenv("SAETASK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(session_module, "FIT_ITEMS", 60)
    return Session(tiny_model, tiny_sae, task="metaphor")


SENTENCE = "The committee boiled the report down to a page."


def test_spans_count_in_the_text_that_was_given(session) -> None:
    detection = session.detect(SENTENCE, target="boiled")
    assert detection.prompt == SENTENCE
    assert detection.answer in ("literal", "metaphorical")
    assert 0 <= detection.failure <= 1
    for found in detection.misunderstandings:
        assert SENTENCE[found.span.start : found.span.end] == found.text == "boiled"


def test_a_prompt_without_a_finding_is_left_as_it_is(session, monkeypatch) -> None:
    session.detect(SENTENCE, target="boiled")
    detector = session._fitted().detector
    monkeypatch.setattr(detector, "detect", lambda reading: session_module.Finding(0.1, []))
    done = session.reformulate(SENTENCE, target="boiled")
    assert not done.annotations
    assert done.before == done.after
    assert done.reformulated.endswith(f'"{SENTENCE}"')


def test_a_finding_is_written_into_the_prompt(session, monkeypatch) -> None:
    reading = {"literal": "metaphorical", "metaphorical": "literal"}
    detector = session._fitted().detector

    def disagree(seen):
        span = seen.spans["target"]
        finding = session_module.Misunderstanding(
            "test", span, "boiled", reading[seen.answer], 0.9, []
        )
        return session_module.Finding(0.9, [finding])

    monkeypatch.setattr(detector, "detect", disagree)
    done = session.reformulate(SENTENCE, target="boiled")
    assert len(done.annotations) == 1
    assert done.annotations[0] in done.reformulated
    assert SENTENCE in done.reformulated.replace(f" {done.annotations[0]}", "")


def test_a_fit_is_kept_and_gives_the_same_detection(session, tiny_model, tiny_sae) -> None:
    first = session.detect(SENTENCE, target="boiled")
    again = Session(tiny_model, tiny_sae, task="metaphor")
    again._make_fit = lambda: pytest.fail("fitted twice")
    assert again.detect(SENTENCE, target="boiled") == first


@pytest.mark.parametrize("detector", ["missing-concept", "sense-conflict", "uncertainty"])
def test_any_detectors_fit_is_kept_under_its_own_name(
    session, tiny_model, tiny_sae, detector
) -> None:
    session.detect(SENTENCE, target="boiled")
    first = Session(tiny_model, tiny_sae, task="metaphor", detector=detector)
    found = first.detect(SENTENCE, target="boiled")
    again = Session(tiny_model, tiny_sae, task="metaphor", detector=detector)
    again._make_fit = lambda: pytest.fail("fitted twice")
    assert again.detect(SENTENCE, target="boiled") == found
    assert again._fitted().detector.name == detector


def test_a_damaged_fit_is_made_anew(session, tiny_model, tiny_sae, tmp_path) -> None:
    first = session.detect(SENTENCE, target="boiled")
    (kept,) = (tmp_path / "cache" / "fits").glob("*/fit.json")
    kept.write_text(kept.read_text()[:20])
    again = Session(tiny_model, tiny_sae, task="metaphor")
    assert again.detect(SENTENCE, target="boiled") == first
    assert json.loads(kept.read_text())["annotator"] == "sense-note"


def test_reading_needs_no_fit(session, tmp_path) -> None:
    assert session.read("The sea was calm.", "It rained.").top(3)
    assert not (tmp_path / "cache" / "fits").exists()


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
def test_the_shipped_fits_spare_the_defaults_fitting(
    model, default_sae, task, text, target, monkeypatch
) -> None:
    def refuse(session):
        raise AssertionError("The shipped fit was not found.")

    monkeypatch.setattr(Session, "_make_fit", refuse)
    found = Session(model, default_sae, task).detect(text, target)
    assert 0 < found.failure < 1
