"""Importers of saetask: logs that other programs wrote, tables, and what is wrong with them."""

import gzip
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saetask.data import LogFields, Prompt, read_log
from saetask.plugins import PluginRegistry
from tests.helpers.refusals import refusal

LOGS = Path(__file__).parents[1] / "data" / "logs"
LM_EVAL = LOGS / "lm-eval"
QUESTIONS = ["Tom had 5 pears and gave 2 away. How many?", "Ann has 4 hens and buys 3. How many?"]
QUESTIONS += ["A shop sold 6 of 9 bells. How many are left?", QUESTIONS[1]]


@pytest.fixture(scope="module")
def importers():
    return PluginRegistry().by_name("importer")


@pytest.fixture
def read(importers):
    def read(log, format="auto", **fields):
        return list(read_log(log, format, LogFields(**fields), importers))

    return read


def samples(task):
    (file,) = (LM_EVAL / "text").glob(f"samples_{task}_*")
    return file


# lm-evaluation-harness


def test_a_multiple_choice_prompt_is_the_context_that_its_requests_share(read):
    items = read(samples("tiny_choice"), metric="acc", group_field="subject")
    assert [i.prompt for i in items] == [f"Q: {question}\nA:" for question in QUESTIONS]
    rows = [json.loads(line) for line in samples("tiny_choice").read_text().splitlines()]
    for item, row in zip(items, rows):
        # lm-eval's own accuracy says which choice was the most probable one.
        is_gold = item.output == row["doc"]["choices"][row["doc"]["label"]]
        assert item.correct == row["acc"] == is_gold
        assert item.group == row["doc"]["subject"]
    assert {i.correct for i in items} == {0.0, 1.0}


def test_choices_inside_the_text_share_its_beginning(read):
    (item,) = read(samples("tiny_cloze"))
    assert item.prompt == "At dawn the"
    assert item.output in ("nurse of the town sails away.", "boat of the town sails away.")


def test_chats_are_read_as_messages_and_rendered_templates_as_text(read):
    chats = read(LM_EVAL / "chat", filter="whole")
    assert [i.prompt.messages for i in chats] == [
        [{"role": "user", "content": q}] for q in QUESTIONS
    ]
    assert [(i.output, i.correct) for i in chats] == [("3", 1), ("3", 0), ("3", 1), ("3", 0)]
    assert [i.group for i in chats] == ["0", "1", "2", "1"]  # one question is asked twice
    texts = read(LM_EVAL / "template", filter="whole")
    for item, question in zip(texts, QUESTIONS):
        assert isinstance(item.prompt, str)
        assert item.prompt.endswith(
            f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
        )


def test_the_filters_and_metrics_that_there_are_are_listed(read):
    path = samples("tiny_words")
    assert refusal(read, path).endswith("has the filters number, whole; name one with --filter.")
    assert refusal(read, path, filter="any").endswith("number, whole; name one with --filter.")
    message = refusal(read, samples("tiny_choice"))
    assert message.endswith("the metrics acc, acc_mutual_info, acc_norm; name one with --metric.")
    message = refusal(read, path, filter="whole", group_field="topic")
    assert "no field 'topic' for --group-field; it has: question, answer" in message


def test_the_tasks_of_a_folder_are_told_apart_in_ids(read, tmp_path):
    for task in ("tiny_words", "tiny_cloze"):
        rows = samples(task).read_text().splitlines()
        text = "\n".join(row for row in rows if '"filter": "number"' not in row)
        (tmp_path / samples(task).name).write_text(text.replace("exact_match", "acc"))
    ids = [item.id for item in read(tmp_path)]
    assert ids == ["tiny_cloze/0", *(f"tiny_words/{i}" for i in range(4))]
    again = samples("tiny_words").name.replace("2026", "2027")
    (tmp_path / again).write_text("")
    assert "several evaluations of the task tiny_words" in refusal(read, tmp_path)


def test_arguments_of_older_releases_are_lists(read, items_file):
    row = json.loads(samples("tiny_choice").read_text().splitlines()[0])
    row["arguments"] = [[*a.values()] for a in row["arguments"].values()]
    del row["metrics"]
    (old,) = read(items_file(row), "lm-eval", metric="acc_norm")
    assert old.prompt == f"Q: {QUESTIONS[0]}\nA:" and old.correct == row["acc_norm"]


VALUE = st.none() | st.integers() | st.text(max_size=3)
JSON = st.recursive(
    VALUE, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner), max_leaves=6
)


@given(st.data())
def test_a_damaged_row_of_samples_is_one_line_with_its_place(importers, tmp_path_factory, data):
    row = json.loads(samples("tiny_choice").read_text().splitlines()[0])
    row[data.draw(st.sampled_from(["arguments", "resps", "acc"]))] = data.draw(JSON)
    path = tmp_path_factory.getbasetemp() / "samples_x.jsonl"
    path.write_text(json.dumps(row))
    try:
        list(read_log(path, "lm-eval", LogFields(metric="acc"), importers))
    except Exception:
        faulty = read_log(path, "lm-eval", LogFields(metric="acc"), importers)
        assert refusal(list, faulty).startswith(f"{path}:1")


# runs of saetask


def run_rows():
    shared = {"group": "bend", "misunderstandings": [], "prompt": "Is it literal?"}
    for arm, output in (("original", "no"), ("saetask", "yes")):
        row = {**shared, "id": "bend-1", "arm": arm, "output": "calibrated", "correct": True}
        yield {**row, "raw_output": output, "raw_correct": arm == "saetask"}
        yield {**row, "id": "bend-2"}  # as older runs have it


def test_a_run_is_read_arm_by_arm_with_the_raw_answers_where_there_are_some(read, items_file):
    items = read(items_file(*run_rows()).parent)
    assert [(i.id, i.output, i.correct, i.group) for i in items] == [
        ("bend-1", "no", 0.0, "bend"),
        ("bend-2", "calibrated", 1.0, "bend"),
    ]
    assert items[0].prompt == Prompt(
        [{"role": "user", "content": "Is it literal?"}], spans={"text": (0, 14)}
    )
    path = items_file(*run_rows())
    assert [i.output for i in read(path, arm="saetask")] == ["yes", "calibrated"]
    message = refusal(read, path, arm="oracle")
    assert message.endswith("no arm 'oracle'; name one with --arm: original, saetask.")
    assert "field 'arm' is missing" in refusal(read, items_file({"id": 1}), "saetask")


# tables

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


def test_splits_are_listed_where_there_are_several(read, tmp_path):
    import datasets

    data = datasets.Dataset.from_list(ROWS)
    datasets.DatasetDict({"test": data, "dev": data}).save_to_disk(tmp_path / "two")
    assert refusal(read, tmp_path / "two").endswith("splits test, dev; name one with --hub-split.")
    assert len(read(tmp_path / "two", hub_split="dev")) == 2
    assert "leave --hub-split out" in refusal(read, dataset_folder(tmp_path), hub_split="dev")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1")
    message = refusal(read, tmp_path / "bad.parquet")
    assert re.match(rf"Cannot read the data set {tmp_path}/bad.parquet: ", message)
