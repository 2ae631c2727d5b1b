"""Scoring: answers to the prompts of every arm, calibrated and compared with the gold answer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from saetask.annotation.prompt_writer import ArmPrompt
from saetask.data.samples import Sample
from saetask.data.tasks import Item, Score
from saetask.detection.calibration import Calibration, calibration_or
from saetask.experiments.observation import rank_request, scored_item
from saetask.inference.client import GenerateRequest, ModelClient, RankResponse


class SampleResult(NamedTuple):
    """One sample in one arm."""

    sample: Sample
    fold: int
    arm: str
    written: ArmPrompt
    output: str
    score: Score
    scores: dict[str, float]
    """Calibrated log-probability of each candidate answer."""


@dataclass(frozen=True)
class FoldPrompts:
    """The prompts of a fold in every arm, and the calibrations of their answers."""

    number: int
    calibration: Sequence[Sample]
    """Training samples on which each arm's calibration is fitted."""
    test: Sequence[Sample]
    bias: Calibration
    """Of unannotated prompts."""
    note_bias: Calibration
    """Of prompts that state the right reading, for arms that annotate few training samples."""
    prompts: Mapping[str, Mapping[Sample, ArmPrompt]]
    """By arm, of calibration and test samples."""


Responses = Mapping[str, Mapping[Sample, RankResponse]]
"""By arm, of samples with candidates."""


def score_folds(
    client: ModelClient,
    score: Callable[[Item, str], Score],
    folds: Sequence[FoldPrompts],
    max_new_tokens: int | None = None,
    title: str = "arms",
) -> list[SampleResult]:
    """Runs the model on the prompts of all folds and scores the answers.

    Args:
        client: The model under test.
        score: Scores an output.
        folds: Prompts, by fold; all have the same arms.
        max_new_tokens: Judge generated answers of this maximum length; None ranks the candidates.
        title: What the stage is called in the progress.

    Returns:
        Results by arm, in the folds' order of arms, and by the item's id.
    """
    responses = _rank(client, folds, title)
    outputs = _generate(client, folds, max_new_tokens, title) if max_new_tokens else {}
    results = [
        result
        for number, fold in enumerate(folds)
        for arm, prompts in fold.prompts.items()
        for result in _arm_results(score, fold, arm, prompts, responses[number][arm], outputs)
    ]
    place = {arm: number for number, arm in enumerate(folds[0].prompts)}
    return sorted(results, key=lambda result: (place[result.arm], result.sample.id))


def _rank(client: ModelClient, folds: Sequence[FoldPrompts], title: str) -> list[Responses]:
    """Returns the model's scores of every prompt's candidates."""
    asked = [
        (number, arm, sample, written.prompt)
        for number, fold in enumerate(folds)
        for arm, prompts in fold.prompts.items()
        for sample, written in prompts.items()
        if sample.candidates
    ]
    requests = [rank_request(sample, prompt) for *_, sample, prompt in asked]
    responses: list[dict[str, dict[Sample, RankResponse]]] = [
        {arm: {} for arm in fold.prompts} for fold in folds
    ]
    for (number, arm, sample, _), response in zip(asked, client.rank(requests, title)):
        responses[number][arm][sample] = response
    return list(responses)


def _generate(
    client: ModelClient, folds: Sequence[FoldPrompts], max_new_tokens: int, title: str
) -> dict[tuple[str, Sample], str]:
    """Returns the generated answers of test samples, by arm and sample."""
    asked = [
        (arm, sample, prompts[sample].prompt)
        for fold in folds
        for arm, prompts in fold.prompts.items()
        for sample in fold.test
    ]
    requests = [GenerateRequest(prompt, max_new_tokens) for *_, prompt in asked]
    texts = client.generate(requests, f"{title}: generate")
    return {(arm, sample): text for (arm, sample, _), text in zip(asked, texts)}


def _arm_results(
    score: Callable[[Item, str], Score],
    fold: FoldPrompts,
    arm: str,
    prompts: Mapping[Sample, ArmPrompt],
    responses: Mapping[Sample, RankResponse],
    outputs: Mapping[tuple[str, Sample], str],
) -> list[SampleResult]:
    """Judges a fold's test samples in one arm.

    Annotated prompts are calibrated on the arm's annotated training samples; a prompt that an arm
    leaves unchanged keeps the answer of the original.
    """
    rows = [
        scored_item(sample, responses[sample])
        for sample in fold.calibration
        if prompts[sample].annotation and sample in responses
    ]
    # Where these are too few, a note that states a finding is calibrated like one that states the
    # right reading with the same template (which was asked of training samples), any other like
    # the unannotated prompt.
    states_finding = any(written.misunderstandings for written in prompts.values())
    annotated_bias = calibration_or(rows, fold.note_bias if states_finding else fold.bias)
    results = []
    for sample in fold.test:
        written, scores = prompts[sample], {}
        if sample in responses:
            bias = annotated_bias if written.annotation else fold.bias
            values = bias.apply(responses[sample].log_likelihoods, sample.readings)
            scores = dict(zip(sample.texts, values.tolist()))
        likeliest = max(scores, key=scores.__getitem__, default="")
        output = outputs.get((arm, sample), likeliest)
        judged = score(sample.item, output)
        results.append(SampleResult(sample, fold.number, arm, written, output, judged, scores))
    return results
