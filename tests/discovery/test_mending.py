"""Notes on discoveries: chosen on one half, tried on the other, beside notes that name nothing."""

import numpy as np
import pytest

from saetask.annotation.base import Annotation
from saetask.annotation.fixed_notes import GENERIC
from saetask.annotation.generated_notes import NoteSubject, with_generated_notes
from saetask.data.evaluated_items import EvaluatedItem
from saetask.data.prompts import Span, as_prompt
from saetask.detection.base import ConceptToken
from saetask.discovery.discovery_notes import DiscoveryNotes, concept_finding, note_templates
from saetask.discovery.mending import FEWEST_PROMPTS, Slice, check_mendable
from saetask.discovery.mending import mend as mend_slices
from saetask.inference.client import RankResponse
from saetask.saes.concepts import Concept
from tests.helpers.refusals import refusal


class ListeningClient:
    """Answers rightly where a prompt contains a text, and keeps what it was asked."""

    def __init__(self, cure: str) -> None:
        self.cure, self.asked = cure, []

    def rank(self, requests, title=""):
        requests = list(requests)
        self.asked += [request.prompt.content for request in requests]
        return [
            RankResponse(np.array([0.0, 1.0 if self.cure in r.prompt.content else -1.0]))
            for r in requests
        ]

    def generate(self, requests, title=""):
        requests = list(requests)
        self.asked += [request.prompt.content for request in requests]
        return ["It is 7." if self.cure in r.prompt.content else "It is 8." for r in requests]


def subjects(n, name, words=("lost", "gave")):
    """What notes on some prompts are about."""
    concept = Concept(f"on:{name}", name, "on", (3, 5), (1.0, 2.0))
    tokens = [ConceptToken(0, 4, word, 1.0) for word in words]
    return [
        NoteSubject(
            concept_finding(concept, f"Text {i}.", Span(0, 7), tokens, {3: 2.0, 5: 1.5}, 0.5),
            {3: "on money", 5: "on gifts"},
        )
        for i in range(n)
    ]


def mend(client, *slices, annotators=()):
    """Mends with the fixed texts and with annotators; the only mending, if there is one."""
    found = mend_slices(client, slices, [DiscoveryNotes(), *annotators])
    return (found or [None])[0] if len(slices) == 1 else found


def slice_of(n: int, choices=("no", "yes"), target="yes") -> Slice:
    items = [
        EvaluatedItem(
            f"{i}", as_prompt(f"Text {i}."), "no", 0.0, f"{i}", target=target, choices=choices
        )
        for i in range(n)
    ]
    about, another = subjects(n, "loss"), subjects(n, "weather")
    return Slice("on:loss", "loss", items, about, another, np.arange(n) % 2 == 1)


@pytest.mark.parametrize("choices", [("no", "yes"), ()])
def test_a_note_that_helps_is_found_and_told_from_its_controls(choices):
    found = slice_of(40, choices, "yes" if choices else "7")
    mending = mend(ListeningClient("mind what is said about loss"), found)
    assert mending is not None
    assert "mind what is said about loss" in mending.template
    assert (mending.n_chosen_on, mending.n) == (20, 20)
    accuracies = {name: arm.accuracy for name, arm in mending.arms.items()}
    assert accuracies == {
        "original": 0.0,
        "mended": 1.0,
        "placebo": 0.0,
        "generic": 0.0,
        "other-concept": 0.0,
    }
    assert mending.arms["mended"].against_original.fixed == 20
    assert mending.arms["generic"].mended_against.mcnemar_p < 1e-4


def test_a_note_that_helps_by_being_there_is_credited_to_its_controls_too():
    mending = mend(ListeningClient("(Note:"), slice_of(40))
    assert mending is not None
    assert {arm.accuracy for name, arm in mending.arms.items() if name != "original"} == {1.0}
    assert mending.arms["placebo"].mended_against.difference == 0


def test_notes_are_chosen_on_the_discovery_half_alone():
    client, found = ListeningClient("never"), slice_of(40)
    mend(client, found)
    n_trials = len(note_templates("loss")) * 20
    tried, confirmed = client.asked[:n_trials], client.asked[n_trials:]
    assert {int(text.split("Text ")[1].split(".")[0]) % 2 for text in tried} == {0}
    assert {int(text.split("Text ")[1].split(".")[0]) % 2 for text in confirmed} == {1}
    assert any(GENERIC.notes[0].text in text for text in confirmed)


def test_the_words_of_each_prompt_stand_in_its_note():
    client, found = ListeningClient("never"), slice_of(12)
    about = [subjects(12, "loss", [f"word{i}"])[i] for i in range(12)]
    mend(client, found._replace(about=about))
    assert any("Text 4." in text and "“word4” mean here" in text for text in client.asked)
    assert not any("{words}" in text for text in client.asked)


def test_several_discoveries_are_asked_in_two_stages_and_told_apart():
    class CountingClient(ListeningClient):
        def __init__(self, cure):
            super().__init__(cure)
            self.stages = []

        def rank(self, requests, title=""):
            self.stages.append(title)
            return super().rank(requests, title)

    loss = slice_of(40)
    gain = loss._replace(id="on:gain", name="gain", about=subjects(40, "gain"))
    few = slice_of(4)
    client = CountingClient("said about gain")
    first, second = mend(client, loss, few, gain)
    assert client.stages == ["notes on discoveries", "mended prompts"]
    assert (first.id, first.arms["mended"].accuracy) == ("on:loss", 0.0)
    assert (second.id, second.arms["mended"].accuracy) == ("on:gain", 1.0)
    alone = mend(ListeningClient("said about gain"), gain)
    assert second.arms["mended"] == alone.arms["mended"]


class Explainer:
    """An annotator whose notes the model writes, with one placement that is not tried."""

    name, endpoint = "explainer", None

    def request(self, misunderstanding, labels):
        known = "; ".join(labels.values())
        return f"Explain {misunderstanding.reading} in {misunderstanding.text}: {known}"

    def annotations(self, text):
        return [Annotation(f"(Note: {text})", place, self.name) for place in ("inline", "end")]


class WritingClient(ListeningClient):
    """Writes as a note what it was asked for, and ranks as `ListeningClient` does."""

    def generate(self, requests, title=""):
        requests = list(requests)
        assert all(request.prompt.content.startswith("Explain") for request in requests)
        return [request.prompt.content.lower() for request in requests]


def test_notes_of_annotators_are_tried_beside_the_fixed_texts():
    client = WritingClient("explain loss in text")
    explainer = with_generated_notes(Explainer(), client)
    mending = mend(client, slice_of(40), annotators=[explainer])
    assert (mending.annotator, mending.placement) == ("explainer", "end")
    assert mending.template == "(Note: explain loss in text 0.: on money; on gifts)"
    accuracies = {name: arm.accuracy for name, arm in mending.arms.items()}
    assert accuracies["mended"] == 1 and accuracies["other-concept"] == 0
    own = [text for text in client.asked if "explain loss" in text]
    assert all(f"in text {text.split('Text ')[1].split('.')[0]}." in text for text in own)
    assert any("explain weather in text 1." in text for text in client.asked)


def test_a_prompt_without_a_note_is_asked_as_it_is():
    class Silent(Explainer):
        def annotations(self, text):
            return super().annotations(text) if "text 2" in text else []

    client = WritingClient("explain loss in text 2")
    mending = mend(client, slice_of(60), annotators=[with_generated_notes(Silent(), client)])
    assert mending.annotator == "explainer"
    assert mending.arms["mended"].accuracy == pytest.approx(5 / 30)  # 21, 23, ... 29
    assert "Text 31." in client.asked


def test_too_few_prompts_give_nothing():
    assert mend(ListeningClient("x"), slice_of(2 * FEWEST_PROMPTS - 1)) is None


def test_a_log_that_cannot_be_asked_again_is_refused():
    item = slice_of(1).items[0]
    text = EvaluatedItem("a", "running text", "x", 0.0, "a", target="y")
    assert "--as-chat" in refusal(lambda: check_mendable([item, text]))
    untold = EvaluatedItem("a", as_prompt("text"), "x", 0.0, "a")
    assert "no right answers" in refusal(lambda: check_mendable([untold]))
    check_mendable([item])
