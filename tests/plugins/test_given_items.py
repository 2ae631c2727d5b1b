"""The tasks without built-in items: what holds for all of them."""

from dataclasses import replace

import pytest

from saetask.data import Task
from saetask.data.rendering import render
from saetask.plugins import PluginRegistry
from saetask_plugins.tasks.figurative_qa import FigurativeQA
from saetask_plugins.tasks.gsm8k import GSM8K
from saetask_plugins.tasks.multiple_choice import MultipleChoice
from saetask_plugins.tasks.word_sense import WordSense
from tests.helpers.refusals import refusal

ROWS = {
    "multiple-choice": {
        "id": "m1",
        "prompt": "Which of these floats?",
        "choices": ["a stone", "a cork", "an anvil"],
        "label": 1,
    },
    "figurative-qa": {
        "id": "f1",
        "phrase": "The tent was as dry as a wet sponge.",
        "endings": ["The tent was dry.", "The tent was not dry."],
        "label": 1,
    },
    "word-sense": {
        "id": "w1",
        "word": "bank",
        "sentence1": "Two banks lent us the money.",
        "sentence2": "Reeds grew along the bank.",
        "start1": 4,
        "start2": 21,
        "target1": "banks",
        "target2": "bank",
        "label": "different",
    },
    "gsm8k": {
        "id": "g1",
        "question": "Ann packs 3 boxes of 4 figs and eats 2. How many figs are left?",
        "answer": 10,
        "operations": ["multiplication", "subtraction"],
    },
}
OPTIONAL = ("operations",)
TASKS = [MultipleChoice(), FigurativeQA(), WordSense(), GSM8K()]
GOLDS = {"multiple-choice": "A", "figurative-qa": 0, "word-sense": "same", "gsm8k": None}
by_task = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)


@pytest.fixture
def item_of(items_file):
    """Returns a function that makes the item of a task's example row, with some fields changed."""

    def make(task, **changes):
        (item,) = task.items(items_file({**ROWS[task.name], **changes}))
        return item

    return make


@by_task
def test_a_registered_task_provides_what_the_interface_asks_for(task):
    registry = PluginRegistry()
    assert isinstance(task, Task)
    assert registry.get("task", task.name).readings == task.readings
    for name in task.annotators:
        assert registry.get("annotator", name).name == name


@by_task
def test_without_a_file_the_refusal_names_the_flag(task):
    assert "--data" in refusal(task.items)


@pytest.mark.parametrize(
    ("task", "field"),
    [(task, field) for task in TASKS for field in ROWS[task.name]],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
@pytest.mark.parametrize("value", ["missing", "", "  ", None, {}, True, [""], [None, "a"]])
def test_a_field_that_is_missing_or_of_another_kind_is_refused_by_file_line_and_field(
    items_file, task, field, value
):
    bad = {**ROWS[task.name], "id": "bad"} | {field: value}
    if value == "missing":
        del bad[field]
    path = items_file(ROWS[task.name], bad)
    if value == "missing" and field in OPTIONAL:
        assert len(task.items(path)) == 2
        return
    named = {"target1": "start1", "target2": "start2"}.get(field, field)
    message = refusal(task.items, path)
    assert message.startswith((f"{path}:2: field '{field}': ", f"{path}:2: field '{named}': "))


@by_task
def test_an_id_that_occurs_twice_is_refused(items_file, task):
    path = items_file(ROWS[task.name], ROWS[task.name])
    assert f"{path}:2: field 'id'" in refusal(task.items, path)


@by_task
def test_a_file_may_name_the_group(item_of, task):
    assert item_of(task, group="g7").group == "g7"
    assert item_of(task).group == item_of(task, id="another").group != "g7"


@by_task
def test_every_span_holds_what_it_says_and_survives_rendering(item_of, task, tiny_tokenizer):
    prompt = task.prompt(item_of(task))
    row, text = ROWS[task.name], prompt.spans["text"]
    shown = {name: prompt.content[span.start : span.end] for name, span in prompt.spans.items()}
    for name, span in prompt.spans.items():
        assert text.start <= span.start < span.end <= text.end, name
    told = [row[field] for field in ("prompt", "phrase", "question", "sentence1") if field in row]
    assert told[0] in shown["text"]
    rendered = render(tiny_tokenizer, prompt)
    for name, region in rendered.regions.items():
        if name not in ("answer", "end"):
            assert rendered.text[region.start : region.end] == shown[name]


@by_task
def test_every_candidate_has_tokens_a_known_reading_and_a_score(item_of, task, tiny_tokenizer):
    item = item_of(task)
    candidates = task.candidates(item) or []
    assert {candidate.reading for candidate in candidates} <= set(task.readings)
    assert all(
        tiny_tokenizer(text, add_special_tokens=False)["input_ids"] for text, _ in candidates
    )
    right = [c.reading for c in candidates if task.score(item, c.text).correct]
    assert right == ([] if task.name == "gsm8k" else [task.gold_reading(item)])


@by_task
def test_prompts_and_candidates_do_not_depend_on_the_gold_answer(item_of, task):
    item = item_of(task)
    other = replace(item, gold=GOLDS[task.name])
    assert other.gold != item.gold
    assert task.prompt(other) == task.prompt(item)
    assert task.candidates(other) == task.candidates(item)


@by_task
def test_an_item_without_gold_has_no_right_answer_and_no_gold_reading(item_of, task):
    item = replace(item_of(task), gold=None)
    assert task.gold_reading(item) is None
    assert not any(task.score(item, c.text).correct for c in task.candidates(item) or [])


@by_task
@pytest.mark.parametrize("output", ["", "   ", "I do not know.", "…"])
def test_an_output_without_an_answer_is_wrong(item_of, task, output):
    score = task.score(item_of(task), output)
    assert (score.parsed, score.correct) == (None, False)
