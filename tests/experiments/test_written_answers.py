"""Generated answers: what they stand for, and that the gate judges them in place of the ranking."""

import pytest

from saetask.data import Item, Score
from saetask.data.samples import make_samples
from saetask.detection.base import make_finding, make_misunderstanding
from saetask.experiments.observation import observe
from saetask.experiments.written_answers import reading_of_answer
from saetask.inference.requests import GenerateRequest
from saetask_plugins.tasks.word_problems import WordProblems
from tests.helpers.touch_task import StubClient, Touch, make_context

PROBLEM = "Joan found 70 shells. She gave Sam 27. How many has she left?"


class Writes(StubClient):
    """Writes "warm" of tea, "cold" of what is hot, and neither of the rest."""

    def text(self, request):
        content = request.prompt.content
        return "warm" if "tea" in content else "cold" if "hot" in content else "no idea"


@pytest.mark.parametrize(
    ("output", "reading"),
    [
        (" 70 - 27 = 43", "subtraction"),
        ("Joan gave 70 shells - 27 shells = 43 shells.", "subtraction"),
        ("She has 43 left.\n#### 43", "subtraction"),
        ("#### 97", "addition"),
        ("70 / 27 = 2.5925925925", "division"),  # the candidate is rounded
        (" 70 - 27 = 53", ""),  # a wrong sum
        (" 70 - 27 = x", ""),
        ("", ""),
    ],
)
def test_an_answer_stands_for_the_reading_of_the_candidates_that_say_the_same(output, reading):
    task = WordProblems()
    (sample,) = make_samples(task, [Item("a", "a", {"question": PROBLEM}, 97.0)])
    assert reading_of_answer(task.score, sample, output) == reading


def test_an_answer_that_two_readings_lead_to_stands_for_none():
    task = WordProblems()
    (sample,) = make_samples(task, [Item("a", "a", {"question": "2 and 2 and 4?"}, 6.0)])
    assert {"addition", "multiplication", "subtraction"} <= set(sample.readings)
    assert reading_of_answer(task.score, sample, "2 * 4 = 8") == "multiplication"
    assert reading_of_answer(task.score, sample, "4 - 2 = 2") == ""


def test_the_reading_of_an_answer_does_not_depend_on_the_right_one():
    def score(item, output):
        return Score(output.strip(), item.gold == "x")

    for gold in ("x", "y"):
        (sample,) = make_samples(Touch(), [Item("a", "a", Touch().items()[0].question, ("", gold))])
        assert reading_of_answer(score, sample, "warm") == "warm"


def test_the_gate_judges_what_the_model_wrote_and_not_what_it_ranked_first(tiny_model, tiny_sae):
    client = Writes()
    context = make_context(tiny_model, tiny_sae, None, client=client)
    samples = make_samples(Touch(), Touch().items()[:12])
    read = observe(context, samples, generate=True)
    asked = [request for request in client.requests if isinstance(request, GenerateRequest)]
    assert [request.prompt for request in asked] == [sample.prompt for sample in samples]
    assert {o.written_reading for o in read} == {"warm", "cold", ""}

    def explain(given, reading):
        return make_misunderstanding("test", given, reading)

    for observation in read:
        given = observation.detector_input(observation_bias(), Touch.readings)
        wrote, finding = observation.written_reading, make_finding(given, {"warm": 0.8}, explain)
        assert given.answer == wrote
        assert [m.reading for m in finding.misunderstandings] == ["warm"] * (wrote != "warm")
        assert finding.failure == pytest.approx(0 if wrote == "warm" else 1)
    ranked = observe(context, samples)
    assert {o.written_reading for o in ranked} == {None}


def observation_bias():
    from saetask.detection.calibration import fit_calibration

    return fit_calibration([])
