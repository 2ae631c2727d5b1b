"""What it costs a probe to count less on words that the names of its features do not describe.

    python -m benchmarks.described_words TASK [--data ITEMS.jsonl] [--limit N] [--draws 2]
        [--fit-data ITEMS.jsonl] [--fit-limit 800]

`failure-probe` reads a task's prompts, without the model's answers, and is fitted and tried on five
folds that share no group, or fitted on other items. The control exchanges the names of concepts
that tell of single words, so that the same features count less on other words. Prints JSON: for
each factor accuracy, the area under the ROC curve (each reading against the rest, mean), the loss
in nats, the share of the evidence that findings list, and the share of what listed concepts add on
single words that lies on words of their name.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.command_line import items_parser
from saetask import load_model, load_sae, read_features
from saetask.data.folds import stratified_splits
from saetask.data.samples import Sample, draw, make_samples
from saetask.detection import DetectorInput, Misunderstanding, ProbeConfig
from saetask.dictionary.feature_labels import find_feature_labels
from saetask.errors import one_line_errors
from saetask.experiments.described_words import measure_described
from saetask.experiments.known_concepts import find_known_concepts
from saetask.plugins import PluginRegistry
from saetask.saes.concepts import Concept
from saetask.saes.described_words import tells_of_words
from saetask_plugins.detectors.failure_probe import FailureProbe

SCALES = (1.0, 0.5, 0.25, 0.0)
FOLDS = 5


def exchanged(concepts: Sequence[Concept], generator: np.random.Generator) -> list[Concept]:
    """Returns the concepts, the names of those that tell of single words exchanged."""
    ids = [concept.id for concept in concepts if tells_of_words(concept.id)]
    others = iter(generator.permutation(ids).tolist())
    return [c._replace(id=next(others)) if tells_of_words(c.id) else c for c in concepts]


def figures(
    inputs: list[DetectorInput], samples: list[Sample], n_fit: int, scale: float
) -> dict[str, float]:
    """Returns how well probes tell the readings on held-out groups, and what their evidence is.

    Args:
        inputs: The prompts.
        samples: Their samples, in the same order.
        n_fit: Number of prompts, the first ones, that are fitted on alone; 0 tries all, in folds.
        scale: Factor on activations on words that a name does not describe.
    """
    from sklearn.metrics import roc_auc_score

    golds = [sample.gold_reading or "" for sample in samples]
    groups = [sample.group for sample in samples]
    readings, labels = np.unique(golds, return_inverse=True)
    likely, found = np.zeros((len(golds), len(readings))), list[Misunderstanding]()
    apart = [(np.arange(n_fit), np.arange(n_fit, len(golds)))]
    for fit, test in apart if n_fit else stratified_splits(golds, groups, FOLDS, 0):
        probe = FailureProbe(ProbeConfig(undescribed_scale=scale))
        probe.fit(*([values[i] for i in fit] for values in (inputs, golds, groups)))
        for i in test:
            probabilities = probe.detect(inputs[i]).probabilities
            likely[i] = [probabilities[reading] for reading in readings]
            found.append(probe.explain(inputs[i], str(readings[likely[i].argmax()])))
    likely, labels = likely[n_fit:], labels[n_fit:]
    areas = [roc_auc_score(labels == k, column) for k, column in enumerate(likely.T)]
    listed = sum(abs(c.contribution) for each in found for c in each.concepts)
    rest = sum(abs(each.rest or 0.0) for each in found)
    described = measure_described(found, 0)
    return {
        "accuracy": float((likely.argmax(1) == labels).mean()),
        "auroc": float(np.mean(areas)),
        "loss": float(-np.log(likely[np.arange(len(labels)), labels]).mean()),
        "listed_share": listed / (listed + rest),
        "described_share": described.effect or 0.0 if described else 0.0,
    }


@one_line_errors("described_words")
def main(given: Sequence[str] | None = None) -> int:
    """Prints the figures and returns the exit code."""
    parser = items_parser("python -m benchmarks.described_words", __doc__)
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--fit-data", type=Path)
    parser.add_argument("--fit-limit", type=int, default=800)
    options = parser.parse_args(given)
    task, model, sae = PluginRegistry().get("task", options.task), load_model(), load_sae()
    samples, n_fit = _samples(task, options.data, options.limit), 0
    if options.fit_data:
        fit = _samples(task, options.fit_data, options.fit_limit)
        samples, n_fit = [*fit, *samples], len(fit)
    labels = find_feature_labels(model, sae)
    concepts = find_known_concepts(labels, task=options.task).concepts
    features = read_features(model, sae, [sample.prompt for sample in samples])
    unasked = dict.fromkeys(task.readings, 0.0)
    inputs = [
        DetectorInput(features[i], prompt.content, prompt.spans, unasked)
        for i, prompt in enumerate(sample.prompt for sample in samples)
    ]
    generator = np.random.default_rng(0)
    named = {
        "names": [concepts],
        "exchanged": [exchanged(concepts, generator) for _ in range(options.draws)],
    }
    rows = []
    for scale in SCALES:
        row: dict[str, Any] = {"scale": scale}
        for kind, choices in named.items():
            found = [
                figures(
                    [replace(i, concepts=c, computed={}) for i in inputs], samples, n_fit, scale
                )
                for c in choices
            ]
            row[kind] = {key: float(np.mean([f[key] for f in found])) for key in found[0]}
        rows.append(row)
    print(json.dumps({"task": options.task, "n": len(samples) - n_fit, "rows": rows}))
    return 0


def _samples(task: Any, data: Path | None, limit: int | None) -> list[Sample]:
    samples = [s for s in make_samples(task, task.items(data)) if s.gold_reading]
    return draw(samples, limit or len(samples), np.random.default_rng(0))


if __name__ == "__main__":
    sys.exit(main())
