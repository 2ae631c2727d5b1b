"""Annotators that have a language model write: what it is told, what is taken of its reply."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saetask import PLACEMENTS, Evidence, Misunderstanding, Span, WritingAnnotator
from saetask.annotation.base import configured
from saetask.plugins import PluginRegistry
from saetask_plugins.annotators.llm import LLM
from saetask_plugins.annotators.note_request import LONGEST, first_sentence
from saetask_plugins.annotators.self_explain import SelfExplain
from tests.helpers.refusals import refusal

WRITERS = (SelfExplain(), LLM())
URL = "http://127.0.0.1:9/v1"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def finding(*features):
    evidence = [Evidence(feature, f"shown {feature}", 1.0, 1.0) for feature in features]
    return Misunderstanding("test", Span(4, 8), "boiled", "metaphorical", 0.9, evidence)


@pytest.mark.parametrize("name", ["self-explain", "llm"])
def test_they_are_registered_as_annotators_that_have_a_note_written(name) -> None:
    assert isinstance(PluginRegistry().get("annotator", name), WritingAnnotator)


@pytest.mark.parametrize("writer", WRITERS, ids=lambda w: w.name)
def test_a_request_names_the_text_its_reading_and_the_labels_that_a_note_may_use(writer) -> None:
    request = writer.request(finding(3, 5, 7), {3: "about steam", 7: "about tea", 8: "about ink"})
    for told in ("boiled", "metaphorical", "about steam; about tea"):
        assert told in request
    assert "shown" not in request  # that label may be one that was not validated
    assert "ink" not in request


@pytest.mark.parametrize("writer", WRITERS, ids=lambda w: w.name)
def test_a_finding_without_labels_is_requested_without_them(writer) -> None:
    assert writer.request(finding(3), {}) == writer.request(finding(), {4: "about steam"})


@pytest.mark.parametrize("writer", WRITERS, ids=lambda w: w.name)
def test_a_reply_becomes_one_note_at_every_placement(writer) -> None:
    notes = writer.annotations("The word is figurative. It is not literal.")
    assert [note.placement for note in notes] == list(PLACEMENTS)
    assert {note.text for note in notes} == {"(Note: The word is figurative.)"}
    assert {note.annotator for note in notes} == {writer.name}


@pytest.mark.parametrize("writer", WRITERS, ids=lambda w: w.name)
@pytest.mark.parametrize("reply", ["", "  \n ", "...", "**", '"', "Note:"])
def test_a_reply_without_a_sentence_gives_no_note(writer, reply) -> None:
    assert writer.annotations(reply) == []


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        ("It costs 3.5 now. Really.", "It costs 3.5 now."),
        ("\n\nIs it so? Yes.", "Is it so?"),
        ("No stop here\nNext line.", "No stop here"),
        ("(Note: it is figurative.)", "it is figurative."),
        ('"It is figurative. It is not literal."', "It is figurative."),
        ('"Boiled" is figurative.', '"Boiled" is figurative.'),
        ("- **Boiled** is (here) figurative", "**Boiled** is (here) figurative"),
        ("boiled " * LONGEST, " ".join(["boiled"] * (LONGEST // 7))),
    ],
)
def test_the_first_sentence_is_taken_without_what_stands_about_it(reply, sentence) -> None:
    assert first_sentence(reply) == sentence


@given(st.text(st.sampled_from('ab 1.!?"()\n\t*:é'), max_size=3 * LONGEST) | st.text())
def test_whatever_the_reply_the_sentence_is_short_stands_on_one_line_and_comes_from_it(reply):
    sentence = first_sentence(reply)
    assert len(sentence) <= LONGEST
    assert len(sentence.splitlines()) <= 1
    assert sentence == "" or re.search(r"\w", sentence)
    assert "".join(sentence.split()) in "".join(reply.split())


def test_options_reach_the_annotator_that_has_them_and_leave_others_alone() -> None:
    plain = PluginRegistry().get("annotator", "sense-note")
    same, writer = configured([plain, LLM()], {"model": "tiny", "base_url": URL})
    assert same is plain
    assert isinstance(writer, LLM) and writer.endpoint is not None
    assert (writer.endpoint.model, writer.endpoint.base_url) == ("tiny", f"{URL}/")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({}, "--annotator-option model=VALUE"),
        ({"model": "", "base_url": URL}, "option 'model'"),
        ({"modle": "tiny"}, "Did you mean 'model'"),
        ({"model": "tiny"}, "OPENAI_API_KEY"),
    ],
)
def test_options_that_do_not_do_are_refused_in_one_line(options, named) -> None:
    assert named in refusal(configured, [LLM()], options)


def test_an_option_that_no_annotator_has_is_refused_with_their_names() -> None:
    plain = PluginRegistry().get("annotator", "sense-note")
    assert "(sense-note, self-explain) has an option 'model'" in refusal(
        configured, [plain, SelfExplain()], {"model": "tiny"}
    )
