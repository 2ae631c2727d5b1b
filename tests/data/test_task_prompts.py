"""The corpus of prompts of the kind that tasks ask: none of it may be scored."""

import json
import runpy
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "recipes" / "make_task_prompts.py"


def row(number: int, sentence: str) -> dict:
    start = sentence.index("swallowed")
    question = {"sentence": sentence, "target": "swallowed", "target_start": start}
    return {"id": str(number), "label": "literal", **question}


def test_scored_and_built_in_items_are_left_out(items_file, sentences, capsys) -> None:
    new, scored = "The whale swallowed the boat.", "The lake swallowed the old village."
    built_in = sentences[0].question
    rows = [row(1, new), row(2, scored), {"id": "3", "label": "literal", **built_in}]
    items = items_file(*rows)
    exclude = items_file({"text": f" {scored.upper()} "}, name="scored.jsonl")
    main = runpy.run_path(str(SCRIPT))["main"]
    assert main([f"metaphor={items}", "--exclude", str(exclude)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    question, answer = json.loads(line)["messages"]
    assert new in question["content"] and question["role"] == "user"
    assert answer == {"role": "assistant", "content": '"swallowed" is'}


def test_a_file_that_is_missing_is_one_line(capsys) -> None:
    assert runpy.run_path(str(SCRIPT))["main"](["metaphor=absent.jsonl"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
