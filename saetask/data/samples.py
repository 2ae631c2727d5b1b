"""Samples: items laid out for asking, with their prompts and candidate answers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from saetask.data.prompts import Prompt
from saetask.data.tasks import Candidate, Item, Task, check_answers, check_candidates, check_prompt


@dataclass(frozen=True, eq=False)
class Sample:
    """An item with its prompt and candidate answers; samples are compared by identity."""

    item: Item
    prompt: Prompt
    candidates: Sequence[Candidate]
    correct: np.ndarray
    """Whether each candidate is right, `[n_candidates]`, bool."""
    gold_reading: str | None
    position: int = 0
    """Place among all samples of a run; orders samples of several folds."""
    auxiliary: bool = False
    """Only trained on: never asked, calibrated on or scored."""

    @property
    def id(self) -> str:
        """The item's id."""
        return self.item.id

    @property
    def group(self) -> str:
        """The item's group."""
        return self.item.group

    @property
    def texts(self) -> tuple[str, ...]:
        """The candidates' texts."""
        return tuple(candidate.text for candidate in self.candidates)

    @property
    def readings(self) -> list[str]:
        """The reading that each candidate stands for."""
        return [candidate.reading for candidate in self.candidates]


def draw(samples: Sequence[Sample], maximum: int, generator: np.random.Generator) -> list[Sample]:
    """Draws up to `maximum` samples without replacement and returns them in their given order."""
    chosen = generator.permutation(len(samples))[:maximum]
    return [samples[i] for i in sorted(chosen.tolist())]


def make_samples(
    task: Task, items: Iterable[Item], first_position: int = 0, auxiliary: bool = False
) -> list[Sample]:
    """Returns the sample of each item, in their order.

    Raises:
        UserError: A prompt of the task lacks the span `text`, or has one outside its content.
    """
    samples = []
    for position, item in enumerate(items, first_position):
        prompt = check_prompt(task.name, item, task.prompt(item))
        candidates, correct, gold_reading = check_answers(task, item)
        correct = np.array(correct, dtype=bool)
        samples.append(Sample(item, prompt, candidates, correct, gold_reading, position, auxiliary))
    return samples


def make_unlabelled_sample(task: Task, item: Item) -> Sample:
    """Returns the sample of an item whose right answer is not known."""
    candidates = check_candidates(task, item)
    prompt = check_prompt(task.name, item, task.prompt(item))
    return Sample(item, prompt, candidates, np.zeros(len(candidates), bool), None)
