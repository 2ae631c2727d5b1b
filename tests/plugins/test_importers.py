"""Importers of what lm-evaluation-harness wrote, and of runs of saetask."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saetask.data import LogFields, Prompt, read_log
from tests.helpers.refusals import refusal

LOGS = Path(__file__).parents[1] / "data" / "logs"
LM_EVAL = LOGS / "lm-eval"
QUESTIONS = ["Tom had 5 pears and gave 2 away. How many?", "Ann has 4 hens and buys 3. How many?"]
QUESTIONS += ["A shop sold 6 of 9 bells. How many are left?", QUESTIONS[1]]


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


def test_a_folder_of_several_models_is_refused(read, tmp_path):
    for model, task in (("one", "tiny_words"), ("other", "tiny_cloze")):
        (tmp_path / model).mkdir()
        (tmp_path / model / samples(task).name).write_bytes(samples(task).read_bytes())
    message = refusal(read, tmp_path)
    assert message.endswith(
        "in the folders one, other, which are of several models; give one of them."
    )


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
    row[data.draw(st.sampled_from(["arguments", "resps", "acc", *row]))] = data.draw(JSON)
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
        raw = {"raw_output": output, "raw_correct": arm == "saetask"}
        yield {**row, **raw, "answer_prefix": "It is"}
        yield {**row, "id": "bend-2"}  # as older runs have it


def test_a_run_is_read_arm_by_arm_with_the_raw_answers_where_there_are_some(read, items_file):
    items = read(items_file(*run_rows()).parent)
    assert [(i.id, i.output, i.correct, i.group) for i in items] == [
        ("bend-1", "no", 0.0, "bend"),
        ("bend-2", "calibrated", 1.0, "bend"),
    ]
    message = {"role": "user", "content": "Is it literal?"}
    assert items[0].prompt == Prompt([message], "It is", spans={"text": (0, 14)})
    assert items[1].prompt == Prompt([message], spans={"text": (0, 14)})
    path = items_file(*run_rows())
    assert [i.output for i in read(path, arm="saetask")] == ["yes", "calibrated"]
    message = refusal(read, path, arm="oracle")
    assert message.endswith("no arm 'oracle'; name one with --arm: original, saetask.")
    assert "field 'arm' is missing" in refusal(read, items_file({"id": 1}), "saetask")


def test_the_right_answer_of_a_run_is_that_of_any_arm_or_the_other_one_of_two(read, items_file):
    first, older, *_ = run_rows()
    wrong = {"raw_scores": {"no": -1.0, "yes": -2.0}, "raw_correct": False}
    rows = [
        {**first, **wrong},
        {**first, **wrong, "id": "bend-3", "raw_scores": {"no": -1.0, "yes": -2.0, "so": -3.0}},
        {**older, "correct": False},
    ]
    rows = [{**row, "correct": False, "output": "other"} for row in rows]
    targets = {item.id: item.target for item in read(items_file(*rows))}
    assert targets == {"bend-1": "yes", "bend-2": None, "bend-3": None}
    damaged = items_file({**rows[0], "answer_prefix": 5})
    assert "items.jsonl:1: field 'answer_prefix' is no text: 5." in refusal(read, damaged)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("log.jsonl", '{"prompt": "a"}\nnothing'),
        ("log.csv", "id,prompt\n1,a\n2"),
        ("log.jsonl", samples("tiny_cloze").read_text() + "nothing"),
    ],
    ids=["jsonl", "csv", "lm-eval"],
)
def test_a_log_is_read_row_by_row(importers, tmp_path, name, text):
    (tmp_path / name).write_text(text)
    items = read_log(tmp_path / name, "auto", LogFields(), importers)
    assert next(items).prompt
    assert refusal(next, items).startswith(str(tmp_path / name))
