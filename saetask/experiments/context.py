"""Fitting on the fit split: the model's bias, the detector, and the wording of annotations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from saetask.annotation.base import Annotator
from saetask.compute.executor import Executor
from saetask.data.samples import Sample
from saetask.detection.base import Detector, DetectorInput, Misunderstanding
from saetask.detection.calibration import Calibration, ScoredItem
from saetask.dictionary.feature_labels import FeatureLabels
from saetask.inference.client import Ask, Asker
from saetask.saes.activations import FeatureActivations
from saetask.saes.extraction import ExtractedFeatures

if TYPE_CHECKING:
    from collections.abc import Callable

    from saetask.data.prompts import Prompt
    from saetask.data.tasks import Task
    from saetask.models.loading import Model
    from saetask.saes.loading import SAE


@dataclass(frozen=True)
class ExperimentContext:
    """What prompts are asked, read and annotated with."""

    task: "Task"
    model: "Model"
    sae: "SAE[Any]"
    make_detector: "Callable[[], Detector]"
    annotators: Sequence[Annotator]
    asker: Asker
    meanings: FeatureLabels
    engine: Executor | None = None
    """Where prompts are read; None reads them here."""


class Material(NamedTuple):
    """What was read of every question, in their order."""

    features: FeatureActivations
    raw: Sequence[Mapping[str, np.ndarray]]
    """Mean raw activations by region."""
    random: FeatureActivations | None = None
    """Read through a frozen random dictionary instead."""

    @classmethod
    def of(cls, read: ExtractedFeatures) -> "Material":
        """Takes what was read through the SAE, and through the random dictionary if it was."""
        features, *random = read.features
        return cls(features, read.raw, *random)


def as_ask(sample: Sample, prompt: "Prompt") -> Ask:
    """Returns what is asked of the model: a prompt with the question's candidates."""
    return Ask(prompt, sample.texts)


def scored_item(asker: Asker, sample: Sample, prompt: "Prompt") -> ScoredItem:
    """Returns the question's candidates as the model, already asked, scored them."""
    scores = asker.scores(as_ask(sample, prompt)) if sample.candidates else np.empty(0)
    return ScoredItem(scores, sample.readings, sample.correct)


def make_reading(
    context: ExperimentContext,
    samples: Sequence[Sample],
    i: int,
    material: Material,
    fitted: Calibration,
) -> DetectorInput:
    """Returns what a detector may see of a question that was read, and asked if not borrowed."""
    prompt, auxiliary = samples[i].prompt, samples[i].auxiliary
    scores = dict.fromkeys(context.task.readings, -np.inf)
    if not auxiliary:
        scored = scored_item(context.asker, samples[i], prompt)
        scores = reading_scores(scored, fitted, context.task.readings)
    features, raw = material.features[i], material.raw[i]
    return DetectorInput(features, prompt.content, prompt.spans, scores, raw, auxiliary)


def reading_scores(
    scored: ScoredItem, calibration: Calibration, readings: Sequence[str]
) -> dict[str, float]:
    """Returns the model's log-probability of each reading: its candidates' together."""
    found = dict.fromkeys(readings, -np.inf)
    if len(scored.scores):
        for reading, value in zip(
            scored.readings, calibration.apply(scored.scores, scored.readings)
        ):
            found[reading] = float(np.logaddexp(found[reading], value))
    return found


def features_of(found: Sequence[Misunderstanding]) -> list[int]:
    """Returns the features that findings name, ascending."""
    return sorted({evidence.id for misread in found for evidence in misread.features})


def labelled(
    found: Sequence[Misunderstanding], labels: Mapping[int, str]
) -> list[Misunderstanding]:
    """Returns findings with their features' labels filled in."""
    return [
        m._replace(features=[f._replace(label=labels.get(f.id, "")) for f in m.features])
        for m in found
    ]
