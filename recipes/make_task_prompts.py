"""Writes prompts of the kind that tasks ask as a corpus to train an SAE on.

    python recipes/make_task_prompts.py TASK=ITEMS.jsonl ... --exclude SCORED.jsonl ... > OUT.jsonl

A line is a chat, {"messages": [...]}: an item's prompt and the beginning of its answer, without the
answer. An item is left out if one of its texts stands in a file of `--exclude`, or among the
built-in items of its task: the files that results are reported on, or that something is chosen on.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from saetask.data.items import read_rows
from saetask.data.samples import make_samples
from saetask.errors import one_line_errors
from saetask.plugins import PluginRegistry

SHORTEST = 20
"""Shorter texts, such as a target word, may stand in both."""


def texts(values: Iterable[Any]) -> set[str]:
    """Returns the texts among some values, as words in lower case."""
    found = (" ".join(v.lower().split()) for v in values if isinstance(v, str))
    return {text for text in found if len(text) >= SHORTEST}


def chats(task_name: str, path: Path, excluded: set[str]) -> Iterator[dict[str, Any]]:
    """Yields the prompts of a task's items that are not excluded."""
    task = PluginRegistry().get("task", task_name)
    built_in = [item.question.values() for item in task.items()]
    known = excluded.union(*map(texts, built_in))
    for sample in make_samples(task, task.items(path)):
        if texts(sample.item.question.values()) & known:
            continue
        prompt = sample.prompt
        answer = {"role": "assistant", "content": prompt.answer_prefix}
        yield {"messages": [*prompt.messages, answer]}


@one_line_errors("make_task_prompts")
def main(given: Sequence[str] | None = None) -> int:
    """Prints the corpus and returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("items", nargs="+", metavar="TASK=FILE")
    parser.add_argument("--exclude", nargs="*", type=Path, default=[])
    options = parser.parse_args(given)
    excluded = texts(v for path in options.exclude for _, r in read_rows(path) for v in r.values())
    for entry in options.items:
        name, _, path = entry.partition("=")
        for chat in chats(name, Path(path), excluded):
            print(json.dumps(chat, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
