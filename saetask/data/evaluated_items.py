"""Items of an evaluation that has been made: prompts with what a model answered, and its score."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from saetask.data.prompts import Prompt


@dataclass(frozen=True)
class EvaluatedItem:
    """A prompt as a model got it, what the model answered, and how that was scored."""

    id: str
    """Unique in its log."""
    prompt: Prompt | str
    """A chat, or a string where the model got running text without a chat template."""
    output: str
    """What the model answered."""
    correct: float | None
    """Score from 0 (wrong) to 1 (right); None where the log has none."""
    group: str
    """Items of one group are dependent, and stay in one half of a split; the id where there is no
    grouping."""
    samples: tuple[str, ...] = ()
    """Further answers to the same prompt, from other samples or epochs."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """What else the log has of the item, such as its subject; never shown to the model."""
    place: str = field(default="", compare=False)
    """Where it stands in its log, such as `log.jsonl:12`, for messages."""
    target: str | None = None
    """The right answer, where the log has it; only what scores answers anew may see it."""
    choices: tuple[str, ...] = ()
    """The answers that the model had to choose from; empty where it wrote one freely."""
    paraphrases: tuple[str, ...] = ()
    """The prompt's last message in other words, where the log has it so."""
    columns: tuple[str, ...] = field(default=(), compare=False)
    """Columns of its row, where the log is a table, for messages."""
