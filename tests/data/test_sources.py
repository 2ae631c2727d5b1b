"""Sources of a corpus: what exists is a file; cells are texts, chats, or nothing that counts."""

import gzip
import json

import pytest

from saetask.data.corpus import CorpusConfig, corpus_content, rows_passed_over, token_rows
from saetask.data.sources import Source, SourceRows
from saetask.utils.names import is_path
from tests.helpers.refusals import refusal

TEXTS = ["The sea was calm.", "Bread and honey.", "A long road home."]
CHAT = [{"role": "user", "content": "Is it warm?"}, {"role": "assistant", "content": "No."}]


def jsonl(path, *cells, column="text"):
    path.write_text("".join(json.dumps({column: cell}) + "\n" for cell in cells))
    return path


def contents(source, base):
    rows = SourceRows(source, base)
    return [rows[number] for number in range(len(rows))]


# files


def test_texts_are_read_from_every_kind_of_file_whatever_its_case(tmp_path) -> None:
    import pandas

    lines = "".join(json.dumps({"text": text}) + "\n" for text in TEXTS)
    array = json.dumps([{"text": text} for text in TEXTS])
    plain = "".join(f"{text}\n" for text in TEXTS)
    (tmp_path / "a.jsonl").write_text(lines)
    (tmp_path / "B.JSONL").write_text(lines)
    (tmp_path / "c.json").write_text(lines)
    (tmp_path / "d.json").write_text(array)
    (tmp_path / "E.Txt").write_text(plain)
    (tmp_path / "no-ending-but.ndjson").write_text(lines)
    for name, text in (("f.jsonl.gz", lines), ("g.TXT.GZ", plain), ("h.json.gz", lines)):
        with gzip.open(tmp_path / name, "wt") as file:
            file.write(text)
    pandas.DataFrame({"text": TEXTS}).to_parquet(tmp_path / "i.PARQUET")
    for path in tmp_path.iterdir():
        assert contents(Source(path.name), tmp_path) == TEXTS, path.name
        assert contents(Source(str(path)), tmp_path / "elsewhere") == TEXTS, path.name


def test_a_byte_order_mark_is_no_part_of_a_text(tmp_path) -> None:
    for name, text in (("a.txt", TEXTS[0]), ("a.jsonl", json.dumps({"text": TEXTS[0]}))):
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + text.encode())
        assert contents(Source(name), tmp_path) == TEXTS[:1]


def test_blank_lines_are_no_rows(tmp_path) -> None:
    (tmp_path / "a.jsonl").write_text('\n{"text": "a"}\n\n  \n{"text": "b"}\n\n')
    assert contents(Source("a.jsonl"), tmp_path) == ["a", "b"]


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_another_encoding_is_named_with_its_line(tmp_path, encoding) -> None:
    (tmp_path / "a.jsonl").write_bytes('{"text": "Er hat Bärenhunger."}\n'.encode(encoding))
    line = refusal(SourceRows, Source("a.jsonl"), tmp_path)
    assert "a.jsonl:1" in line and "save it as UTF-8" in line


def test_a_home_folder_is_found(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    jsonl(tmp_path / "a.jsonl", *TEXTS)
    assert contents(Source("~/a.jsonl"), tmp_path / "elsewhere") == TEXTS


@pytest.mark.parametrize("name", ["texts.csv", "notes.md", "texts", "a.parquet.gz", "books/"])
def test_what_exists_is_a_file_and_the_kinds_that_are_read_are_named(tmp_path, name) -> None:
    if name.endswith("/"):
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).write_text("text\nThe sea.\n")
    line = refusal(SourceRows, Source(name), tmp_path)
    assert name.strip("/") in line and ".jsonl" in line and ".parquet" in line


@pytest.mark.parametrize(
    "name",
    ["none.csv", "None.JSONL", "./none", "a/b/c", "none/", "~/none", "/none", "d\\e", "n.jsonl.gz"],
)
def test_what_looks_like_a_path_is_not_looked_for_on_the_hub(tmp_path, name) -> None:
    assert is_path(name, tmp_path)
    assert "does not exist" in refusal(SourceRows, Source(name), tmp_path)


@pytest.mark.parametrize(
    "name", ["wikitext", "roneneldan/TinyStories", "monology/pile-v1.5", "a_b"]
)
def test_a_name_of_the_hub_is_none_of_a_file(tmp_path, name) -> None:
    assert not is_path(name, tmp_path)


def test_a_folder_of_the_name_of_a_hub_data_set_is_a_path(tmp_path) -> None:
    (tmp_path / "owner" / "texts").mkdir(parents=True)
    assert "is a folder" in refusal(SourceRows, Source("owner/texts"), tmp_path)


# cells


def test_nulls_and_missing_keys_are_passed_over_counted_and_keep_their_numbers(
    tmp_path, tiny_tokenizer, capsys
) -> None:
    texts = [f"Story {n}: " + "the sea was calm. " * 9 for n in range(6)]
    whole, gaps = tmp_path / "whole" / "a.jsonl", tmp_path / "gaps" / "a.jsonl"
    for path in (whole, gaps):
        path.parent.mkdir()
    jsonl(whole, *texts)
    lines = whole.read_text().splitlines()
    lines[1], lines[4] = '{"text": null}', '{"other": 3}'
    gaps.write_text("\n".join(lines))
    config = CorpusConfig([Source("a.jsonl")], context_size=32, test_share=0.0)
    rows = list(token_rows(config, tiny_tokenizer, "train", gaps.parent))
    expected = token_rows(config, tiny_tokenizer, "train", whole.parent)
    lacking = {"a/1", "a/4"}
    assert rows == [row for row in expected if row.document not in lacking]
    assert rows_passed_over(config, gaps.parent) == 2
    err = capsys.readouterr().err
    assert err.count("2 of 6 rows have nothing in the column 'text'") == 1


def test_a_column_of_nulls_is_refused(tmp_path) -> None:
    line = refusal(SourceRows, Source(jsonl(tmp_path / "a.jsonl", None, None).name), tmp_path)
    assert "all 2 rows are null in the column 'text'" in line


@pytest.mark.parametrize("cell", [3, 2.5, True, {"a": 1}, ["a", "b"], [["a"]], [3]])
@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_cell_of_another_type_is_named_by_source_column_and_row(tmp_path, cell, kind) -> None:
    if kind == "parquet":
        import pandas

        pandas.DataFrame({"body": [None, cell]}).to_parquet(tmp_path / "a.parquet")
    else:
        jsonl(tmp_path / "a.jsonl", "fine", cell, column="body")
    rows = SourceRows(Source(f"a.{kind}", column="body"), tmp_path)
    line = refusal(rows.__getitem__, 1)
    assert f"a.{kind}" in line and "'body'" in line and "row 2" in line


@pytest.mark.parametrize(
    "cell",
    [
        CHAT,
        [{"from": "human", "value": "Is it warm?"}, {"from": "gpt", "value": "No."}],
        [{"role": "user", "content": [{"type": "text", "text": "Is it "}, "warm?"]}, CHAT[1]],
    ],
)
@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_chats_of_every_form_are_the_same_chat(tmp_path, cell, kind) -> None:
    if kind == "parquet" and isinstance(cell[0].get("content"), list):
        pytest.skip("a column of Parquet has one type")
    if kind == "parquet":
        import pandas

        pandas.DataFrame({"chat": [cell]}).to_parquet(tmp_path / "a.parquet")
    else:
        jsonl(tmp_path / "a.jsonl", cell, column="chat")
    assert contents(Source(f"a.{kind}", column="chat"), tmp_path) == [CHAT]


@pytest.mark.parametrize(
    ("message", "named"),
    [
        ({"text": "a"}, "it has: text"),
        ({"role": "user"}, "role and content"),
        ({"role": "user", "content": 3}, "no text: 3"),
        ({"role": 3, "content": "a"}, "role is 3"),
        ({"role": "user", "content": [{"type": "image", "url": "x"}]}, "no text"),
    ],
)
def test_a_message_that_is_none_is_named(tmp_path, message, named) -> None:
    jsonl(tmp_path / "a.jsonl", CHAT, [CHAT[0], message], column="chat")
    rows = SourceRows(Source("a.jsonl", column="chat"), tmp_path)
    line = refusal(rows.__getitem__, 1)
    assert "column 'chat', row 2, message 2" in line and named in line


def test_a_message_without_content_and_an_empty_chat_hold_nothing(tmp_path) -> None:
    calls = [CHAT[0], {"role": "assistant", "content": None}]
    jsonl(tmp_path / "a.jsonl", calls, [], column="chat")
    assert contents(Source("a.jsonl", column="chat"), tmp_path) == [None, None]


def rows_of(path, column, tokenizer):
    config = CorpusConfig([Source(path.name, column=column)], test_share=0.0, min_tokens=1)
    return list(token_rows(config, tokenizer, "train", path.parent))


def test_chats_need_a_chat_template(tmp_path, tiny_tokenizer) -> None:
    import copy

    bare = copy.deepcopy(tiny_tokenizer)
    bare.chat_template = None
    path = jsonl(tmp_path / "a.jsonl", CHAT, column="messages")
    assert rows_of(path, "messages", tiny_tokenizer)
    line = refusal(rows_of, path, "messages", bare)
    assert "row 1: A chat is given, but the tokenizer has no chat template" in line


def test_a_chat_that_the_template_refuses_is_named(tmp_path, tiny_tokenizer) -> None:
    import copy

    strict = copy.deepcopy(tiny_tokenizer)
    strict.chat_template = "{{ raise_exception('roles must alternate') }}"
    line = refusal(
        rows_of, jsonl(tmp_path / "a.jsonl", CHAT, column="messages"), "messages", strict
    )
    assert "row 1" in line and "roles must alternate" in line


def test_a_column_of_chats_is_suggested(tmp_path) -> None:
    path = jsonl(tmp_path / "a.jsonl", CHAT, column="conversations")
    assert "column: conversations" in refusal(SourceRows, Source(path.name), tmp_path)


# content


def test_the_content_of_a_corpus_is_that_of_its_files(tmp_path) -> None:
    config = CorpusConfig([Source(jsonl(tmp_path / "a.jsonl", *TEXTS).name), Source("hub/set")])
    before = corpus_content(config, tmp_path)
    assert corpus_content(config, tmp_path) == before
    jsonl(tmp_path / "a.jsonl", *TEXTS, "more")
    assert corpus_content(config, tmp_path)[0] != before[0]
    assert contents(config.sources[0], tmp_path) == [*TEXTS, "more"]
