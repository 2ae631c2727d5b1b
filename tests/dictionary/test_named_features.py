"""Single features as concepts, from the tables of a dictionary."""

import pyarrow
import pytest

from saetask.dictionary.named_features import named_features
from saetask.saes import Concept

FEATURES = pyarrow.table(
    {
        "feature": [0, 1, 2, 3],
        "name": ["food", None, "after room, door", "commas"],
        "name_source": ["on:noun.food", None, "after:words", "on:commas"],
        "name_verdict": ["validated", "no known concept", "not confirmed", "validated"],
        "name_words": [["tea", "honey"], [], [], None],
    }
)
CONTEXTS = pyarrow.table(
    {
        "feature": [0, 0, 1, 2, 2, 2, 2],
        "tokens": [["I", " drank", " tea", "."]] + [["a", "\n b"]] * 4 + [["<|x|>", "c"]] * 2,
        "position": [2, 0, 1, 1, 0, 1, 0],
    }
)


def test_a_feature_with_a_name_is_a_concept_of_one_feature_with_its_contexts():
    food, room, commas = named_features(FEATURES, CONTEXTS)
    assert food == Concept(
        "feature:0",
        "food",
        "on",
        (0,),
        (1.0,),
        "validated",
        ("tea", "honey"),
        ("I drank «tea».", "«a» b"),
    )
    assert (room.kind, room.verdict, room.text) == ("near", "not confirmed", "after room, door")
    assert room.examples == ("a «b»", "«a» b"), "no template, and no token twice"
    assert (commas.subject, commas.words, commas.examples) == ("form", (), ())


@pytest.mark.parametrize("features", [FEATURES.select(["feature"]), FEATURES.slice(1, 1)])
def test_a_dictionary_without_names_has_none(features):
    assert list(named_features(features, CONTEXTS)) == []
