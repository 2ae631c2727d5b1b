"""Steering: features of one reading raised, those of the others lowered, at a prompt's target.

Everything is learnt on the fit split: which features the detector names for each reading, how
strongly they typically fire, and the strength. The same tokens can be moved as far along a dense
direction (the difference in means, a strong baseline of AxBench: Wu et al. 2025, arXiv 2501.17148)
or a random one. The strength is the one that suits the features; the other two take its norm.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from saetask.data.rendering import RenderedPrompt, render
from saetask.data.samples import Sample, draw
from saetask.detection.base import Misunderstanding
from saetask.detection.calibration import ScoredItem, fit_calibration
from saetask.experiments.context import ExperimentContext
from saetask.experiments.observation import Observation, rank_request, scored_item
from saetask.experiments.pipeline import FittedPipeline
from saetask.models.additions import Addition
from saetask.models.forward import batches_by_length, right_padded
from saetask.models.hooks import read_hook
from saetask.models.loading import model_tokenizer
from saetask.saes.encoding import (
    decoded_change,
    input_hook,
    ordinary_tokens,
    output_hook,
    sae_view,
)
from saetask.saes.extraction import TOKENS_PER_BATCH
from saetask.saes.feature_edits import FeatureEdit

if TYPE_CHECKING:
    import torch

STEER, STEER_DENSE, STEER_RANDOM = STEERING_ARMS = ("steer", "steer-dense", "steer-random")
Along = Literal["features", "difference-in-means", "random"]
STRENGTHS = (1.0, 2.0, 4.0, 8.0)
"""Multiples of the features' typical activation that are tried on the fit split."""
FEATURES = 8
"""Maximum number of features that stand for a reading: those that the detector names most often."""
EXPLAINED = 100
"""Maximum number of training samples whose right reading the detector explains."""


@dataclass(frozen=True)
class TargetActivations:
    """A prompt's activations where the SAE reads, and the tokens to steer at."""

    inputs: "torch.Tensor"
    """`[pos, d_in]`, float32."""
    width: int
    """Of the activation, heads flattened."""
    target: "torch.Tensor"
    """Mask of the target's tokens, without those that the SAE was not trained on, `[pos]`."""


@dataclass(frozen=True)
class Steering:
    """How a fold's prompts are steered."""

    context: ExperimentContext
    amounts: Mapping[str, Mapping[int, float]]
    """By reading: what is added to each feature's activation per unit of strength."""
    directions: Mapping[str, np.ndarray]
    """By reading: the unit vector from the mean of other readings' targets to that of its own,
    `[d_in]`; none where the SAE writes elsewhere than it reads."""
    strength: float
    """In multiples of the features' typical activations."""
    losses: Mapping[float, float]
    """By strength that was tried: mean negative log-probability of the right reading, in nats."""
    drawn: Sequence[Sample]
    """Training samples on which the strength was chosen."""
    seed: int

    def additions(
        self, readings: Mapping[Sample, str], along: Along = "features"
    ) -> dict[Sample, Addition]:
        """Returns what steers samples towards readings; those with nothing to move have none.

        Args:
            readings: The reading of each sample.
            along: Move features, or as far on each token along the difference in means, or along a
                random direction, another one for each sample.
        """
        readings = {s: reading for s, reading in readings.items() if self.amounts.get(reading)}
        targets = read_targets(self.context, list(readings))
        found = {
            sample: self._addition(sample, targets[sample], reading, self.strength, along)
            for sample, reading in readings.items()
        }
        return {sample: addition for sample, addition in found.items() if addition.tokens}

    def _addition(
        self,
        sample: Sample,
        activations: TargetActivations,
        reading: str,
        strength: float,
        along: Along = "features",
    ) -> Addition:
        sae, target = self.context.sae, activations.target
        edit = FeatureEdit({f: strength * a for f, a in self.amounts.get(reading, {}).items()})
        change = decoded_change(sae, activations.inputs, target, edit)[target].cpu()
        if along != "features":
            direction = self.direction(reading, along, change.shape[1], sample.position)
            change = change.norm(dim=-1, keepdim=True) * direction
        vectors = change.new_zeros(len(change), activations.width)
        sae_view(sae, vectors, change.shape[1])[:] = change
        tokens = tuple(target.nonzero()[:, 0].tolist())
        return Addition(output_hook(sae), tokens, vectors.float().numpy())

    def direction(self, reading: str, along: Along, width: int, place: int) -> "torch.Tensor":
        """Returns a unit vector, `[width]`, float32: of a reading, or a random one of a place."""
        import torch

        if along == "difference-in-means":
            return torch.from_numpy(self.directions[reading])
        drawn = np.random.default_rng([self.seed, place]).normal(size=width)
        return torch.from_numpy((drawn / np.linalg.norm(drawn)).astype(np.float32))


def fit_steering(
    context: ExperimentContext, pipeline: FittedPipeline, train: Sequence[Observation], seed: int
) -> Steering:
    """Learns on a fit split how to steer towards each reading, and how strongly.

    Args:
        context: Model, SAE and client.
        pipeline: The fold's pipeline; its detector names the features.
        train: Observations of the fit split.
        seed: Seed of the draw and of random directions.
    """
    generator = np.random.default_rng(seed)
    known = [o for o in train if o.sample.gold_reading is not None]
    judged = [o.sample for o in known if o.sample.correct.any()]
    drawn = draw(judged, context.settings.note_samples, generator)
    amounts = reading_amounts(pipeline, known)
    steering = Steering(
        context, amounts, _directions(context, known), STRENGTHS[0], {}, drawn, seed
    )
    if not drawn or not any(amounts.values()):
        return steering
    targets = read_targets(context, drawn)
    asked = {
        strength: [
            rank_request(s, None, steering._addition(s, targets[s], s.gold_reading or "", strength))
            for s in drawn
        ]
        for strength in STRENGTHS
    }
    requests = [request for each in asked.values() for request in each]
    answers = iter(context.client.rank(requests, "strength of steering"))
    losses = {
        strength: _loss([scored_item(sample, next(answers)) for sample in drawn])
        for strength in STRENGTHS
    }
    return replace(steering, strength=min(losses, key=losses.__getitem__), losses=losses)


def reading_amounts(
    pipeline: FittedPipeline, known: Sequence[Observation]
) -> dict[str, dict[int, float]]:
    """Returns by reading how much each feature is raised or lowered per unit of strength.

    Raised by their typical activation, the mean over targets on which they fire, are the features
    that the detector names most often for the reading in samples in which it is right; lowered are
    those of other readings, but for features that both have.
    """
    named: dict[str, Counter[int]] = {}
    for observation in known[:EXPLAINED]:
        reading = observation.sample.gold_reading or ""
        if observation.sample in pipeline.findings:
            explained = pipeline.detector.explain(pipeline.input(observation), reading)
            named.setdefault(reading, Counter()).update(_features(explained))
    typical = _typical_activations(known, {f for counter in named.values() for f in counter})
    own = {
        reading: {f: typical[f] for f, _ in counter.most_common() if typical[f] > 0}
        for reading, counter in named.items()
    }
    own = {reading: dict(list(amounts.items())[:FEATURES]) for reading, amounts in own.items()}
    return {
        reading: {
            **{
                f: -a
                for other, amounts in own.items()
                if other != reading
                for f, a in amounts.items()
            },
            **raised,
        }
        for reading, raised in own.items()
    }


def _features(found: Misunderstanding) -> set[int]:
    """Returns the features that a detector names, by themselves or in concepts for the reading."""
    if found.features:
        return {evidence.id for evidence in found.features}
    return {f for c in found.concepts if c.reading == found.reading for f in c.features}


def _typical_activations(
    known: Sequence[Observation], features: Collection[int]
) -> dict[int, float]:
    """Returns features' mean activations over the targets on which they fire; 0 if on none."""
    total, count = defaultdict[int, float](float), Counter[int]()
    for observation in known:
        regions = observation.features.prompts[0].regions
        pooled = observation.features.pooled("target" if "target" in regions else "text")
        for feature, value in zip(pooled.indices.tolist(), pooled.data.tolist()):
            total[feature] += max(value, 0.0)
            count[feature] += value > 0
    return {feature: total[feature] / max(count[feature], 1) for feature in features}


def _directions(context: ExperimentContext, known: Sequence[Observation]) -> dict[str, np.ndarray]:
    if input_hook(context.sae) != output_hook(context.sae):
        return {}
    means = [o.residual_means.get("target", o.residual_means["text"]) for o in known]
    rows = np.stack(means).astype(np.float32) if means else np.empty((0, 0), np.float32)
    readings = np.array([o.sample.gold_reading for o in known])
    directions = {}
    for reading in sorted(set(readings.tolist())):
        own = readings == reading
        if not own.all():
            apart = rows[own].mean(0) - rows[~own].mean(0)
            directions[reading] = apart / max(float(np.linalg.norm(apart)), 1e-12)
    return directions


def _loss(items: Sequence[ScoredItem]) -> float:
    """Returns the mean negative log-probability of the right candidates, calibrated, in nats."""
    calibration = fit_calibration(items)
    scores = [calibration.apply(item.scores, item.readings)[item.correct] for item in items]
    return float(-np.mean([np.logaddexp.reduce(each) for each in scores]))


def read_targets(
    context: ExperimentContext, samples: Sequence[Sample]
) -> dict[Sample, TargetActivations]:
    """Reads the activations of samples' prompts, as they are asked, where the SAE reads."""
    import torch

    model, sae = context.model, context.sae
    tokenizer = model_tokenizer(model)
    special = set(tokenizer.all_special_ids)
    rendered = [render(tokenizer, sample.prompt) for sample in samples]
    targets = {}
    lengths = [len(prompt.token_ids) for prompt in rendered]
    for batch in batches_by_length(lengths, max_tokens=TOKENS_PER_BATCH):
        tokens = right_padded([rendered[i].token_ids for i in batch])
        for i, row in zip(batch, read_hook(model, tokens, input_hook(sae))):
            inputs = sae_view(sae, row[: lengths[i]], sae.cfg.d_in).float()
            kept = ordinary_tokens(torch.tensor(rendered[i].token_ids), inputs, sae, special)
            kept &= torch.tensor(_in_target(rendered[i]))
            targets[samples[i]] = TargetActivations(inputs, _width(context, row), kept)
    return targets


def _in_target(prompt: RenderedPrompt) -> list[bool]:
    """Returns which tokens of a prompt are those of its target, or else of its text."""
    tokens = prompt.tokens_in(prompt.regions.get("target", prompt.regions["text"]))
    chosen = set(tokens)
    return [place in chosen for place in range(len(prompt.token_ids))]


def _width(context: ExperimentContext, row: "torch.Tensor") -> int:
    """Returns the width of the activation that the SAE writes to."""
    sae: Any = context.sae
    same = input_hook(sae) == output_hook(sae)
    return row.shape[-1] if same else sae.W_dec.shape[1]
