"""Run folders of saetask."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from saetask import UserError
from saetask.data import (
    LONGEST_LINE,
    SAETASK,
    EvaluatedItem,
    LogFields,
    as_prompt,
    first_row,
    log_kind,
    read_rows,
)

DEFAULT_ARM = "original"
NEEDED = ("id", "arm", "group", "prompt", "output", "correct")


class SaetaskRun:
    """A run folder of saetask, or its items.jsonl: one arm, what the model said without offset.

    The prompt is read as one message of the user's, because items.jsonl has all messages as one
    text. The beginning of the answer is asked with again, and not read.
    """

    name = "saetask"
    fields = ("arm",)

    def recognises(self, log: str) -> bool:
        """Returns whether a log is the items of a run."""
        path = _items_file(log)
        return path.is_file() and log_kind(first_row(path)) == SAETASK

    def read(self, log: str, fields: LogFields) -> Iterator[EvaluatedItem]:
        """Yields the items of an arm.

        Raises:
            UserError: A row is damaged, or the run has no such arm.
        """
        path, arm, arms, is_empty = _items_file(log), fields.arm or DEFAULT_ARM, {}, True
        targets = _targets(path)
        for number, row in read_rows(path, longest=LONGEST_LINE):
            place = f"{path}:{number}"
            if missing := [name for name in NEEDED if name not in row]:
                raise UserError(f"{place}: field '{missing[0]}' is missing; is this a run's file?")
            arms[str(row["arm"])] = None
            if row["arm"] != arm:
                continue
            is_empty = False
            if not isinstance(row["prompt"], str):
                raise UserError(f"{place}: field 'prompt' is no text: {row['prompt']!r:.60}.")
            is_raw = None not in (row.get("raw_output"), row.get("raw_correct"))
            output, correct = (row["raw_" * is_raw + name] for name in ("output", "correct"))
            begun = row.get("answer_prefix") or ""
            if not isinstance(begun, str):
                raise UserError(f"{place}: field 'answer_prefix' is no text: {begun!r:.60}.")
            prompt = replace(as_prompt(row["prompt"]), answer_prefix=begun.rstrip())
            name, group = str(row["id"]), str(row["group"])
            scores = row.get("raw_scores" if is_raw else "scores") or ()
            choices = tuple(begun[len(begun.rstrip()) :] + text for text in scores)
            yield EvaluatedItem(
                name, prompt, str(output), correct, group, (), {}, place, targets.get(name), choices
            )
        if is_empty:
            raise UserError(f"{path} has no arm '{arm}'; name one with --arm: {', '.join(arms)}.")


def _targets(path: Path) -> dict[str, str]:
    """Returns the right answers to items, as far as rows tell them, which have no gold.

    They tell it where any arm answers rightly, and where one of two candidates is wrong.
    """
    targets: dict[str, str] = {}
    for _, row in read_rows(path, longest=LONGEST_LINE):
        for raw in ("", "raw_"):
            output, correct = row.get(f"{raw}output"), row.get(f"{raw}correct")
            others = [text for text in row.get(f"{raw}scores") or () if text != output]
            if correct is True and isinstance(output, str):
                targets.setdefault(str(row.get("id")), output)
            elif correct is False and len(others) == 1:
                targets.setdefault(str(row.get("id")), others[0])
    return targets


def _items_file(log: str) -> Path:
    path = Path(log).expanduser()
    return path / "items.jsonl" if path.is_dir() else path
