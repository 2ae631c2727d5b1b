"""Has a model answer word problems, and writes an evaluation log.

    python -m benchmarks.word_problem_log ITEMS.jsonl LOG.jsonl --model NAME [--base-url URL]
        [--limit 300] [--seed 0] [--workers 8]

Items are those of the task `gsm8k`, as `python -m benchmarks.convert_items svamp-steps` and `gsm8k`
make them. A random sample is asked in the order in which it was drawn, so that its beginning is a
sample as well. The endpoint is any with OpenAI's chat completions API, such as llama.cpp's server,
where the length of an answer is set too; the task's beginning of an answer is not sent. Without an
endpoint the model is loaded here (alias, folder, .gguf file or hub id), and writes the most
probable tokens after that beginning, at most 320, up to the answer that it states.

A row of the log has the chat, the answer (`output`), whether the last number in it is right
(`correct`), and whether the number is that it states as its answer (`strict`). Answers are kept
beside the log (`LOG.jsonl.answers`): the same command goes on from there, and a smaller `--limit`
writes what has been answered.
"""

import json
import random
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.command_line import command_parser
from saetask import PluginRegistry
from saetask.data import Item, number_text
from saetask.errors import one_line_errors
from saetask.inference import Endpoint
from saetask.inference.client import ModelClient
from saetask.inference.endpoint import ask_once
from saetask.inference.requests import GenerateRequest
from saetask.models.loading import load_model
from saetask.utils.journal import Journal

LONGEST_WAIT = 7200.0
"""Seconds to wait for an answer: what is asked again begins anew."""


def sample(items: Sequence[Item], limit: int, seed: int) -> list[Item]:
    """Returns items in random order: those of a smaller limit are the first of a larger one."""
    drawn = list(items)
    random.Random(seed).shuffle(drawn)
    return drawn[:limit]


def log_row(task: Any, item: Item, output: str) -> dict[str, Any]:
    """Returns the row of a log for an answer."""
    score = task.score(item, output)
    return {
        "id": item.id,
        "messages": [dict(message) for message in task.prompt(item).messages],
        "output": output,
        "correct": int(score.flexible_correct),
        "strict": int(score.correct),
        "target": number_text(item.gold.answer),
        "group": item.group,
    }


def answers_at(
    endpoint: Endpoint, task: Any, items: Sequence[Item], kept: Path, workers: int
) -> list[str | None]:
    """Returns the text that an endpoint answers to each item; None where it gives none.

    Raises:
        UserError: The endpoint can not be reached.
    """
    journal = Journal(kept)

    def answer(item: Item) -> str | None:
        content = ask_once(endpoint, journal, task.prompt(item).messages, lambda text: [text])[0]
        return str(content[0]) if content else None

    with ThreadPoolExecutor(workers) as executor:
        return list(executor.map(answer, items))


def answers_here(model: str, task: Any, items: Sequence[Item], kept: Path) -> list[str]:
    """Returns the text that a model writes for each item.

    Raises:
        UserError: The model can not be loaded.
    """
    client = ModelClient(load_model(model), kept)
    return client.generate(
        GenerateRequest(task.prompt(item), task.answer_tokens, item.id, end=task.answer_end)
        for item in items
    )


def write_log(task: Any, items: Sequence[Item], answers: Sequence[str | None], out: Path) -> int:
    """Writes the log; returns how many items got no answer."""
    rows = [log_row(task, item, text) for item, text in zip(items, answers) if text is not None]
    out.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return len(items) - len(rows)


@one_line_errors("word_problem_log")
def main(given: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    parser = command_parser("python -m benchmarks.word_problem_log", __doc__)
    parser.add_argument("items", type=Path, metavar="ITEMS")
    parser.add_argument("out", type=Path, metavar="LOG")
    parser.add_argument("--model", required=True)
    parser.add_argument("--base-url")
    parser.add_argument("--limit", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=8)
    options = parser.parse_args(given)
    task = PluginRegistry().get("task", "gsm8k")
    drawn = sample(task.items(options.items), options.limit, options.seed)
    kept = options.out.with_name(f"{options.out.name}.answers")
    if options.base_url:
        endpoint = Endpoint(options.model, options.base_url, timeout=LONGEST_WAIT)
        answers = answers_at(endpoint, task, drawn, kept, options.workers)
    else:
        answers = answers_here(options.model, task, drawn, kept)
    missing = write_log(task, drawn, answers, options.out)
    print(f"{len(drawn) - missing} of {len(drawn)} items answered: {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
