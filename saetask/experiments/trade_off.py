"""How well a reading is told from few inputs: the price of an explanation that a person can hold.

Probes on k inputs are fitted on each fold's fit split, on concepts, features, neurons and features
of a random dictionary, and judged in its test items.
"""

from collections.abc import Sequence

import numpy as np

from saetask.detection.probe_features import (
    DEFAULT_PROBE,
    log_activations,
    raw_activations,
    usable_region_sets,
)
from saetask.detection.sparse_probes import Inputs, probe_decisions, ranks
from saetask.experiments.control_detectors import through_control
from saetask.experiments.fold import FoldState
from saetask.experiments.observation import Observation
from saetask.report.explanation import TradeOff
from saetask.saes.concepts import concept_activations
from saetask.utils.auroc import macro_auroc

KS = (1, 2, 4, 8, 16)


def measure_trade_off(states: Sequence[FoldState], seed: int) -> list[TradeOff]:
    """Returns the area under the ROC curve of probes on k inputs, by kind of input and k.

    Scores are ranks within their fold. Items without a right reading are left out, and so is a kind
    of input that the run does not have, such as a random dictionary.

    Args:
        states: The fitted folds.
        seed: Seed of the intervals' resamples.
    """
    judged = [[s for s in state.fold.test if s.gold_reading is not None] for state in states]
    labels = [sample.gold_reading or "" for samples in judged for sample in samples]
    groups = [sample.group for samples in judged for sample in samples]
    measured = []
    for name in _kinds(states):
        scores: dict[int, dict[str, list[float]]] = {k: {r: [] for r in set(labels)} for k in KS}
        for state, samples in zip(states, judged):
            fit, test = (
                _inputs(state, name, observations)
                for observations in (
                    state.pipeline.trained_on,
                    [state.observations[sample] for sample in samples],
                )
            )
            fitted_on = np.array([o.sample.gold_reading for o in state.pipeline.trained_on])
            for reading in set(labels):
                decisions = probe_decisions(fit, fitted_on == reading, test, KS)
                for k, decided in zip(KS, decisions):
                    scores[k][reading] += ranks(decided).tolist()
        for k, own in scores.items():
            by_reading = {reading: np.array(values) for reading, values in own.items()}
            if area := macro_auroc(labels, by_reading, groups, seed):
                measured.append(TradeOff(inputs=name, k=k, auroc=area.value, ci95=area.ci95))
    return measured


def _kinds(states: Sequence[FoldState]) -> list[str]:
    """Returns the kinds of input that every fold has."""
    first = [state.pipeline.trained_on[0] for state in states]
    has = {
        "concepts": all(observation.concepts for observation in first),
        "named-features": all(observation.named_features for observation in first),
        "features": True,
        "neurons": all(observation.residual_means for observation in first),
        "random-sae": all(observation.control_features for observation in first),
    }
    return [name for name, here in has.items() if here]


def _inputs(state: FoldState, name: str, observations: Sequence[Observation]) -> Inputs:
    """Returns the inputs of one kind, those of every region side by side, `[item, input]`."""
    from scipy.sparse import csr_matrix, hstack

    if name == "random-sae":
        observations = [through_control(each, 0) for each in observations]
    inputs = [state.pipeline.input(observation) for observation in observations]
    known = inputs[0].activations.prompts[0].regions
    sets = usable_region_sets(DEFAULT_PROBE.region_sets, known)
    regions = dict.fromkeys(region for regions in sets for region in regions)
    if name == "neurons":
        return np.hstack([raw_activations(inputs, region) for region in regions])
    by_feature = [log_activations(inputs, region) for region in regions]
    if name in ("concepts", "named-features"):
        concepts = inputs[0].concepts if name == "concepts" else inputs[0].named_features
        return np.hstack([concept_activations(each, concepts) for each in by_feature])
    return csr_matrix(hstack(by_feature))
