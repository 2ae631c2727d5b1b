"""Readings that generated answers stand for, without regard to which is right."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from saetask.data.numbers import numbers_in, same_number
from saetask.data.prompts import Prompt
from saetask.data.samples import Sample
from saetask.data.tasks import Item, Score
from saetask.experiments.answer_length import answer_end
from saetask.inference.requests import GenerateRequest

if TYPE_CHECKING:
    from saetask.experiments.context import ExperimentContext


def written_readings(context: "ExperimentContext", samples: Sequence[Sample]) -> dict[Sample, str]:
    """Has the model answer the samples' own prompts and returns what each answer stands for.

    Args:
        context: Task, settings and client. The arm `original` asks the same, so that it is asked
            once.
        samples: Samples with candidates.

    Returns:
        The reading by sample; "" where the answer stands for none.
    """
    asked = [(sample, sample.prompt) for sample in samples]
    outputs = write_answers(context, asked, "original prompts: generate")
    score = context.task.score
    return {s: reading_of_answer(score, s, output) for s, output in zip(samples, outputs)}


def write_answers(
    context: "ExperimentContext", asked: Sequence[tuple[Sample, Prompt]], title: str
) -> list[str]:
    """Has the model write an answer to each sample's prompt, its own or an annotated one."""
    length, end = context.settings.answer_tokens, answer_end(context.task)
    requests = [GenerateRequest(prompt, length, sample.id, end=end) for sample, prompt in asked]
    return context.client.generate(requests, title)


def reading_of_answer(score: Callable[[Item, str], Score], sample: Sample, output: str) -> str:
    """Returns the reading of the candidates that say what an output says; "" for none or several.

    Args:
        score: Parses outputs; whether one is right does not count.
        sample: The sample, with its candidates.
        output: What the model wrote.
    """
    said = score(sample.item, output).parsed
    readings = {
        reading
        for text, reading in zip(sample.texts, sample.readings)
        if said is not None and _same(said, score(sample.item, text).parsed)
    }
    return readings.pop() if len(readings) == 1 else ""


def _same(said: str, candidate: str | None) -> bool:
    """Returns whether two parsed answers are the same: as texts, or as numbers but for rounding."""
    if candidate is None or said == candidate:
        return said == candidate
    numbers = [numbers_in(each) for each in (said, candidate)]
    return all(len(each) == 1 for each in numbers) and same_number(numbers[0][0], numbers[1][0])
