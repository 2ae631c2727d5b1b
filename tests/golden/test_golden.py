"""The command line gives what it gave when the golden run was recorded."""

import json

import pytest
import torch
from safetensors.torch import save_file

from tests.golden.compare import EXPECTED, compare_folders, first_difference, value_difference
from tests.golden.record import PARTS, record, record_with, short_run

SLOW = ("tiny", "variants", "dictionary", "default")
"""Parts that take more than twenty seconds."""


@pytest.mark.parametrize(
    "part",
    [pytest.param(part, marks=[pytest.mark.slow] if part in SLOW else []) for part in PARTS],
)
def test_the_command_line_gives_what_was_recorded(part, tmp_path):
    record(part, tmp_path)
    differences = compare_folders(EXPECTED / part, tmp_path / part, exact=False)
    assert not differences, "\n".join(differences)


def test_a_short_run_gives_what_was_recorded(tmp_path):
    """The quickest of the runs in `variants`."""
    record_with(short_run, tmp_path)
    expected = EXPECTED / "variants" / "uncertainty"
    differences = compare_folders(expected, tmp_path / "uncertainty", exact=False)
    assert not differences, "\n".join(differences)


@pytest.fixture
def written(tmp_path):
    """Writes rows to files of the same name in two folders, and returns the files."""

    def write(*versions):
        paths = []
        for folder, rows in zip(("expected", "found"), versions):
            path = tmp_path / folder / "items.jsonl"
            path.parent.mkdir(exist_ok=True)
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
            paths.append(path)
        return paths

    return write


def test_a_difference_is_named_by_file_row_and_path(written):
    row = {"id": "a", "scores": {"literal": 0.1}}
    paths = written([row, row], [row, {"id": "a", "scores": {"literal": 0.2}}])
    said = "items.jsonl row 2 .scores.literal: 0.1 != 0.2"
    assert first_difference(*paths, exact=False) == said
    assert first_difference(*paths, exact=True) == said


def test_rounding_is_a_difference_only_where_every_byte_counts(written):
    paths = written([{"score": 0.123456}], [{"score": 0.123457}])
    assert first_difference(*paths, exact=False) is None
    assert first_difference(*paths, exact=True) == "items.jsonl row 1 .score: 0.123456 != 0.123457"


def test_a_value_may_be_counted_in_the_bin_beside_its_own(written):
    paths = written([{"histogram": [3, 9]}], [{"histogram": [4, 8]}])
    assert first_difference(*paths, exact=False) is None
    assert "histogram[0]: 3 != 4" in first_difference(*paths, exact=True)


def test_a_bound_by_resampling_may_be_that_of_a_neighbouring_resample(written):
    paths = written([{"ci95": [0.611, 0.9]}], [{"ci95": [0.6101, 0.9]}])
    assert first_difference(*paths, exact=False) is None
    paths = written([{"ci95": [0.611, 0.9]}], [{"ci95": [0.6, 0.9]}])
    assert "ci95[0]: 0.611 != 0.6" in first_difference(*paths, exact=False)


def test_evidence_may_differ_in_a_row_of_a_hundred_and_nothing_else_there(written):
    row = {"score": 0.5, "rest": 0.1, "concepts": [{"id": "food"}]}
    odd = {**row, "rest": 0.4, "concepts": []}
    assert first_difference(*written([row] * 150, [odd] + [row] * 149), exact=False) is None
    assert "row 2 .rest" in first_difference(*written([row] * 3, [row, odd, odd]), exact=False)
    worse = {**odd, "score": 0.7}
    assert "row 3 .score" in first_difference(*written([row] * 3, [row, row, worse]), exact=False)


@pytest.mark.parametrize(("moved", "says"), [(0.001, None), (0.2, "w.safetensors weight[1]: ")])
def test_weights_may_be_as_far_apart_as_rounding_takes_them(moved, says, tmp_path):
    paths = tmp_path / "expected" / "w.safetensors", tmp_path / "found" / "w.safetensors"
    for path, last in zip(paths, (1.0, 1.0 + moved)):
        path.parent.mkdir()
        save_file({"weight": torch.tensor([1.0, last])}, path)
    assert (first_difference(*paths, exact=False) or "").startswith(says or "")
    assert bool(first_difference(*paths, exact=False)) == bool(says)
    assert first_difference(*paths, exact=True).startswith("w.safetensors weight[1]: 1.0 != ")


def test_another_order_of_keys_is_a_difference_only_where_every_byte_counts(written):
    paths = written([{"a": 1, "b": 2}], [{"b": 2, "a": 1}])
    assert first_difference(*paths, exact=False) is None
    assert "another order" in first_difference(*paths, exact=True)


def test_a_missing_row_and_a_missing_file_are_differences(written, tmp_path):
    paths = written([{"a": 1}, {"a": 2}], [{"a": 1}])
    assert first_difference(*paths, exact=False) == "items.jsonl: 2 rows != 1 rows"
    paths[1].unlink()
    folders = tmp_path / "expected", tmp_path / "found"
    assert compare_folders(*folders, exact=False) == ["expected/items.jsonl: not recorded"]


@pytest.mark.parametrize(
    ("expected", "found", "says"),
    [
        ({"a": 1}, {"a": 2}, "x.a: 1 != 2"),
        ({"a": True}, {"a": 1}, "x.a: true != 1"),
        ({"a": "yes"}, {"a": "no"}, 'x.a: "yes" != "no"'),
        ({"a": None}, {"a": 0.0}, "x.a: null != 0.0"),
        ({"a": 1}, {}, "x.a: missing"),
        ({}, {"a": 1}, None),
        ([], [1], "x[0]: new"),
        ([1, 2], [1], "x[1]: missing"),
        ([0.5, {"b": 1.0}], [0.5, {"b": 1.1}], "x[1].b: 1.0 != 1.1"),
        ([float("nan"), 0.0], [float("nan"), 0], None),
    ],
)
def test_only_floats_may_be_apart_and_only_keys_be_added(expected, found, says):
    assert value_difference(expected, found, "x", exact=False) == says


def test_a_new_key_is_a_difference_only_where_every_byte_counts():
    assert value_difference({}, {"a": 1}, "x", exact=True) == "x.a: new"
