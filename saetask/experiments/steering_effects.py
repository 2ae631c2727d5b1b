"""What steering does beside its purpose: to neutral text, and to items that it is not meant for."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from saetask.experiments.control_detectors import OWN
from saetask.experiments.detection_metrics import groups_of, raw_correct
from saetask.experiments.fold import FoldState
from saetask.experiments.observation import rank_request
from saetask.experiments.scoring import SampleResult
from saetask.experiments.steering import STEER, STEERING_ARMS, Along, Steering
from saetask.experiments.steering_arms import ALONG
from saetask.inference.ranking import likeliest
from saetask.models.hooks import log_probabilities_with_edit
from saetask.report.figures import PairedDifference
from saetask.report.steering import OtherItems, SteeredArm, SteeringFigures
from saetask.saes.encoding import decoded_change, output_hook, reads_bos, sae_view
from saetask.saes.feature_edits import FeatureEdit
from saetask.saes.metrics import read_reconstruction_inputs
from saetask.saes.probe_text import probe_rows
from saetask.utils.statistics import compare, holm

if TYPE_CHECKING:
    import torch

NEUTRAL_TEXTS = 4
"""Number of probe texts whose cross-entropy is measured."""


def measure_steering(
    states: Sequence[FoldState], results: Sequence[SampleResult], seed: int
) -> SteeringFigures | None:
    """Returns strengths, side effects and comparisons of the arms that steer; None without any.

    Args:
        states: The fitted folds.
        results: Of all arms.
        seed: Seed of resamples.
    """
    names = [name for name in STEERING_ARMS if any(row.arm == name for row in results)]
    steerings = [state.steering for state in states if state.steering is not None]
    if not names or not steerings:
        return None
    losses = [_neutral_losses(steering, names) for steering in steerings]
    return SteeringFigures(
        strengths=[steering.strength for steering in steerings],
        fit_losses=[
            {f"{strength:g}": loss for strength, loss in steering.losses.items()}
            for steering in steerings
        ],
        n_features=max((len(a) for s in steerings for a in s.amounts.values()), default=0),
        relative_norm=_relative_norm(results, states),
        cross_entropy=float(np.mean([each[""] for each in losses])),
        arms={
            name: SteeredArm(
                cross_entropy=float(np.mean([each[name] for each in losses])),
                others=_other_items(states, results, name),
            )
            for name in names
        },
        against=_against(results, [name for name in names if name != STEER], seed),
    )


def _relative_norm(results: Sequence[SampleResult], states: Sequence[FoldState]) -> float | None:
    """Returns the mean norm of what is added, relative to that of the activation at the target."""
    shares = []
    by_fold = {state.number: state for state in states}
    for row in results:
        if row.arm == STEER and row.written.addition is not None:
            means = by_fold[row.fold].observations[row.sample].residual_means
            norm = float(np.linalg.norm(means.get("target", means["text"])))
            shares.append(row.written.addition.mean_norm / norm if norm else 0.0)
    return float(np.mean(shares)) if shares else None


def _neutral_losses(steering: Steering, names: Sequence[str]) -> dict[str, float]:
    """Returns the mean next-token cross-entropy of neutral texts, by arm; "" without steering.

    Every token that the SAE was trained on is steered, towards each reading in turn.
    """
    import torch

    context = steering.context
    model, sae = context.model, context.sae
    rows = probe_rows(model, reads_bos(sae))[:NEUTRAL_TEXTS]
    inputs = [read_reconstruction_inputs(model, sae, row) for row in rows]
    losses = {"": -float(log_probabilities_with_edit(model, rows, output_hook(sae), None).mean())}
    for name in names:
        found = []
        for reading, amounts in steering.amounts.items():
            edit = FeatureEdit({f: steering.strength * a for f, a in amounts.items()})
            changes = torch.stack(
                [decoded_change(sae, row.inputs, row.kept, edit) for row in inputs]
            )
            changes = _along(steering, reading, ALONG[name], changes)
            edited = _adding(sae, changes)
            values = log_probabilities_with_edit(model, rows, output_hook(sae), edited)
            found.append(-float(values.mean()))
        losses[name] = float(np.mean(found)) if found else losses[""]
    return losses


def _along(
    steering: Steering, reading: str, along: Along, changes: "torch.Tensor"
) -> "torch.Tensor":
    """Returns changes as they are, or of the same norms along another direction."""
    if along == "features":
        return changes
    direction = steering.direction(reading, along, changes.shape[-1], place=0)
    return changes.norm(dim=-1, keepdim=True) * direction.to(changes)


def _adding(sae: Any, changes: "torch.Tensor") -> Any:
    """Returns an edit of rows of an activation that adds to each token, `[row, pos, d_out]`."""

    def edited(activation: "torch.Tensor") -> "torch.Tensor":
        changed = activation.clone()
        for row, change in zip(changed, changes):
            view = sae_view(sae, row.flatten(1), change.shape[-1])
            view += change.to(view)
        return changed

    return edited


def _other_items(
    states: Sequence[FoldState], results: Sequence[SampleResult], name: str
) -> OtherItems:
    """Returns what steering does to items in which nothing is found, by raw answers.

    They are steered towards the most probable reading, which their answer follows already.
    """
    original = {row.sample: row for row in results if row.arm == "original"}
    before, after = [], []
    for state in states:
        findings, client = state.findings(OWN), state.context.client
        readings = {
            sample: finding.leading
            for sample, finding in findings.items()
            if not finding.misunderstandings and sample.candidates
        }
        if state.steering is None or not readings:
            continue
        additions = state.steering.additions(readings, ALONG[name])
        requests = [rank_request(sample, None, a) for sample, a in additions.items()]
        for sample, response in zip(additions, client.rank(requests, f"other items: {name}")):
            before.append(_ranked_right(original[sample]))
            best = likeliest(response.scores, sample.texts, sample.id)
            after.append(bool(sample.correct[best]))
    changed = np.array(after, dtype=bool), np.array(before, dtype=bool)
    return OtherItems(
        n=len(after),
        fixed=int((changed[0] & ~changed[1]).sum()),
        broken=int((~changed[0] & changed[1]).sum()),
    )


def _ranked_right(row: SampleResult) -> bool:
    """Returns whether the likeliest candidate is right, also where the answer was generated."""
    texts = row.sample.texts
    scores = [row.raw_scores[text] for text in texts]
    return bool(row.sample.correct[likeliest(scores, texts, row.sample.id)])


def _against(
    results: Sequence[SampleResult], controls: Sequence[str], seed: int
) -> dict[str, PairedDifference]:
    """Returns the arm `steer` minus its controls, by raw answers."""
    by_arm = {name: [row for row in results if row.arm == name] for name in (STEER, *controls)}
    if not by_arm[STEER]:
        return {}
    groups = groups_of(by_arm[STEER])
    right = {name: raw_correct(rows) for name, rows in by_arm.items()}
    found = {name: compare(right[name], right[STEER], groups, seed) for name in controls}
    corrected = holm({name: comparison.mcnemar_p for name, comparison in found.items()})
    return {
        name: PairedDifference(**comparison._asdict(), holm_p=corrected[name])
        for name, comparison in found.items()
    }
