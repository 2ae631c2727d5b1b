"""What a feature is called: nothing that no reader can make something of."""

import re
from types import SimpleNamespace

import pytest

from saetask.data.word_classes import FUNCTION_WORDS, word_lists
from saetask.dictionary.dictionary import shipped_dictionaries
from saetask.dictionary.feature_labels import FeatureLabels
from saetask.discovery.hypotheses import feature_name, readable_words


def labels_of(label, **row):
    """Returns labels of a dictionary with one feature."""
    row = {"name_words": None, **row}
    dictionary = SimpleNamespace(
        feature=lambda feature: SimpleNamespace(row=row), names=lambda: {7: label}
    )
    return FeatureLabels(None, None, dictionary)


@pytest.mark.parametrize(
    ("name", "source", "verdict", "words", "shown"),
    [
        ("food", "on:noun.food", "validated", ["honey", "tea"], "food (honey, tea)"),
        ("digits", "on:digits", "validated", [], "digits"),
        ("nouns", "on:nouns", "validated", ["car"], "feature 7, nouns (car)"),
        ("food", "on:noun.food", "weak", ["honey"], "feature 7, no known concept (sat)"),
        ("", None, "no known concept", None, "feature 7, no known concept (sat)"),
    ],
)
def test_a_feature_is_called_by_its_validated_name_and_readable_words(
    name, source, verdict, words, shown
) -> None:
    row = {"name": name, "name_source": source, "name_verdict": verdict, "name_words": words}
    label = "on 'the', 'sat', '\\n', 'of', 'x2'; about 'house'"
    assert feature_name(labels_of(label, **row), 7) == shown


def test_what_another_labeler_wrote_is_shown_as_it_is() -> None:
    for label in ("insults, of old", "the word 'bank' by a river", "on 'bank' of a river"):
        assert feature_name(labels_of(label), 7) == f"feature 7, {label}"
    listed = labels_of("on 'sat', 'sit', 'the' (inconsistent); about 'x'")
    assert feature_name(listed, 7) == "feature 7, no known concept (sat, sit)"


def test_words_are_whole_and_no_function_words() -> None:
    assert readable_words("on ',\"', 'ugging', 'the', '\\n', '2', 'it', 'lay'") == ["ugging", "lay"]


def test_no_feature_of_the_shipped_dictionary_is_called_by_signs_or_function_words() -> None:
    (dictionary,) = shipped_dictionaries()
    labels, allowed = FeatureLabels(None, None, dictionary), word_lists()[FUNCTION_WORDS]
    for feature in range(0, dictionary.manifest.n_features, 13):
        shown = feature_name(labels, feature)
        assert "\\" not in shown and "'" not in shown and not re.search(r"[\x00-\x1f]", shown)
        if "no known concept (" in shown:
            assert not set(re.findall(r"\w+", shown.partition("(")[2])) & allowed
