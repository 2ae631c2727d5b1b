"""What annotators write, and when they write nothing."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saetask.annotation import Annotation, annotate
from saetask.data import Prompt, Span
from saetask.detection import Evidence, Misunderstanding
from saetask_plugins.annotators.feature_label import FeatureLabel
from saetask_plugins.annotators.gloss import Gloss
from tests.helpers.refusals import refusal

SENSES = {
    "bank.n.01": "sloping land",
    "bank%1:17:01::": "sloping land",
    "good%5:00:00:nice:01": "pleasant",
}


def read_as(reading, features=()):
    return Misunderstanding("any", Span(4, 8), "bank", reading, 0.9, list(features))


def gloss(reading):
    return Gloss().candidates(read_as(reading), {})


class FakeError(Exception):
    """Stands for NLTK's WordNetError."""


def fake_nltk(monkeypatch, wordnet):
    """Puts modules in NLTK's place, so that it need not be installed."""
    contents = {
        "nltk": {},
        "nltk.corpus": {"wordnet": wordnet},
        "nltk.corpus.reader": {},
        "nltk.corpus.reader.wordnet": {"WordNetError": FakeError},
    }
    for name, attributes in contents.items():
        module = ModuleType(name)
        vars(module).update(attributes)
        monkeypatch.setitem(sys.modules, name, module)


@pytest.fixture
def wordnet(monkeypatch):
    """A WordNet of two senses."""

    def synset(name):
        if name not in SENSES:
            raise FakeError(name)
        return SimpleNamespace(definition=lambda: SENSES[name])

    fake_nltk(monkeypatch, SimpleNamespace(synset=synset, synset_from_sense_key=synset))


@pytest.fixture
def no_nltk(monkeypatch):
    monkeypatch.setitem(sys.modules, "nltk", None)
    monkeypatch.setitem(sys.modules, "nltk.corpus", None)


# gloss


@pytest.mark.parametrize("reading", SENSES)
def test_a_gloss_quotes_the_definition_of_a_synset_or_sense_key(wordnet, reading):
    notes = gloss(reading)
    assert len({note.text for note in notes}) == len(notes) == 2
    for note in notes:
        assert '"bank"' in note.text
        assert SENSES[reading] in note.text
        assert (note.placement, note.annotator) == ("end", "gloss")


def test_a_sense_that_wordnet_does_not_know_gets_no_gloss(wordnet):
    assert gloss("bank.n.99") == []
    assert gloss("bank%1:99:99::") == []


@pytest.mark.parametrize(
    "reading", ["literal", "metaphorical", "addition", "", "bank.x.01", "bank.n.00", "e.g. bank"]
)
def test_a_reading_that_is_no_sense_gets_no_gloss_even_without_nltk(no_nltk, reading):
    assert gloss(reading) == []


@given(st.text(max_size=30))
def test_no_text_breaks_the_recognition_of_senses(reading):
    with pytest.MonkeyPatch.context() as patch:
        fake_nltk(patch, SimpleNamespace(synset=unknown, synset_from_sense_key=unknown))
        assert gloss(reading) == []


def unknown(name):
    raise FakeError(name)


@pytest.mark.parametrize("reading", SENSES)
def test_without_nltk_the_refusal_names_the_extra_and_the_download(no_nltk, reading):
    message = refusal(gloss, reading)
    assert "saetask[wordnet]" in message
    assert "python -m nltk.downloader wordnet" in message


def test_without_wordnets_data_the_refusal_is_the_same_line(monkeypatch):
    class NotDownloaded:
        """As NLTK does: the data are looked for when an attribute is first used."""

        def __getattr__(self, name):
            raise LookupError("\n*** Resource 'wordnet' not found. ***\n")

    fake_nltk(monkeypatch, NotDownloaded())
    assert "python -m nltk.downloader wordnet" in refusal(gloss, "bank.n.01")


# feature-label


def test_labels_of_silent_features_and_of_those_that_speak_against_are_not_quoted():
    features = [
        Evidence(1, "", 2.0, 0.5),
        Evidence(2, "", 0.0, -0.5),
        Evidence(3, "", 4.0, -0.1),
        Evidence(4, "", -3.0, -0.2),  # of an SAE whose features have two directions
    ]
    labels = {1: "rivers", 2: "money", 3: "loans", 4: "boats"}
    (note,) = FeatureLabel().candidates(read_as("bank.n.01", features), labels)
    assert note.text == '(Note: "bank" here: rivers; boats.)'
    assert FeatureLabel().candidates(read_as("bank.n.01", features[1:3]), labels) == []


# what annotators must not give


def test_a_placement_that_is_none_is_refused_with_the_annotators_name():
    prompt = Prompt([{"role": "user", "content": "a cold soup"}], spans={"text": Span(0, 11)})
    message = refusal(annotate, prompt, Annotation("(warm)", "middle", "mine"))
    assert "'mine'" in message and "'middle'" in message and "inline" in message


def test_a_span_past_the_text_is_refused():
    prompt = Prompt([{"role": "user", "content": "a cold soup"}], spans={"text": Span(0, 11)})
    note = Annotation("(warm)", "inline", "mine")
    assert "2 to 61" in refusal(annotate, prompt, note, Span(2, 61))
