"""What a notebook shows of one prompt: the evidence, as HTML that runs nothing."""

import pytest

from saetask.data import Span
from saetask.session import Detection, Reformulation
from tests.helpers.planted_evidence import SENTENCE, concept, planted_finding
from tests.report.test_page import Page
from tests.report.test_report import HOSTILE

DETECTION = Detection(SENTENCE, "metaphorical", "metaphorical", 0.999, [planted_finding()])


def test_the_evidence_is_shown_whole() -> None:
    page = DETECTION._repr_html_()
    shown = " ".join("".join(Page(page).texts).split())
    for told in (
        "the model says: metaphorical",
        ">99%",
        "She swallowed the insult with her soup.",
        "feelings (anger, pride) −0.60 validated insult",
        "what has no telling name +0.31",
        "3 to 1 for “literal”",
        "with as much of “food” as usual the features would say “metaphorical” (−0.09)",
        "0 a bowl of «feelings (anger, pride)» on the table",
    ):
        assert told in shown
    assert page.count("border-bottom:2px solid") == 2  # swallowed, soup
    assert page.count("border-bottom:2px dashed") == 1  # insult


def test_answers_and_the_prompt_with_its_note_stand_above() -> None:
    done = Reformulation(DETECTION, "asked anew", [], "before it", "after it", "x", "y")
    shown = "".join(Page(done._repr_html_()).texts)
    for told in ("asked anew", "before it", "after it"):
        assert told in shown


@pytest.mark.parametrize("text", [HOSTILE, "<script>alert(1)</script>", "\u202e'\""])
def test_no_text_becomes_an_element(text: str) -> None:
    named = concept(text, 1.0, verdict=text, contexts=[text])
    found = planted_finding(concepts=[named], text=text, reading=text)
    page = Page(Detection(text, text, text, 0.5, [found])._repr_html_())
    assert page.open == []
    names = {name for name, _, _ in page.elements}
    assert not names & {"script", "img", "style", "link", "iframe"}


def test_without_concepts_features_are_shown_and_without_a_finding_the_reason() -> None:
    nothing = Detection(SENTENCE, "a", "a", 0.1, [], "they agree")
    assert "they agree" in nothing._repr_html_() and "<table" not in nothing._repr_html_()


def test_a_finding_within_a_part_is_on_the_same_words() -> None:
    begins = SENTENCE.index("swallowed")
    found = planted_finding().within(Span(begins, len(SENTENCE)))
    text = SENTENCE[begins:]
    assert text[found.span.start : found.span.end] == "swallowed"
    tokens = [token for each in found.concepts for token in each.tokens]
    assert tokens and all(text[token.start : token.end] == token.text for token in tokens)
