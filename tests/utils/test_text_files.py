"""Text and JSON files: one way to read them, and one line for each that can not be read."""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saetask.utils.files import decode, parse_json, read_json, read_lines, read_text
from tests.helpers.refusals import refusal

VALUE = {"a": [1, 2.5, None], "ü": {"b": "–"}}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_json_is_read_with_and_without_a_byte_order_mark(tmp_path, encoding):
    path = tmp_path / "cfg.json"
    path.write_bytes(json.dumps(VALUE, ensure_ascii=False, indent=1).encode(encoding))
    assert read_json(path) == VALUE
    assert not read_text(path).startswith("\ufeff")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"a": 1}'.encode("utf-16"), "this is UTF-16"),
        ('{"a": 1}'.encode("utf-32"), "this is UTF-32"),
        ('{"a": 1}'.encode("utf-16-be"), "this is UTF-16 or UTF-32"),
        ('{"a": "é"}'.encode("latin-1"), "byte 0xe9 after 7 others"),
        (gzip.compress(b'{"a": 1}', mtime=0), "compressed by gzip"),
        (b"PK\x03\x04...", "a zip archive or a workbook"),
        (b"PAR1...", "Parquet"),
        (b"", "not valid JSON"),
        (b'{"a": 1,\n"b" 2}', "not valid JSON"),
        (b'{"a": 1, "a": 1}', "field 'a': the key occurs twice"),
        (b'{"a": {"b": NaN}}', "field 'b': expected a finite number, found nan"),
        (b'{"a": [1, -1e999]}', "field 'a': expected a finite number, found -inf"),
        (b"[" * 100_000, "not valid JSON"),
        (b"1" * 9000, "not valid JSON"),
    ],
)
def test_what_is_no_json_in_utf_8_is_refused_by_its_name(tmp_path, content, said):
    path = tmp_path / "cfg.json"
    path.write_bytes(content)
    message = refusal(read_json, path)
    assert message.startswith(f"{path}:")
    assert said in message


def test_the_line_of_an_error_is_told(tmp_path):
    path = tmp_path / "cfg.json"
    path.write_text('{"a": 1,\n"b" 2}')
    assert refusal(read_json, path).startswith(f"{path}:2: not valid JSON")
    assert refusal(parse_json, '{"b" 2}', f"{path}:7").startswith(f"{path}:7: not valid JSON")


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path):
    assert refusal(read_text, tmp_path / "no.txt").endswith("no.txt does not exist.")
    assert refusal(read_text, tmp_path) == f"{tmp_path} is a folder; a file is expected."


@given(st.text(st.characters(exclude_characters="\x00\ufeff", exclude_categories=("Cs",))))
def test_text_in_utf_8_is_read_as_it_is(text):
    assert decode(text.encode(), "there") == decode(text.encode("utf-8-sig"), "there") == text


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_lines_keep_their_numbers_where_blank_ones_are_passed_over(tmp_path, suffix):
    path: Path = tmp_path / f"lines.txt{suffix}"
    content = b"\xef\xbb\xbfone\r\n\n \t\n  four \n"
    path.write_bytes(gzip.compress(content) if suffix else content)
    assert list(read_lines(path)) == [(1, "one"), (4, "  four ")]


def test_lines_with_their_ends_are_the_whole_text(tmp_path):
    path: Path = tmp_path / "lines.txt"
    path.write_bytes(b"one\r\n\n  four \nlast")
    lines = [line for _, line in read_lines(path, with_ends=True)]
    assert lines == ["one\r\n", "\n", "  four \n", "last"]


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_line_that_is_too_long_is_refused_before_it_is_read_as_a_whole(tmp_path, suffix):
    path: Path = tmp_path / f"lines.txt{suffix}"
    content = b"123456\n" + b"9" * 7 + b"\n"
    path.write_bytes(gzip.compress(content) if suffix else content)
    assert [number for number, _ in read_lines(path, longest=8)] == [1, 2]
    message = refusal(list, read_lines(path, longest=7))
    assert message.startswith(f"{path}:2: a line of 7 bytes or more")
