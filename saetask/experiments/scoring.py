"""Scoring: answers to the prompts of every arm, calibrated and compared with the gold answer."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from saetask.annotation.prompt_writer import ArmPrompt
from saetask.data.samples import Sample
from saetask.data.tasks import Item, Score
from saetask.detection.calibration import Calibration, ScoredItem, tested_calibration
from saetask.experiments.observation import rank_request, scored_item
from saetask.inference.client import ModelClient, RankResponse
from saetask.inference.ranking import likeliest
from saetask.inference.requests import GenerateRequest

FitCalibration = Callable[[Sequence[ScoredItem]], Calibration]


class SampleResult(NamedTuple):
    """One sample in one arm."""

    sample: Sample
    fold: int
    arm: str
    written: ArmPrompt
    output: str
    """The calibrated answer: after the arm's offset."""
    score: Score
    scores: dict[str, float]
    """Calibrated log-probability of each candidate answer."""
    raw_output: str
    """The raw answer: what the model says."""
    raw_score: Score
    raw_scores: dict[str, float]
    """What the raw answer was the best by: by default the log-likelihood of each candidate, in
    nats."""


class PreparedArm(NamedTuple):
    """The prompts of a fold in one arm, and how its answers are calibrated."""

    test: Mapping[Sample, ArmPrompt]
    """Of the test samples."""
    calibration: Mapping[Sample, ArmPrompt]
    """Of training samples; the arm's offset is fitted on the answers to these."""
    fit: FitCalibration = tested_calibration


@dataclass(frozen=True)
class FoldPrompts:
    """The prompts of a fold in every arm."""

    number: int
    test: Sequence[Sample]
    bias: Calibration
    """Calibration of the answers to prompts that an arm leaves as they are."""
    arms: Mapping[str, PreparedArm]


Responses = Mapping[str, Mapping[Sample, RankResponse]]
"""By arm, of samples with candidates."""


def score_folds(
    client: ModelClient,
    score: Callable[[Item, str], Score],
    folds: Sequence[FoldPrompts],
    max_new_tokens: int | None = None,
    title: str = "arms",
    end: str = "",
) -> list[SampleResult]:
    """Runs the model on the prompts of all folds and scores the answers.

    Where answers are generated, candidates are ranked after the prompts of `original` alone.

    Args:
        client: The model under test.
        score: Scores an output.
        folds: Prompts, by fold; all have the same arms.
        max_new_tokens: Judge generated answers of this maximum length; None ranks the candidates.
        title: What the stage is called in the progress.
        end: Regular expression: a generated answer ends with its first match.

    Returns:
        Results by arm, in the folds' order of arms, and by the item's id.
    """
    ranked = ("original",) if max_new_tokens else folds[0].arms
    responses = _rank(client, folds, ranked, title)
    outputs = _generate(client, folds, max_new_tokens, title, end) if max_new_tokens else {}
    results = [
        result
        for number, fold in enumerate(folds)
        for arm in fold.arms
        for result in _arm_results(score, fold, arm, responses[number][arm], outputs)
    ]
    place = {arm: number for number, arm in enumerate(folds[0].arms)}
    return sorted(results, key=lambda result: (place[result.arm], result.sample.id))


def _rank(
    client: ModelClient, folds: Sequence[FoldPrompts], arms: Collection[str], title: str
) -> list[Responses]:
    """Returns the model's scores of the candidates of every prompt in some arms."""
    asked = [
        (number, name, sample, written)
        for number, fold in enumerate(folds)
        for name, arm in fold.arms.items()
        for prompts in (arm.calibration, arm.test)
        if name in arms
        for sample, written in prompts.items()
        if sample.candidates
    ]
    requests = [rank_request(s, written.prompt, written.addition) for *_, s, written in asked]
    responses: list[dict[str, dict[Sample, RankResponse]]] = [
        {name: {} for name in fold.arms} for fold in folds
    ]
    for (number, name, sample, _), response in zip(asked, client.rank(requests, title)):
        responses[number][name][sample] = response
    return list(responses)


def _generate(
    client: ModelClient, folds: Sequence[FoldPrompts], max_new_tokens: int, title: str, end: str
) -> dict[tuple[str, Sample], str]:
    """Returns the generated answers of test samples, by arm and sample."""
    asked = [
        (name, sample, written)
        for fold in folds
        for name, arm in fold.arms.items()
        for sample, written in arm.test.items()
    ]
    requests = [
        GenerateRequest(written.prompt, max_new_tokens, s.id, addition=written.addition, end=end)
        for _, s, written in asked
    ]
    texts = client.generate(requests, f"{title}: generate")
    return {(name, sample): text for (name, sample, _), text in zip(asked, texts)}


def _arm_results(
    score: Callable[[Item, str], Score],
    fold: FoldPrompts,
    name: str,
    responses: Mapping[Sample, RankResponse],
    outputs: Mapping[tuple[str, Sample], str],
) -> list[SampleResult]:
    """Judges a fold's test samples in one arm, by their raw and by their calibrated answers."""
    arm = fold.arms[name]
    treated = [s for s, written in arm.calibration.items() if written.takes_offset]
    own = arm.fit([scored_item(s, responses[s]) for s in treated if s in responses])
    results = []
    for sample in fold.test:
        written, raw, calibrated = arm.test[sample], {}, {}
        if sample in responses:
            values = responses[sample].scores
            bias = own if written.takes_offset else fold.bias
            raw = dict(zip(sample.texts, values.tolist()))
            calibrated = dict(zip(sample.texts, bias.apply(values, sample.readings).tolist()))
        given = outputs.get((name, sample)) if written.answer is None else written.answer
        said, output = (
            _best(sample, scores) if given is None else given for scores in (raw, calibrated)
        )
        results.append(
            SampleResult(
                sample,
                fold.number,
                name,
                written,
                output,
                score(sample.item, output),
                calibrated,
                said,
                score(sample.item, said),
                raw,
            )
        )
    return results


def _best(sample: Sample, scores: Mapping[str, float]) -> str:
    """Returns the candidate of the highest score; "" without candidates."""
    if not scores:
        return ""
    texts = list(scores)
    return texts[likeliest(list(scores.values()), texts, sample.id)]
