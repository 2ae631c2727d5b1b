"""Notebooks: their stored outputs are compared with those of today's code."""

import json
import re
from pathlib import Path

import pytest

from notebooks.outputs import differences, is_same, texts

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


def notebook(*outputs: dict) -> dict:
    return {"cells": [{"cell_type": "code", "outputs": list(outputs)}]}


def printed(text: str | list[str], name: str = "stdout") -> dict:
    return {"output_type": "stream", "name": name, "text": text}


def shown(**data: str) -> dict:
    named = {kind.replace("_", "/"): text for kind, text in data.items()}
    return {"output_type": "execute_result", "data": named}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("activation   7.93", "activation   7.94"),
        ("activation   9.99", "activation  10.00"),
        ("array([1.7910252, 2.70199  ,\n   3.])", "array([1.7910249, 2.701979 , 3.])"),
        ("array([3.       , 0.5])", "array([2.9999998, 0.5])"),
        ("[  73,  134]", "[73, 134]"),
        ("p = 3e-15", "p = 3.02e-15"),
        ("done in 12.3 s", "done in 15.0 s"),
        ("<Model at 0x7f3a>", "<Model at 0x55c1>"),
    ],
)
def test_rounding_spaces_durations_and_addresses_are_not_compared(old: str, new: str) -> None:
    assert is_same(old, new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("activation   7.93", "activation   8.13"),
        ("feature  4667", "feature  4668"),
        ("fixed: 6, broken: 0", "fixed: 5, broken: 1"),
        ("after:  metaphorical", "after:  literal"),
        ("weight +0.109", "weight -0.109"),
        ("a line", "a line\nand another"),
        ("1.0 2.0", "1.0"),
        ("3", "3.0001"),
        ("It fixed 12.", "It fixed 13."),
    ],
)
def test_words_signs_and_whole_numbers_are_compared(old: str, new: str) -> None:
    assert not is_same(old, new)


def test_what_is_printed_in_parts_is_one_text_and_stderr_is_none() -> None:
    parts = [printed("one\n"), printed("progress", "stderr"), printed(["two\n", "three\n"])]
    assert list(texts(notebook(*parts)["cells"][0])) == ["one\ntwo\nthree\n"]
    assert differences(notebook(*parts), notebook(printed("one\ntwo\nthree\n"))) == ""


@pytest.mark.parametrize("kind", ["text_plain", "text_html"])
def test_a_difference_is_shown_with_its_cell(kind: str) -> None:
    old, new = (
        shown(**{kind: "answer: literal 0.84\nsame"}),
        shown(**{kind: "answer: figurative 0.841"}),
    )
    found = differences(notebook(old), notebook(new))
    assert "cell 1, stored" in found and "+answer: figurative 0.841" in found
    assert "-answer: literal 0.84" in found


def test_an_output_that_is_gone_is_a_difference() -> None:
    assert "-one" in differences(notebook(printed("one")), notebook())
    assert differences(notebook(shown(image_png="abc")), notebook(shown(image_png="abd"))) == ""


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_outputs_are_whole_and_name_no_machine(path: Path) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code and all(list(texts(cell)) for cell in code if "print(" in "".join(cell["source"]))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert all(output["output_type"] != "error" for output in outputs)
    assert all(output.get("name") != "stderr" for output in outputs)
    assert not re.search(r"/(home|root|tmp|Users)/", json.dumps(outputs))
