"""Tasks: items, the prompt about an item, candidate answers, and scoring.

A task is a plugin. What it may show to detectors and annotators is the prompt; the gold answer
stays inside the task.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from saetask.data.prompts import Prompt
from saetask.errors import UserError


@dataclass(frozen=True)
class Item:
    """One question of a task."""

    id: str
    group: str
    """Items of one group (a verb, a problem template) never stand on both sides of a split."""
    question: dict[str, Any]
    """What may be shown."""
    gold: Any = field(repr=False, default=None)
    """What only scoring, fitting and the `oracle` arm may see."""


class Candidate(NamedTuple):
    """A possible answer, as the text that follows the prompt's answer prefix."""

    text: str
    reading: str
    """The reading of the prompt that this answer stands for."""


class Score(NamedTuple):
    """An output, judged."""

    parsed: str | None
    """The answer found in the output; None when there is none."""
    correct: bool
    flexible_correct: bool | None = None
    """For generated outputs: judged by the looser of two ways to find the answer."""


@runtime_checkable
class Task(Protocol):
    """Protocol of a task plugin."""

    name: str
    readings: Sequence[str]
    """The ways a prompt of this task can be read; a detector chooses among them."""
    annotators: Sequence[Any]
    """The annotators that can write notes for this task: names of plugins, or objects."""

    def items(self, data: Path | None = None) -> list[Item]:
        """Returns the built-in items, or those of a file in the task's item format."""
        ...

    def prompt(self, item: Item) -> Prompt:
        """Returns the prompt; its spans name the `text` that is read and, if any, the `target`."""
        ...

    def candidates(self, item: Item) -> list[Candidate] | None:
        """Returns the answers to rank, or None when the answer must be generated."""
        ...

    def score(self, item: Item, output: str) -> Score:
        """Scores an output: a candidate's text, or what the model generated."""
        ...

    def gold_reading(self, item: Item) -> str | None:
        """Returns the right reading, or None when no reading leads to the gold answer."""
        ...

    def question_from_text(self, text: str, target: str | None) -> Item:
        """Returns an item without gold for a user's own text."""
        ...


def check_items(items: Sequence[Item], name: str) -> list[Item]:
    """Returns items with ids and groups as texts; a number counts as its text, as in item files.

    Args:
        items: The items.
        name: What they are called.

    Raises:
        UserError: Something is no item, an id or group is neither a text nor a number, or an id
            occurs twice.
    """
    checked: dict[str, Item] = {}
    for place, item in enumerate(items, 1):
        who = f"{name[:1].upper()}{name[1:]}, number {place}"
        if not isinstance(item, Item):
            raise UserError(f"{who}: expected a saetask.data.Item, found {item!r:.60}.")
        item_id, group = (name_text(value) for value in (item.id, item.group))
        if item_id is None or group is None:
            field, value = ("id", item.id) if item_id is None else ("group", item.group)
            raise UserError(f"{who}: its {field} must be a text or a number, not {value!r:.60}.")
        if item_id in checked:
            raise UserError(f"{who}: the id '{item_id}' occurs twice.")
        checked[item_id] = replace(item, id=item_id, group=group)
    return list(checked.values())


def name_text(value: object) -> str | None:
    """Returns an id or group as text, or None if it is neither a text nor a number.

    Numbers count as their text, 1.0 as 1.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value)
    return text if text.strip() else None


def check_prompt(task: str, item: Item, prompt: Prompt) -> Prompt:
    """Returns a task's prompt once its spans are checked.

    Args:
        task: The task's name.
        item: The item that the prompt asks about.
        prompt: What the task made of it.

    Raises:
        UserError: It is no prompt, has no span `text`, or a span is empty or not in the content.
    """
    who = f"Task '{task}', item '{item.id}'"
    if not isinstance(prompt, Prompt) or not prompt.messages:
        raise UserError(f"{who}: its prompt must be a Prompt with a message, not {prompt!r:.60}.")
    if "text" not in prompt.spans:
        names = ", ".join(prompt.spans) or "none"
        raise UserError(f"{who}: its prompt has no span 'text' (it has: {names}).")
    length = len(prompt.content)
    for name, (start, end) in prompt.spans.items():
        if not 0 <= start < end <= length:
            raise UserError(
                f"{who}: its prompt's span '{name}' is {start} to {end}, which is not inside the "
                f"content of {length} characters."
            )
    return prompt


class Answers(NamedTuple):
    """What a task says of the answers to an item."""

    candidates: list[Candidate]
    correct: list[bool]
    """Of each candidate."""
    gold_reading: str | None


def check_answers(task: Task, item: Item) -> Answers:
    """Returns candidates, their scores and the right reading of an item, once they are checked.

    Raises:
        UserError: One of them is of another type than the protocol says.
    """
    candidates, gold_reading = check_candidates(task, item), task.gold_reading(item)
    if not isinstance(gold_reading, str | None):
        raise _wrong_type(task, item, "gold_reading", gold_reading, "a text or None")
    scores = [task.score(item, candidate.text) for candidate in candidates]
    for score in scores:
        if not isinstance(score, Score):
            raise _wrong_type(task, item, "score", score, "a saetask.data.Score")
    return Answers(candidates, [score.correct for score in scores], gold_reading)


def check_candidates(task: Task, item: Item) -> list[Candidate]:
    """Returns the candidates of an item, once they are checked; none where there are none.

    Raises:
        UserError: They are of another type than the protocol says.
    """
    given = task.candidates(item)
    if given is None:
        return []
    if not isinstance(given, list | tuple) or not all(isinstance(c, Candidate) for c in given):
        raise _wrong_type(task, item, "candidates", given, "a list of saetask.data.Candidate")
    return list(given)


def _wrong_type(task: Task, item: Item, method: str, value: object, wanted: str) -> UserError:
    shown = " ".join(repr(value).split())
    return UserError(
        f"Task '{task.name}', item '{item.id}': its method {method} returned {shown:.60}, not "
        f"{wanted}."
    )


class SecondQuestion(NamedTuple):
    """Another question about an item, which a note on the first question does not answer."""

    prompt: Prompt
    """It has the spans of the first question's prompt, so that the same note can be placed."""
    candidates: list[Candidate] | None
    """The answers to rank; None when the answer must be generated."""


@runtime_checkable
class AsksTwice(Protocol):
    """Protocol of a task that can ask a second question about an item, besides `Task`."""

    def second_question(self, item: Item) -> SecondQuestion | None:
        """Returns the second question, or None where the item has none."""
        ...

    def score_second(self, item: Item, output: str) -> Score:
        """Scores an output to the second question: a candidate's text, or a generated one."""
        ...


@runtime_checkable
class WritesAnswers(Protocol):
    """Protocol of a task that says how long a generated answer may be, besides `Task`."""

    answer_tokens: int
    """Maximum length of an answer, in tokens."""
    answer_end: str
    """Regular expression: an answer ends with its first match, such as a line with the result."""


@runtime_checkable
class TellsUnlearnable(Protocol):
    """Protocol of a task that can tell when its readings mean another thing in each item."""

    def unlearnable(self, items: Sequence[Item]) -> str | None:
        """Returns why no reading can be learnt across these items, or None."""
        ...
