"""The concepts of a dictionary folder."""

import shutil

import pyarrow
import pytest

from saetask import Dictionary
from saetask.dictionary.concept_table import CONCEPTS, read_concepts
from saetask.dictionary.dictionary import dictionary_folder
from saetask.dictionary.store import CONTEXTS, FEATURES, MANIFEST, write_parquet
from saetask.saes import Concept
from saetask.saes.loading import DEFAULT_SAE
from tests.helpers.refusals import refusal

ROW = {
    "id": "on:noun.food",
    "name": "food",
    "kind": "on",
    "source": "noun.food",
    "features": [3, 7],
    "weights": [1.0, 0.5],
    "statistic": 22.0,
    "null_threshold": 4.5,
    "auroc": 0.9,
    "verdict": "validated",
    "examples": ["some «tea»"],
    "words": ["tea", "honey"],
}


@pytest.mark.parametrize(
    ("changes", "verdict", "words"),
    [
        ({}, "validated", ("tea", "honey")),
        ({"verdict": None, "words": None}, "not validated", ()),
    ],
)
def test_a_row_is_a_concept(tmp_path, changes, verdict, words):
    write_parquet(tmp_path / CONCEPTS, pyarrow.Table.from_pylist([{**ROW, **changes}]))
    expected = Concept("on:noun.food", "food", "on", (3, 7), (1.0, 0.5), verdict, words)
    assert read_concepts(tmp_path, 8) == [expected._replace(examples=("some «tea»",))]


def test_a_dictionary_that_was_not_named_has_no_concepts(tmp_path):
    assert read_concepts(tmp_path, 8) == []


def test_a_damaged_table_is_named(tmp_path):
    row = {name: value for name, value in ROW.items() if name != "weights"}
    write_parquet(tmp_path / CONCEPTS, pyarrow.Table.from_pylist([row]))
    said = refusal(read_concepts, tmp_path, 8)
    assert CONCEPTS in said
    assert "weights" in said


@pytest.mark.parametrize("changes", [{"features": [3, 8]}, {"weights": [1.0]}])
def test_features_that_the_dictionary_has_not_are_refused(tmp_path, changes):
    write_parquet(tmp_path / CONCEPTS, pyarrow.Table.from_pylist([{**ROW, **changes}]))
    assert "on:noun.food" in refusal(read_concepts, tmp_path, 8)


def test_a_dictionary_gives_its_concepts_and_they_are_part_of_its_content(tmp_path):
    write_parquet(tmp_path / FEATURES, pyarrow.table({"label": ["on 'tea'"] * 8}))
    write_parquet(tmp_path / CONTEXTS, pyarrow.table({"feature": pyarrow.array([0])}))
    shutil.copy(dictionary_folder(DEFAULT_SAE) / MANIFEST, tmp_path)
    plain = Dictionary.load(tmp_path)
    assert plain.concepts() == []
    before = plain.content_hash()
    write_parquet(tmp_path / CONCEPTS, pyarrow.Table.from_pylist([ROW]))
    assert [concept.id for concept in Dictionary.load(tmp_path).concepts()] == ["on:noun.food"]
    assert plain.content_hash() != before
