"""Item files, number extraction, and the two tasks with built-in items."""

import gzip
import json
import re
import runpy
from collections import Counter, defaultdict
from dataclasses import replace
from math import isclose
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import field_validator

from saetask import UserError
from saetask.data import (
    Item,
    ItemRow,
    Prompt,
    Span,
    Task,
    check_prompt,
    first_number,
    last_number,
    read_items,
    read_rows,
    stated_number,
)
from saetask.data.samples import make_samples
from saetask.plugins import PluginRegistry
from saetask_plugins.tasks.metaphor import Metaphor
from saetask_plugins.tasks.word_problems import WordProblems
from tests.helpers.item_rows import PROBLEM, SENTENCE
from tests.helpers.refusals import refusal

TASKS = [Metaphor(), WordProblems()]
by_task = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)


@pytest.fixture(scope="module")
def embedded(sentences, problems):
    return {"metaphor": sentences, "word-problems": problems}


# item files


def test_rows_in_the_documented_format_become_items(items_file):
    path = items_file(SENTENCE, {**SENTENCE, "id": 2, "group": "sail"})
    first, second = Metaphor().items(path)
    assert (first.id, first.gold, second.id) == ("s1", "literal", "2")
    assert first.group == second.group == "sail"
    (problem,) = WordProblems().items(items_file(PROBLEM, name="p.jsonl"))
    assert (problem.id, problem.gold) == ("p1", 5.0)


def test_a_gzipped_file_gives_the_same_items(items_file, tmp_path):
    plain = items_file(SENTENCE, {**SENTENCE, "id": "s2"})
    packed = tmp_path / "items.jsonl.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert Metaphor().items(packed) == Metaphor().items(plain)


@pytest.mark.parametrize(
    "line", ["{'id': 1}", '{"id": "s2", ', "nonsense"], ids=["quotes", "cut", "text"]
)
def test_malformed_json_is_refused_with_file_and_line(items_file, line):
    path = items_file(SENTENCE, line, {**SENTENCE, "id": "s3"})
    assert refusal(Metaphor().items, path).startswith(f"{path}:2: not valid JSON")


@pytest.mark.parametrize("line", ["[1, 2]", '"text"', "3", "null"])
def test_a_line_that_is_no_object_is_refused_with_file_and_line(items_file, line):
    path = items_file(SENTENCE, line)
    assert refusal(Metaphor().items, path) == f"{path}:2: expected a JSON object."


@pytest.mark.parametrize(
    ("task", "row", "field"),
    [(TASKS[0], SENTENCE, f) for f in ("id", "sentence", "target", "target_start", "label")]
    + [(TASKS[1], PROBLEM, f) for f in ("id", "question", "answer")],
    ids=lambda value: value if isinstance(value, str) else getattr(value, "name", ""),
)
@pytest.mark.parametrize("value", ["missing", "", "  ", None, [], {}, True])
def test_a_field_that_is_missing_or_of_another_kind_is_refused_by_file_line_and_field(
    items_file, task, row, field, value
):
    bad = {**row, "id": "bad"} | {field: value}
    if value == "missing":
        del bad[field]
    path = items_file(row, bad)
    assert refusal(task.items, path).startswith(f"{path}:2: field '{field}': ")


@pytest.mark.parametrize("label", ["figurative", "Literal", 1, ["literal"]])
def test_a_label_outside_the_two_is_refused(items_file, label):
    path = items_file({**SENTENCE, "label": label})
    message = refusal(Metaphor().items, path)
    assert message.startswith(f"{path}:1: field 'label': ")
    assert "'literal' or 'metaphorical'" in message


@pytest.mark.parametrize("start", [0, 8, 10, 500])
def test_a_target_that_does_not_stand_at_target_start_is_refused(items_file, start):
    path = items_file({**SENTENCE, "target_start": start})
    message = refusal(Metaphor().items, path)
    assert message.startswith(f"{path}:1: field 'target_start': ")
    assert "'sailed'" in message


@pytest.mark.parametrize("start", [-15, -1, True, 9.0, "9"])
def test_a_target_start_that_is_no_offset_is_refused(items_file, start):
    # -15 would find "sailed" by Python's slicing from the end
    path = items_file({**SENTENCE, "target_start": start})
    assert refusal(Metaphor().items, path).startswith(f"{path}:1: field 'target_start': ")


@pytest.mark.parametrize("answer", ["NaN", "Infinity", "-Infinity", "1e999", "1" * 400])
def test_an_answer_that_is_no_finite_number_is_refused(items_file, answer):
    path = items_file(json.dumps(PROBLEM).replace("5}", f"{answer}}}"))
    assert refusal(WordProblems().items, path).startswith(f"{path}:1: field 'answer': ")


@pytest.mark.parametrize("second", ["s1", 1])
def test_an_id_that_occurs_twice_is_refused_with_the_line_of_the_second(items_file, second):
    first = str(second)
    path = items_file({**SENTENCE, "id": first}, {**SENTENCE, "id": second})
    assert refusal(Metaphor().items, path) == f"{path}:2: field 'id': '{first}' occurs twice."


def test_an_empty_file_is_refused(items_file):
    path = items_file()
    assert str(path) in refusal(Metaphor().items, path)
    assert "empty" in refusal(Metaphor().items, path)


@pytest.mark.parametrize(
    ("name", "told"),
    [("missing.jsonl", "not exist"), ("missing.jsonl.gz", "not exist"), (".", "is a folder")],
)
def test_a_missing_file_or_a_folder_is_refused(tmp_path, name, told):
    assert told in refusal(Metaphor().items, tmp_path / name)


def gzipped_rows(n):
    rows = "".join(json.dumps({**SENTENCE, "id": f"s{i}"}) + "\n" for i in range(n))
    return gzip.compress(rows.encode())


@pytest.mark.parametrize(
    "content",
    [
        gzipped_rows(500)[:-30],
        gzipped_rows(500)[:900],
        gzipped_rows(500)[:9],
        b"no gzip at all",
        gzipped_rows(500)[:20] + b"\xff" * 40 + gzipped_rows(500)[60:],
        gzip.compress(json.dumps(SENTENCE).encode())[:-8] + b"\x00" * 8,
    ],
    ids=["end cut off", "middle cut off", "header cut off", "plain", "garbled", "wrong checksum"],
)
def test_a_damaged_gzip_file_is_refused_with_file_and_line(tmp_path, content):
    path = tmp_path / "items.jsonl.gz"
    path.write_bytes(content)
    assert re.match(rf"{re.escape(str(path))}:\d+: ", refusal(Metaphor().items, path))


def test_bytes_that_are_no_utf_8_are_refused_with_the_line_they_stand_on(tmp_path):
    path = tmp_path / "items.jsonl"
    good = [json.dumps({**SENTENCE, "id": f"s{i}"}).encode() for i in range(3)]
    path.write_bytes(b"\n".join([*good, b'{"id": "\xff"}', b""]))
    assert refusal(Metaphor().items, path).startswith(f"{path}:4: ")


def test_text_outside_ascii_keeps_its_offsets(items_file):
    row = {**SENTENCE, "sentence": "Ünal – “café” 😀 sailed on.", "target_start": 16}
    (item,) = Metaphor().items(items_file(row))
    span = Metaphor().prompt(item).spans["target"]
    assert Metaphor().prompt(item).content[span.start : span.end] == "sailed"


def test_blank_lines_are_passed_over_and_counted(items_file):
    path = items_file("", SENTENCE, "   ", {**SENTENCE, "id": "s2"}, "\t\r", "nonsense")
    assert refusal(Metaphor().items, path).startswith(f"{path}:6: not valid JSON")
    path = items_file("", SENTENCE, " ", {**SENTENCE, "id": "s2"}, "")
    assert [item.id for item in Metaphor().items(path)] == ["s1", "s2"]


def test_a_byte_order_mark_and_line_ends_of_windows_change_nothing(items_file, tmp_path):
    plain = items_file(SENTENCE, {**SENTENCE, "id": "s2"})
    marked = tmp_path / "marked.jsonl"
    marked.write_bytes(b"\xef\xbb\xbf" + plain.read_bytes().replace(b"\n", b"\r\n"))
    assert Metaphor().items(marked) == Metaphor().items(plain)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
def test_an_item_file_in_another_encoding_is_refused_by_its_name(items_file, encoding):
    path = items_file(SENTENCE)
    path.write_bytes(path.read_text().encode(encoding))
    message = refusal(Metaphor().items, path)
    assert message.startswith(f"{path}:1: ") and encoding[:6].upper() in message
    assert "save it as UTF-8" in message


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ("id,sentence,label\n1,She sailed.,literal\n", "CSV"),
        ('"id";"sentence"\n', "CSV"),
        ("id\tlabel\n1\tliteral\n", "CSV"),
        (f"[{json.dumps(SENTENCE)}]", "one JSON array"),
        (json.dumps([SENTENCE, SENTENCE], indent=1), "one JSON array"),
        (json.dumps(SENTENCE, indent=1), "JSON objects of several lines"),
    ],
)
def test_a_table_or_one_document_is_refused_by_its_name(tmp_path, content, kind):
    path = tmp_path / "items.jsonl"
    path.write_text(content)
    assert refusal(Metaphor().items, path).startswith(f"{path} ")
    assert kind in refusal(Metaphor().items, path)
    assert "JSON Lines" in refusal(Metaphor().items, path)


LM_EVAL_ROW = {
    "doc_id": 0,
    "doc": {"question": "Which?", "choices": ["a", "b"]},
    "target": "1",
    "arguments": {"gen_args_0": {"arg_0": "Which?"}},
    "resps": [[["-1.0", "False"]]],
    "filtered_resps": [["-1.0", "False"]],
}
INSPECT_LOG = {"version": 2, "status": "success", "eval": {"task": "t"}, "samples": [{"id": 1}]}
INSPECT_SAMPLE = {
    "id": 1,
    "epoch": 1,
    "input": "Which?",
    "target": "A",
    "messages": [],
    "output": {},
}


@by_task
@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (json.dumps(LM_EVAL_ROW), "lm-evaluation-harness"),
        (json.dumps(INSPECT_LOG), "inspect_ai"),
        (json.dumps(INSPECT_LOG, indent=2), "inspect_ai"),
        (json.dumps(INSPECT_SAMPLE), "inspect_ai"),
    ],
)
def test_a_log_of_an_evaluation_is_recognised_and_the_fields_of_an_item_are_told(
    tmp_path, task, content, kind
):
    path = tmp_path / "samples_x.jsonl"
    path.write_text(content + "\n")
    message = refusal(task.items, path)
    assert message.startswith(str(path)) and kind in message and "saetask discover" in message
    assert f"needs id, {'label, sentence' if task.name == 'metaphor' else 'answer'}" in message


def test_an_archived_log_of_inspect_is_recognised_by_its_name(tmp_path):
    path = tmp_path / "log.eval"
    path.write_bytes(b"PK\x03\x04")
    assert "inspect_ai" in refusal(Metaphor().items, path)


def test_an_item_with_further_fields_of_a_log_is_an_item(items_file):
    assert Metaphor().items(items_file({**LM_EVAL_ROW, **SENTENCE}))


def test_read_rows_numbers_lines_from_one(items_file):
    path = items_file({"a": 1}, {"a": 2})
    assert list(read_rows(path)) == [(1, {"a": 1}), (2, {"a": 2})]


class CountedRow(ItemRow):
    n: int
    choices: list[str] = []  # noqa: RUF012

    @field_validator("n")
    @classmethod
    def _is_small(cls, n):
        if n > 1:
            raise ValueError("too large")
        return n


def counted(items_file, *rows):
    make_item = lambda row: Item(row.id, row.group_or("g"), {"n": row.n})  # noqa: E731
    return read_items(items_file(*({"id": 1, "n": 1} | row for row in rows)), CountedRow, make_item)


def test_what_a_row_of_a_third_party_refuses_is_told_with_file_line_and_field(items_file):
    message = refusal(counted, items_file, {}, {"id": 2, "n": 2})
    assert message.endswith("items.jsonl:2: field 'n': too large.")
    assert message.count("\n") == 0


@pytest.mark.parametrize("n", [True, "1", 1.0, None])
def test_types_are_strict_and_the_value_is_shown(items_file, n):
    assert f"found {n!r}." in refusal(counted, items_file, {"n": n})


def test_a_problem_inside_a_list_is_told_by_its_place(items_file):
    message = refusal(counted, items_file, {"choices": ["a", 2]})
    assert "field 'choices': '1': " in message


@pytest.mark.parametrize(("group", "kept"), [(0, "0"), (1.5, "1.5"), ("a", "a"), (None, "g")])
def test_a_group_counts_wherever_it_is_given(items_file, group, kept):
    (item,) = counted(items_file, {"group": group})
    assert item.group == kept


@pytest.mark.parametrize("group", [True, "", " ", ["a"]])
def test_a_group_that_is_no_name_is_refused(items_file, group):
    assert "field 'group': " in refusal(counted, items_file, {"group": group})


def test_a_long_value_is_cut_in_the_message(items_file):
    assert len(refusal(counted, items_file, {"n": "x" * 9000})) < 300


# number extraction

numbers = st.one_of(
    st.integers(-(10**9), 10**9),
    st.decimals(-(10**6), 10**6, places=2).map(float),
)
written = st.sampled_from(["{}", "{:,}"])
clauses = st.text(st.sampled_from("abcdefg xyz ,.;!?'()\"\n"), max_size=30)


@given(numbers, written, clauses, clauses)
def test_the_last_number_is_found_wherever_it_stands(number, form, before, after):
    text = f"First there were 3 of them, {before} {form.format(number)} {after}"
    assert last_number(text) == number


@given(clauses, numbers, written, clauses)
def test_the_first_of_several_numbers_is_found(before, number, form, after):
    text = f"{before} {form.format(number)} {after} 12"
    assert first_number(text) == number


@given(clauses, st.integers(0, 99))
def test_the_last_of_several_numbers_wins(text, number):
    assert last_number(f"12 and 3.5 {text} then {number}.") == number


@given(
    numbers,
    written,
    st.sampled_from(
        ["#### {}", "The answer is {}", "Answer: {}", "2 + 5 = {}", "the answer is ${}"]
    ),
    st.sampled_from(["", ".", "!", ")", "\n", ".\n\n", '"']),
)
def test_a_stated_number_is_found_at_the_end(number, form, statement, end):
    text = "So we add 2 and 5.\n" + statement.format(form.format(number)) + end
    assert stated_number(text) == number
    assert last_number(text) == number


@given(st.integers(0, 10**6), clauses)
def test_a_number_that_is_only_mentioned_is_found_by_the_flexible_way_alone(number, text):
    mention = f"There were {number} of them {text} in the end"
    assert stated_number(mention) is None
    assert last_number(mention) == number


def test_a_statement_followed_by_other_words_is_not_strictly_stated():
    text = "The answer is 7 because 3 + 4 makes 7 of them."
    assert stated_number(text) is None
    assert last_number(text) == 7


@given(clauses)
def test_a_text_without_digits_has_no_number(text):
    assert first_number(text) is None
    assert last_number(text) is None
    assert stated_number(text) is None


# every task


@by_task
def test_a_built_in_task_provides_what_the_interface_asks_for(task):
    assert isinstance(task, Task)
    assert PluginRegistry().get("task", task.name).readings == task.readings
    assert len(set(task.readings)) == len(task.readings) >= 2


@by_task
def test_embedded_items_have_unique_ids_and_are_the_same_at_every_call(task, embedded):
    items = embedded[task.name]
    assert len({item.id for item in items}) == len(items)
    assert [(i.id, i.gold) for i in task.items()] == [(i.id, i.gold) for i in items]


@by_task
def test_prompt_spans_point_at_the_text_and_the_target(task, embedded):
    for item in embedded[task.name]:
        prompt = task.prompt(item)
        shown = {k: prompt.content[span.start : span.end] for k, span in prompt.spans.items()}
        if task.name == "metaphor":
            assert shown == {"text": item.question["sentence"], "target": item.question["target"]}
            start = prompt.spans["target"].start - prompt.spans["text"].start
            assert start == item.question["target_start"]
        else:
            assert shown["text"] == item.question["question"]
        assert len(prompt.messages) == 1 and prompt.answer_prefix


@by_task
def test_the_gold_answer_of_every_embedded_item_is_a_candidate_of_one_gold_reading_at_most(
    task, embedded
):
    ambiguous = 0
    for item in embedded[task.name]:
        candidates = task.candidates(item)
        right = {c.reading for c in candidates if task.score(item, c.text).correct}
        assert right
        assert task.gold_reading(item) == (next(iter(right)) if len(right) == 1 else None)
        ambiguous += len(right) > 1
        assert {c.reading for c in candidates} <= set(task.readings)
        assert len({c.text for c in candidates}) == len(candidates)
    assert ambiguous <= len(embedded[task.name]) / 100


@by_task
def test_prompts_and_candidates_do_not_depend_on_the_gold_answer(task, embedded):
    golds = {"metaphor": ("literal", "metaphorical", None), "word-problems": (0.0, 7.0, None)}
    for item in embedded[task.name][::7]:
        for gold in golds[task.name]:
            other = replace(item, gold=gold)
            assert task.prompt(other) == task.prompt(item)
            assert task.candidates(other) == task.candidates(item)


@by_task
def test_an_item_without_gold_has_no_right_answer_and_no_gold_reading(task, embedded):
    item = replace(embedded[task.name][0], gold=None)
    assert task.gold_reading(item) is None
    assert not any(task.score(item, c.text).correct for c in task.candidates(item))


@by_task
@pytest.mark.parametrize("output", ["", "   ", "I do not know.", "…"])
def test_an_output_without_an_answer_is_wrong(task, embedded, output):
    score = task.score(embedded[task.name][0], output)
    assert score.parsed is None
    assert score.correct is False


@by_task
def test_the_gold_answer_stays_out_of_an_items_representation(task, embedded):
    item = replace(embedded[task.name][0], gold="SENTINEL")
    assert "SENTINEL" not in repr(item)


# metaphor


def test_the_embedded_sentences_are_many_and_balanced_within_each_verb(sentences):
    labels = defaultdict(Counter)
    for item in sentences:
        labels[item.group][item.gold] += 1
    assert len(sentences) >= 300
    assert len(labels) >= 50
    for counts in labels.values():
        assert counts["literal"] == counts["metaphorical"] > 0


def test_no_embedded_sentence_occurs_twice_and_no_verb_has_two_groups(sentences):
    texts = [item.question["sentence"].lower() for item in sentences]
    assert len(set(texts)) == len(texts)
    groups = defaultdict(set)
    for item in sentences:
        groups[item.question["target"].lower()].add(item.group)
    assert all(len(found) == 1 for found in groups.values())


def test_inflections_of_a_verb_form_one_group_where_a_file_names_none(items_file):
    rows = [
        {**SENTENCE, "id": verb, "sentence": verb, "target": verb, "target_start": 0}
        for verb in ("sails", "sailed", "Sailing", "sinks")
    ]
    items = Metaphor().items(items_file(*rows))
    assert len({item.group for item in items[:3]}) == 1
    assert items[3].group != items[0].group


def test_a_metaphor_answer_is_scored_by_the_first_of_the_two_words(sentences):
    item = next(item for item in sentences if item.gold == "literal")
    assert Metaphor().score(item, " Literal, not metaphorical.").correct
    assert not Metaphor().score(item, "metaphorical rather than literal").correct


def test_the_word_in_question_is_found_as_a_whole_word():
    item = Metaphor().question_from_text("Seas eat at the sea eagerly.", "eat")
    assert item.question["target_start"] == 5
    assert item.gold is None
    item = Metaphor().question_from_text("The search (sea) went on.", "sea")
    assert item.question["target_start"] == 12


@pytest.mark.parametrize("target", [None, "", " ", "walked", "sail", "(", "sailed."])
def test_a_target_that_is_missing_or_absent_from_the_text_is_a_user_error(target):
    with pytest.raises(UserError, match="--target") as raised:
        Metaphor().question_from_text("The ship sailed, at noon", target)
    assert "\n" not in str(raised.value)


# word problems


def test_the_embedded_problems_are_many_and_from_many_templates(problems):
    assert len(problems) >= 400
    assert len({item.group for item in problems}) >= 40
    assert len({item.question["question"] for item in problems}) == len(problems)


def test_the_embedded_problems_are_what_their_recipe_makes(capsys):
    root = Path(__file__).parents[2]
    runpy.run_path(str(root / "recipes" / "make_word_problems.py"), run_name="__main__")
    shipped = root / "plugins" / "tasks" / "items" / "word-problems.jsonl"
    assert capsys.readouterr().out == shipped.read_text(encoding="utf-8")


def test_every_operation_is_asked_for_in_every_tenth_problem_at_least(problems):
    counts = Counter(WordProblems().gold_reading(item) for item in problems)
    assert all(counts[operation] >= len(problems) / 10 for operation in WordProblems.readings)


@pytest.mark.parametrize(
    ("text", "story", "question"),
    [
        (
            "Ada has 3 figs. Ben has 4.5 kg. How many?",
            "Ada has 3 figs. Ben has 4.5 kg. ",
            "How many?",
        ),
        ("How many figs? Ada has 3, Ben 4.", " Ada has 3, Ben 4.", "How many figs?"),
        ("Ada has 3 figs. Find the sum with 4.", "Ada has 3 figs. ", "Find the sum with 4."),
        ("What is 3 and 4?", "What is 3 and 4?", "What is 3 and 4?"),
    ],
)
def test_a_word_problem_parts_into_story_and_question(text, story, question):
    prompt = WordProblems().prompt(Item("x", "g", {"question": text}))
    parts = {name: prompt.content[span.start : span.end] for name, span in prompt.spans.items()}
    assert parts == {"text": text, "story": story, "question": question}


@given(st.text(min_size=1).filter(str.strip))
def test_story_and_question_lie_within_the_text_and_hold_something(text):
    prompt = WordProblems().prompt(Item("x", "g", {"question": text}))
    whole = prompt.spans["text"]
    for span in prompt.spans.values():
        assert whole.start <= span.start < span.end <= whole.end
        assert prompt.content[span.start : span.end].strip()


@pytest.mark.parametrize(
    ("question", "equations"),
    [
        ("0.875 lap and 0.75 lap", ["0.875 + 0.75 = 1.625", "0.875 - 0.75 = 0.125"]),
        ("1/2 of 12", ["12 + 0.5 = 12.5", "12 - 0.5 = 11.5", "12 * 0.5 = 6", "12 / 0.5 = 24"]),
        ("$.50 and $2", ["2 + 0.5 = 2.5", "2 - 0.5 = 1.5", "2 * 0.5 = 1", "2 / 0.5 = 4"]),
        ("from −5 to 3", ["3 + (-5) = -2", "3 - (-5) = 8", "3 * (-5) = -15", "-5 / 3 = -1.67"]),
        ("0.002 and 0.001", ["0.002 + 0.001 = 0.003", "0.002 - 0.001 = 0.001"]),
        ("25 by 8", ["25 + 8 = 33", "25 - 8 = 17", "25 * 8 = 200", "25 / 8 = 3.12"]),
        ("1,2,3", ["2 + 1 = 3", "2 - 1 = 1", "2 * 1 = 2", "2 / 1 = 2", "3 + 1 = 4"]),
        ("1e200 times 1e200", ["1" + "0" * 200]),
    ],
)
def test_equations_are_written_as_one_would_write_them(question, equations):
    candidates = WordProblems().candidates(Item("x", "g", {"question": question}))
    texts = [candidate.text.strip() for candidate in candidates]
    assert [text[: len(equation)] for text, equation in zip(texts, equations)] == equations
    assert all("inf" not in text for text in texts)


def test_candidates_are_the_equations_over_the_numbers_of_the_text():
    item = Item("x", "g", {"question": "A cart holds 1,200 kg and 2.5 kg."})
    texts = {c.text.strip(): c.reading for c in WordProblems().candidates(item)}
    assert texts == {
        "1200 + 2.5 = 1202.5": "addition",
        "1200 - 2.5 = 1197.5": "subtraction",
        "1200 * 2.5 = 3000": "multiplication",
        "1200 / 2.5 = 480": "division",
    }


@given(st.lists(st.integers(0, 500), min_size=1, max_size=4))
def test_every_candidate_is_a_true_equation_over_numbers_of_the_text(values):
    text = "There are " + " and ".join(map(str, values)) + " of them."
    item = Item("x", "g", {"question": text})
    for text, _ in WordProblems().candidates(item):
        a, operation, b, _, value = text.split()
        exact = {"+": float(a) + float(b), "-": float(a) - float(b), "*": float(a) * float(b)}
        if operation == "/":
            exact["/"] = float(a) / float(b)
        assert isclose(exact[operation], float(value), abs_tol=0.00501)
        assert {int(a), int(b)} <= set(values)


def test_a_problem_without_numbers_has_no_candidates_and_counts_as_wrong():
    item = Item("x", "g", {"question": "How many are left?"}, 3.0)
    assert WordProblems().candidates(item) is None
    assert WordProblems().gold_reading(item) is None
    assert not WordProblems().score(item, "").correct


def test_an_answer_that_two_operations_give_has_no_gold_reading():
    item = Item("x", "g", {"question": "There are 2 boxes with 2 figs."}, 4.0)
    assert WordProblems().gold_reading(item) is None


@pytest.mark.parametrize("question", ["I had 10 figs and gave 3 of them.", "9 boys share 7 figs."])
@pytest.mark.parametrize("operation", WordProblems.readings)
def test_the_gold_reading_and_the_right_candidate_agree_where_the_answer_is_no_whole_number(
    question, operation
):
    task = WordProblems()
    item = Item("x", "g", {"question": question})
    numbers = sorted((float(n) for n in re.findall(r"\d+", question)), reverse=True)
    exact = {
        "addition": numbers[0] + numbers[1],
        "subtraction": numbers[0] - numbers[1],
        "multiplication": numbers[0] * numbers[1],
        "division": numbers[0] / numbers[1],
    }
    item = replace(item, gold=exact[operation])
    right = {c.reading for c in task.candidates(item) if task.score(item, c.text).correct}
    assert task.gold_reading(item) == operation
    assert right == {operation}


def test_the_strict_and_the_flexible_score_of_a_word_problem_differ_where_no_answer_is_stated():
    item = Item("x", "g", {"question": "7 figs and 2."}, 5.0)
    score = WordProblems().score(item, "7 - 2 leaves 5 figs")
    assert (score.correct, score.flexible_correct, score.parsed) == (False, True, None)
    score = WordProblems().score(item, "7 - 2 = 5.")
    assert (score.correct, score.flexible_correct, score.parsed) == (True, True, "5")


def test_problems_from_one_template_form_one_group_where_a_file_names_none(items_file):
    texts = ["In May Ann has 7 figs and eats 2.", "In May Bob has 11 figs and eats 4."]
    rows = [{"id": i, "question": text, "answer": 1} for i, text in enumerate(texts)]
    rows.append({"id": "other", "question": "Ann sells 3 carts at 2 each.", "answer": 6})
    first, second, third = WordProblems().items(items_file(*rows))
    assert first.group == second.group != third.group


@pytest.mark.parametrize("text", ["", "How many figs?", "Ann has 7 figs. How many?"])
def test_a_text_with_fewer_than_two_numbers_is_a_user_error(text):
    with pytest.raises(UserError, match="two numbers"):
        WordProblems().question_from_text(text, None)


def test_a_text_that_says_one_number_twice_can_be_asked_about():
    item = WordProblems().question_from_text("4 boys have 4 figs each.", None)
    assert " 4 * 4 = 16" in [c.text for c in WordProblems().candidates(item)]


# prompts of a task


@pytest.mark.parametrize(
    ("prompt", "named"),
    [
        (Prompt([{"role": "user", "content": "hello"}]), "no span 'text'"),
        (Prompt([{"role": "user", "content": "hello"}], spans={"text": Span(0, 55)}), "0 to 55"),
        (Prompt([{"role": "user", "content": "hello"}], spans={"text": Span(2, 2)}), "2 to 2"),
        (Prompt([]), "a Prompt with a message"),
        ("hello", "a Prompt with a message"),
    ],
)
def test_a_prompt_that_can_not_be_read_is_refused_by_task_and_item(prompt, named):
    message = refusal(check_prompt, "rhymes", Item("i7", "g", {}), prompt)
    assert message.startswith("Task 'rhymes', item 'i7': ") and named in message


@pytest.mark.parametrize(
    ("method", "returned", "named"),
    [
        ("candidates", "a or b", "'a or b', not a list of saetask.data.Candidate"),
        ("candidates", ["a", "b"], "['a', 'b'], not a list"),
        ("score", True, "True, not a saetask.data.Score"),
        ("gold_reading", 1, "1, not a text or None"),
    ],
)
def test_what_a_task_returns_of_another_type_is_refused_by_task_item_and_method(
    monkeypatch, sentences, method, returned, named
):
    monkeypatch.setattr(Metaphor, method, lambda *_: returned)
    item = sentences[0]
    message = refusal(make_samples, Metaphor(), [item])
    assert f"Task 'metaphor', item '{item.id}': its method {method} returned {named}" in message


@by_task
def test_the_prompts_of_a_built_in_task_are_in_order(task, embedded):
    for item in embedded[task.name]:
        assert check_prompt(task.name, item, task.prompt(item)) == task.prompt(item)
