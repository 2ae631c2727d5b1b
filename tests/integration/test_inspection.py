"""What a session asks further about one prompt: other notes, and concepts hidden."""

import pytest

from saetask import Session
from saetask.annotation import Annotation
from saetask.detection import Finding
from saetask.session import SessionConfig
from saetask.session.documents import asked_document, notes_document
from tests.helpers.probe_choices import QuickProbe
from tests.helpers.touch_task import ONE_BASELINE

CONFIG = SessionConfig(fit_items=60, settings=ONE_BASELINE)
SENTENCE = "The committee boiled the report down to a page."


class Contrary(QuickProbe):
    """Finds the reading that the model's answer does not follow, so that there is a finding."""

    name = "contrary"

    def detect(self, detector_input) -> Finding:
        (other,) = {"literal", "metaphorical"} - {detector_input.answer}
        found = self.explain(detector_input, other)._replace(probability=0.9)
        return Finding(0.9, [found], {other: 0.9, detector_input.answer: 0.1})


@pytest.fixture(scope="module")
def session(tiny_model, tiny_sae, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAETASK_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield Session(tiny_model, tiny_sae, "metaphor", Contrary, config=CONFIG)


def test_an_inspection_says_what_detect_and_reformulate_say(session) -> None:
    inspection = session.inspect(SENTENCE, "boiled")
    reformulation = session.reformulate(SENTENCE, "boiled")
    assert inspection.detection == session.detect(SENTENCE, "boiled") == reformulation.detection
    first, *_ = inspection.notes()
    assert first.chosen and [first.annotation.text] == reformulation.annotations
    before, after = inspection.ask(), inspection.ask(first.annotation)
    assert (before.answers.raw, after.answers.raw) == (reformulation.before, reformulation.after)
    assert after.answers.calibrated == reformulation.calibrated_after


def test_notes_are_offered_once_and_one_is_the_chosen(session) -> None:
    offered = session.inspect(SENTENCE, "boiled").notes()
    notes = [note.annotation for note in offered]
    assert len(notes) == len(set(notes)) > 1
    assert sum(note.chosen for note in offered) == 1
    assert {"text", "placement", "annotator", "chosen"} == notes_document(offered)[0].keys()


def test_shares_add_up_and_the_likeliest_is_the_raw_answer(session) -> None:
    asked = session.inspect(SENTENCE, "boiled").ask(Annotation("Note: so.", "inline", "reader"))
    assert '"boiled' in asked.prompt or "boiled Note: so." in asked.prompt
    assert sum(candidate.share for candidate in asked.candidates) == pytest.approx(1)
    best = max(asked.candidates, key=lambda candidate: candidate.score)
    assert asked_document(asked)["answer"] == best.text == asked.answers.raw


def test_without_concepts_nothing_is_hidden_and_the_answer_stays(session) -> None:
    inspection = session.inspect(SENTENCE, "boiled")
    same = inspection.without([])
    assert same.detection == inspection.detection
    assert same.ask() == inspection.ask()
