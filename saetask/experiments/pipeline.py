"""Fitting on the fit split: the model's bias, the detector, and the wording of annotations."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from saetask.annotation.base import Annotator
from saetask.data.samples import Sample
from saetask.detection.base import Detector, Finding
from saetask.detection.calibration import Calibration, calibration_or, fit_calibration
from saetask.errors import UserError
from saetask.experiments.context import ExperimentContext, Material, make_reading, scored_item
from saetask.experiments.note_selection import Trials, choose_wording

if TYPE_CHECKING:
    pass


class Fitted(NamedTuple):
    """What was learnt on a fit split."""

    original: Calibration
    """Of the unannotated prompts' answers."""
    annotated: Calibration
    """Of the answers to prompts with the right reading in the chosen wording."""
    detector: Detector
    findings: dict[int, Finding]
    """In the fit split's prompts, each judged with its group held out."""
    learnt_from: list[int]
    """The fit split's prompts whose right reading is known, then the borrowed ones."""
    annotator: Annotator
    wording: int
    selection: dict[str, Any]
    """What was chosen, and how the alternatives scored."""


def fit(
    context: ExperimentContext,
    samples: Sequence[Sample],
    chosen: Sequence[int],
    material: Material,
    trials: Trials,
    auxiliary: Sequence[int] = (),
) -> Fitted:
    """Fits on the chosen questions, which were asked and read before.

    A detector that borrows learns from the borrowed ones, too, which were only read.

    Raises:
        UserError: The detector can not be fitted on them, or its findings lack probabilities.
    """
    asker = context.asker
    original = fit_calibration([scored_item(asker, samples[i], samples[i].prompt) for i in chosen])
    known = [i for i in chosen if samples[i].gold_reading is not None]
    detector = context.make_detector()
    learnt_from = [*known, *(auxiliary if getattr(detector, "uses_auxiliary", False) else ())]
    readings = [make_reading(context, samples, i, material, original) for i in learnt_from]
    golds = [samples[i].gold_reading or "" for i in learnt_from]
    findings = detector.fit(readings, golds, [samples[i].item.group for i in learnt_from])
    if not all(finding.probabilities for finding in findings):
        raise UserError(
            f"Detector '{detector.name}' returns findings without probabilities of the readings, "
            "which several arms are made from; fill in `probabilities` of each saetask.Finding."
        )
    style, losses = choose_wording(trials, set(chosen))
    annotator, wording = trials.styles[style]
    annotated = calibration_or(trials.of(style, set(chosen)), original)
    selection = {
        "n_fit": len(known),
        "n_borrowed": len(learnt_from) - len(known),
        "annotator": annotator.name,
        "wording": wording,
        "wordings": losses,
        "detector": detector.summary(),
    }
    own = dict(zip(known, findings))
    return Fitted(original, annotated, detector, own, learnt_from, annotator, wording, selection)


def fit_loss(fitted: Fitted, samples: Sequence[Sample]) -> float:
    """Returns the mean negative log-probability of the right reading, groups held out, in nats."""
    chances = [
        finding.probabilities.get(samples[i].gold_reading or "", 0.0)
        for i, finding in fitted.findings.items()
    ]
    return float(-np.log(np.maximum(chances, 1e-9)).mean())
