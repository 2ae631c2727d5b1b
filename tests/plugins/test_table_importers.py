"""Importers of tables: JSON Lines, CSV, data sets; columns by name, and what is wrong with rows."""

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saetask.data import LogFields, Prompt, read_log
from saetask.discovery.failures import scored_items
from tests.helpers.refusals import refusal

ROWS = [
    {"id": "a", "question": "How many?", "response": "3", "score": 0.5, "note": "x"},
    {"id": "b", "question": 'Which,\n"one"?', "response": "", "score": 0, "note": "y"},
]


def csv_text(rows, delimiter=","):
    def quoted(value):
        return '"' + str(value).replace('"', '""') + '"'

    lines = [[*rows[0]], *([*map(quoted, row.values())] for row in rows)]
    return "\n".join(delimiter.join(line) for line in lines) + "\n"


def dataset_folder(folder):
    import datasets

    datasets.Dataset.from_list(ROWS).save_to_disk(folder / "saved")
    return folder / "saved"


def splits_folder(folder):
    import datasets

    data = datasets.Dataset.from_list(ROWS)
    datasets.DatasetDict({"test": data}).save_to_disk(folder / "splits")
    return folder / "splits"


def parquet_file(folder):
    import datasets

    datasets.Dataset.from_list(ROWS).to_parquet(folder / "log.parquet")
    return folder / "log.parquet"


def text_file(name, text):
    def write(folder):
        data = text.encode("utf-8-sig")
        (folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return folder / name

    return write


LINES = "\n".join(json.dumps(row) for row in ROWS)
TABLES = {
    "jsonl": text_file("log.jsonl", LINES),
    "jsonl.gz": text_file("log.jsonl.gz", LINES),
    "csv": text_file("log.csv", csv_text(ROWS)),
    "csv.gz": text_file("log.csv.gz", csv_text(ROWS)),
    "semicolons": text_file("log.csv", csv_text(ROWS, ";")),
    "tsv": text_file("log.tsv", csv_text(ROWS, "\t")),
    "saved": dataset_folder,
    "splits": splits_folder,
    "parquet": parquet_file,
}


@pytest.mark.parametrize("make", TABLES.values(), ids=TABLES)
def test_a_table_is_the_same_items_in_every_format(read, tmp_path, make):
    path = make(tmp_path)
    items = read(path)
    assert [(i.id, i.prompt, i.output, i.correct, i.group) for i in items] == [
        ("a", "How many?", "3", 0.5, "a"),
        ("b", 'Which,\n"one"?', "", 0.0, "b"),
    ]
    assert [i.metadata for i in items] == [{"note": "x"}, {"note": "y"}]
    assert all(str(path) in i.place for i in items)
    (chat, _) = read(path, as_chat=True, group_field="note", correct_field="score")
    assert chat.prompt.messages == [{"role": "user", "content": "How many?"}]
    assert chat.group == "x"


CELL = st.text(st.characters(exclude_characters="\x00\ufeff\r", exclude_categories=("Cs",)))


@given(
    st.lists(st.tuples(CELL.filter(str.strip), CELL), min_size=1, max_size=5),
    st.permutations(["my id", "asked", "said", "right"]),
    st.sampled_from(",;\t"),
)
def test_columns_are_found_by_their_names_wherever_they_stand(
    importers, tmp_path_factory, cells, order, delimiter
):
    rows = [
        {"my id": f"n{i}", "asked": asked, "said": said, "right": i % 2}
        for i, (asked, said) in enumerate(cells)
    ]
    rows = [{name: row[name] for name in order} for row in rows]
    folder = tmp_path_factory.getbasetemp()
    names = {"id_field": "my id", "prompt_field": "asked", "output_field": "said"}
    fields = LogFields(correct_field="right", **names)
    (folder / "drawn.csv").write_text(csv_text(rows, delimiter), encoding="utf-8", newline="")
    (folder / "drawn.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for file in ("drawn.csv", "drawn.jsonl"):
        items = list(read_log(folder / file, "auto", fields, importers))
        assert [(i.id, i.output, i.correct) for i in items] == [
            (row["my id"], row["said"], row["right"]) for row in rows
        ]
        for item, row in zip(items, rows):
            assert item.prompt == row["asked"] or isinstance(item.prompt, Prompt)


def test_messages_with_the_answer_at_their_end_hold_prompt_and_output(read, items_file):
    asked = [{"role": "user", "content": "How many?"}]
    messages = [*asked, {"role": "assistant", "content": "3"}]
    (item,) = read(items_file({"messages": messages, "correct": True}))
    assert (item.id, item.prompt.messages, item.output) == ("1", asked, "3")
    assert item.prompt.answer_prefix == ""
    (item,) = read(items_file({"messages": messages, "output": "3 pears", "correct": True}))
    assert (item.prompt.answer_prefix, item.output) == ("3", "3 pears")


def test_several_answers_are_an_output_and_samples(read, items_file):
    (item,) = read(items_file({"prompt": "How many?", "output": ["3", "4", "3"]}))
    assert (item.output, item.samples, item.correct) == ("3", ("4", "3"), None)


@pytest.mark.parametrize(
    ("cell", "texts"),
    [
        (["What number?", "How much?"], ("What number?", "How much?")),
        ('["What number?", "How much?"]', ("What number?", "How much?")),  # in a table of texts
        ("What number?", ("What number?",)),
        ('["what"', ('["what"',)),
        ([], ()),
        ("", ()),
        (None, ()),
    ],
)
def test_other_wordings_are_read_from_their_column(read, items_file, cell, texts):
    (item,) = read(items_file({"prompt": "How many?", "paraphrases": cell}))
    assert (item.paraphrases, item.metadata) == (texts, {})
    (named,) = read(items_file({"prompt": "How many?", "worded": cell}), paraphrase_field="worded")
    assert named.paraphrases == texts


FAULTS = [
    ("log.jsonl", "", "is empty"),
    (
        "log.jsonl",
        '{"answer": "3"}',
        "no column for the prompt; name one with --prompt-field",
    ),
    ("log.jsonl", '{"prompt": "a"}\n{"output": "b"}', ":2: no column 'prompt'"),
    ("log.jsonl", '{"prompt": "a"}\n{"prompt": null}', ":2, column 'prompt': there is no prompt"),
    ("log.jsonl", '{"prompt": ""}', ":1: the prompt is empty"),
    ("log.jsonl", '{"prompt": 7}', ":1, column 'prompt': expected a text or a chat, found int 7"),
    ("log.jsonl", '{"prompt": "a", "score": "good"}', "column 'score': 'good' is no score"),
    ("log.jsonl", '{"prompt": "a", "output": {}}', "column 'output': expected a text, found dict"),
    (
        "log.jsonl",
        '{"prompt": "a", "id": 1}\n{"prompt": "a", "id": "1"}',
        ":2: id '1' occurs twice",
    ),
    ("log.jsonl", '{"prompt": "a"', ":1: not valid JSON"),
    ("log.jsonl", "[1]", ":1: expected a JSON object"),
    ("log.csv", "", "holds no items"),
    ("log.csv", "id,prompt\n", "holds no items"),
    ("log.csv", "id,id\n1,2\n", ":1: the column 'id' occurs twice"),
    ("log.csv", "id,prompt\n1,a\n2\n", ":3: the row has 1 cells, but the header has 2"),
    ("log.csv", 'id,prompt\n1,"a\nb\n', ":3: not valid CSV"),
    ("log.csv", "id,prompt,correct\n1,a,90\n", ":2, column 'correct': the score is '90'"),
]


@pytest.mark.parametrize(("name", "text", "said"), FAULTS)
def test_a_bad_table_is_refused_in_one_line(read, tmp_path, name, text, said):
    path = tmp_path / name
    path.write_text(text)
    message = refusal(read, path)
    assert message.startswith(str(path)) or message.startswith(f"Data file {path}")
    assert said in message


def test_a_named_column_that_is_missing_is_refused_with_those_that_there_are(read, items_file):
    path = items_file({"prompt": "a", "ok": 1})
    message = refusal(read, path, correct_field="okay")
    assert message == (
        f"{path}:1: no column 'okay'; name one with --correct-field. It has: prompt, ok."
    )


def test_all_columns_are_told_where_none_has_the_scores(read, tmp_path):
    path = tmp_path / "log.csv"
    names = ["prompt", *(f"column {n}" for n in range(20)), "grade"]
    path.write_text("\n".join([",".join(names), *([",".join("1" * len(names))] * 60)]))
    message = refusal(scored_items, read(path), "correctness")
    assert message.endswith(f"with --correct-field. It has: {', '.join(names)}.")


def test_splits_are_listed_where_there_are_several(read, tmp_path):
    import datasets

    data = datasets.Dataset.from_list(ROWS)
    datasets.DatasetDict({"test": data, "dev": data}).save_to_disk(tmp_path / "two")
    assert refusal(read, tmp_path / "two").endswith("splits test, dev; name one with --hub-split.")
    assert len(read(tmp_path / "two", hub_split="dev")) == 2
    assert "leave --hub-split out" in refusal(read, dataset_folder(tmp_path), hub_split="dev")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1")
    message = refusal(read, tmp_path / "bad.parquet")
    assert message.startswith(f"Cannot read the data set {tmp_path}/bad.parquet: ")


def test_a_data_set_on_the_hub_is_streamed_from_the_split_that_is_named(read, monkeypatch):
    import datasets

    asked = []

    def load_dataset(name, **options):
        asked.append((name, options))
        if name == "no/such":
            raise ValueError("first line\nsecond line")
        return ROWS

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert [i.id for i in read("some/log", "datasets", hub_split="test")] == ["a", "b"]
    assert asked == [("some/log", {"split": "test", "streaming": True})]
    message = refusal(read, "no/such", "datasets")
    assert message.endswith("first line second line; there is no file or folder of that name")


@pytest.mark.parametrize("format", ["jsonl", "csv"])
def test_a_folder_is_no_table_and_its_files_are_named(importers, tmp_path, format):
    folder = tmp_path / "logs"
    folder.mkdir()

    def read():
        return list(read_log(folder, format, LogFields(), importers))

    assert refusal(read).endswith("logs is a folder; give one of its files: it has none.")
    for number in range(8):
        (folder / f"{number}.{format}").write_text("")
    message = refusal(read)
    assert f"is a folder; give one of its files: 0.{format}, 1" in message
    assert message.endswith(f"5.{format} and 2 more.")


def test_a_folder_that_no_importer_knows_is_said_to_be_one(importers, tmp_path):
    (tmp_path / "log.jsonl").write_text("{}")
    message = refusal(lambda: list(read_log(tmp_path, "auto", LogFields(), importers)))
    assert f"{tmp_path} is a folder that is no log of a format that is recognised" in message
    assert message.endswith("; give a file in it.")
