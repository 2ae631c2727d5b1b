"""Observations: features of a sample's prompt and the model's answer to it, computed once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from saetask.data.corpus import TokenRow
from saetask.data.prompts import Prompt
from saetask.data.rendering import render
from saetask.data.samples import Sample
from saetask.detection.base import DetectorInput
from saetask.detection.calibration import Calibration, ScoredItem
from saetask.experiments.context import ExperimentContext
from saetask.experiments.written_answers import written_readings
from saetask.inference.client import RankResponse
from saetask.inference.requests import RankRequest
from saetask.models.additions import Addition
from saetask.models.loading import model_tokenizer
from saetask.saes.activations import FeatureActivations
from saetask.saes.concepts import Concept
from saetask.saes.extraction import ExtractedFeatures, extract_features
from saetask.saes.random_sae import CALIBRATION_ROWS, random_sae

if TYPE_CHECKING:
    from saetask.saes.loading import SAE

NO_RESPONSE = RankResponse(np.empty(0))
"""The response to a prompt that was not asked: no candidates, or an auxiliary sample."""


@dataclass(frozen=True, eq=False)
class Observation:
    """A sample's prompt as the SAE reads it and as the model answers it, without a note."""

    sample: Sample
    features: FeatureActivations
    """Of this prompt alone."""
    residual_means: Mapping[str, np.ndarray]
    """Mean activation of each region at the SAE's hook point, `[d_in]`, float32."""
    response: RankResponse = NO_RESPONSE
    written_reading: str | None = None
    """What the model's generated answer stands for, "" where it stands for no reading; None where
    candidates are ranked."""
    control_features: Sequence[FeatureActivations] = ()
    """The same prompt read through frozen random dictionaries."""
    concepts: Sequence[Concept] = ()
    """Named groups of `features`."""
    named_features: Sequence[Concept] = ()
    """Single ones of `features` that are named for a meaning."""
    _pooled: dict[str, Any] = field(default_factory=dict, repr=False)

    def detector_input(self, bias: Calibration, readings: Sequence[str]) -> DetectorInput:
        """Returns what a detector may see, which excludes the gold answer.

        Args:
            bias: The model's bias on unannotated prompts, which is removed from its answer.
            readings: The readings that the task distinguishes.
        """
        scores = reading_scores(scored_item(self.sample, self.response), bias, readings)
        prompt = self.sample.prompt
        return DetectorInput(
            self.features,
            prompt.content,
            prompt.spans,
            scores,
            self.residual_means,
            self.sample.auxiliary,
            self.concepts,
            self.named_features,
            self.written_reading,
            self._pooled,
        )


def observe(
    context: ExperimentContext,
    samples: Sequence[Sample],
    random_saes: Sequence[int] = (),
    generate: bool = False,
) -> list[Observation]:
    """Reads every sample's prompt and has the model answer those that are not auxiliary.

    Prompts are read before anything is asked, so that one that is too long is refused at once.

    Args:
        context: Model, SAE and client.
        samples: All samples of the run.
        random_saes: Seeds of random dictionaries through which the prompts are read as well.
        generate: The answers that are judged are generated ones.

    Raises:
        UserError: A prompt is empty or too long.
    """
    saes = [context.sae, *(_control_sae(context, samples, seed) for seed in random_saes)]
    prompts = [sample.prompt for sample in samples]
    extracted = extract_features(context.model, saes, prompts, context.executor)
    asked = [sample for sample in samples if sample.candidates and not sample.auxiliary]
    answers = context.client.rank([rank_request(sample) for sample in asked], "original prompts")
    written = written_readings(context, asked) if generate else {}
    return make_observations(context, samples, extracted, dict(zip(asked, answers)), written)


def make_observations(
    context: ExperimentContext,
    samples: Sequence[Sample],
    extracted: ExtractedFeatures,
    responses: Mapping[Sample, RankResponse],
    written: Mapping[Sample, str] = MappingProxyType({}),
) -> list[Observation]:
    """Joins the features of each sample's prompt with the model's response to it.

    Args:
        context: Model, SAE and client.
        samples: The samples.
        extracted: The features of their prompts.
        responses: The model's scores of candidates.
        written: The readings that generated answers stand for.
    """
    features, *controls = extracted.features
    known = context.known_concepts
    return [
        Observation(
            sample,
            known.seen(features[i]),
            extracted.raw[i],
            responses.get(sample, NO_RESPONSE),
            written.get(sample),
            [control[i] for control in controls],
            known.concepts,
            known.named_features,
        )
        for i, sample in enumerate(samples)
    ]


def rank_request(
    sample: Sample, prompt: Prompt | None = None, addition: Addition | None = None
) -> RankRequest:
    """Returns the request for a sample's candidates, after its own prompt or another one."""
    return RankRequest(prompt or sample.prompt, sample.texts, sample.id, addition)


def scored_item(sample: Sample, response: RankResponse) -> ScoredItem:
    """Returns a sample's candidates with the model's scores."""
    return ScoredItem(response.scores, sample.readings, sample.correct)


def reading_scores(
    scored: ScoredItem, calibration: Calibration, readings: Sequence[str]
) -> dict[str, float]:
    """Returns the model's log-probability of each reading: its candidates' together."""
    scores = dict.fromkeys(readings, -np.inf)
    if len(scored.scores):
        for reading, value in zip(
            scored.readings, calibration.apply(scored.scores, scored.readings)
        ):
            scores[reading] = float(np.logaddexp(scores[reading], value))
    return scores


def _control_sae(context: ExperimentContext, samples: Sequence[Sample], seed: int) -> "SAE[Any]":
    """Returns a frozen random dictionary that is calibrated on some of the prompts."""
    tokenizer = model_tokenizer(context.model)
    rows = [
        TokenRow("items", sample.id, render(tokenizer, sample.prompt).token_ids)
        for sample in samples[:CALIBRATION_ROWS]
    ]
    return random_sae(context.model, context.sae, rows, seed)
