"""Neuronpedia exports are read strictly, and written so that they can be read again."""

import gzip
import json

import pytest

from saetask.dictionary import Label
from saetask.dictionary.label.base import configured
from saetask_plugins.labelers.neuronpedia import Neuronpedia
from tests.helpers.refusals import refusal

ROW = {
    "modelId": "gpt2-small",
    "layer": "6-res-jb",
    "index": "1",
    "description": "words about ships",
    "typeName": "oai_token-act-pair",
    "explanationModelName": "some-model",
}


class Asked:
    """The little of a feature's evidence that the labeler looks at."""

    def __init__(self, feature: int, n_features: int = 4) -> None:
        self.feature, self.n_features = feature, n_features


def written(path, *rows):
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt", encoding="utf-8") as file:
        file.writelines((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows)
    return path


def labeler_of(path):
    return configured(Neuronpedia(), {"path": str(path)})


@pytest.mark.parametrize("name", ["export.jsonl", "export.jsonl.gz"])
def test_labels_come_with_where_they_are_from(tmp_path, name) -> None:
    labeler = labeler_of(written(tmp_path / name, ROW, {**ROW, "index": 2, "description": "é"}))
    label = labeler.label(Asked(1))
    provenance = {k: v for k, v in ROW.items() if k not in ("index", "description")}
    assert label == Label("words about ships", None, provenance)
    assert labeler.label(Asked(2)).text == "é"


def test_a_feature_that_is_not_in_the_file_failed(tmp_path) -> None:
    labeler = labeler_of(written(tmp_path / "export.jsonl", ROW, {**ROW, "index": 2}))
    assert labeler.label(Asked(3)) == Label("", None, failed="no description in export.jsonl")


def test_the_highest_score_wins_and_else_the_first(tmp_path) -> None:
    rows = [
        {**ROW, "description": "first"},
        {**ROW, "description": "second"},
        {**ROW, "index": "2", "description": "unscored"},
        {**ROW, "index": "2", "description": "good", "scores": [{"value": 0.2}, {"value": 0.9}]},
        {**ROW, "index": "2", "description": "poor", "scores": [{"value": 0.5}]},
        {**ROW, "index": "3", "description": ""},
        {**ROW, "index": "3", "description": "at last"},
    ]
    labeler = labeler_of(written(tmp_path / "export.jsonl", *rows))
    assert [labeler.label(Asked(f)).text for f in (1, 2, 3)] == ["first", "good", "at last"]


def without(name):
    return {key: value for key, value in ROW.items() if key != name}


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ("{broken", "no JSON"),
        ("[1]", "no JSON object"),
        (without("modelId"), "'modelId'"),
        (without("layer"), "'layer'"),
        (without("index"), "'index'"),
        (without("description"), "'description'"),
        ({**ROW, "description": 3}, "'description'"),
        ({**ROW, "index": "one"}, "'index'"),
        ({**ROW, "index": -1}, "'index'"),
        ({**ROW, "index": True}, "'index'"),
        ({**ROW, "index": 1.5}, "'index'"),
        ({"explanation": "ships", "feature": 1}, "it has: explanation, feature"),
        ({**ROW, "layer": "7-res-jb"}, "'layer'"),
        ({**ROW, "scores": [{"value": "high"}]}, "'scores'"),
        ({**ROW, "scores": 3}, "'scores'"),
    ],
)
def test_a_line_that_does_not_fit_is_told_by_file_line_and_field(tmp_path, row, named) -> None:
    message = refusal(labeler_of, written(tmp_path / "export.jsonl", ROW, row))
    assert "export.jsonl, line 2" in message and named in message


def test_a_feature_beyond_the_sae_is_told_by_its_line(tmp_path) -> None:
    path = written(tmp_path / "export.jsonl", {**ROW, "index": "4"}, ROW)
    labeler = labeler_of(path)
    assert "line 1, field 'index': 4" in refusal(labeler.label, Asked(0))
    assert labeler.label(Asked(1, n_features=5)).text


def test_a_missing_or_damaged_file_is_named(tmp_path) -> None:
    assert "none.jsonl" in refusal(labeler_of, tmp_path / "none.jsonl")
    path = written(tmp_path / "export.jsonl.gz", ROW)
    path.write_bytes(path.read_bytes()[:-9])
    assert "export.jsonl.gz" in refusal(labeler_of, path)
    path.write_bytes(b"no gzip")
    assert "export.jsonl.gz" in refusal(labeler_of, path)


def test_it_says_that_it_needs_a_path() -> None:
    assert "'path'" in refusal(configured, Neuronpedia(), {})
    assert "'path'" in refusal(Neuronpedia().label, Asked(0))


def texts_of(path, *rows):
    labeler = labeler_of(written(path, *rows))
    return [labeler.label(Asked(feature)).text for feature in range(4)]


@pytest.mark.parametrize("score", [float("nan"), "NaN", None, True, float("inf"), float("-inf")])
@pytest.mark.parametrize("order", [1, -1])
def test_a_score_that_is_no_number_loses(tmp_path, score, order) -> None:
    rows = [
        {**ROW, "description": "unknown", "scores": [{"value": score}]},
        {**ROW, "description": "good", "scores": [{"value": 0.9}]},
    ]
    assert texts_of(tmp_path / "export.jsonl", *rows[::order])[1] == "good"


def test_of_equal_scores_the_first_wins_and_of_a_feature_the_highest(tmp_path) -> None:
    rows = [
        {**ROW, "description": name, "scores": [{"value": float("nan")}, {"value": value}]}
        for name, value in (("first", 0.5), ("second", 0.5), ("worse", 0.1))
    ]
    assert texts_of(tmp_path / "export.jsonl", *rows)[1] == "first"


def test_lines_without_a_description_are_passed_over_and_counted(tmp_path, capsys) -> None:
    rows = [{**ROW, "description": None}, ROW, {**ROW, "index": 2, "description": None}]
    rows.append({**ROW, "index": 3.0, "description": "  "})
    labeler = labeler_of(written(tmp_path / "export.jsonl", *rows))
    assert labeler.label(Asked(1)).text == "words about ships"
    assert labeler.label(Asked(2)).failed == "no description in export.jsonl"
    assert "3 of 4 lines have no description" in capsys.readouterr().err


@pytest.mark.parametrize("rows", [[], [{**ROW, "description": None}], ["", ""], ["[]"]])
def test_an_export_without_an_explanation_is_refused(tmp_path, rows) -> None:
    assert "holds no explanation" in refusal(labeler_of, written(tmp_path / "export.jsonl", *rows))


def test_a_byte_order_mark_and_an_array_are_read(tmp_path) -> None:
    path = tmp_path / "export.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps([ROW, {**ROW, "index": 2}]).encode())
    assert labeler_of(path).label(Asked(2)).text == "words about ships"


def test_another_file_than_that_of_the_dictionary_is_refused(tmp_path) -> None:
    path = written(tmp_path / "export.jsonl", ROW)
    options = dict(labeler_of(path).chosen)
    assert configured(Neuronpedia(), options).label(Asked(1)).text
    written(path, {**ROW, "description": "other"})
    assert "another file" in refusal(configured, Neuronpedia(), options)
