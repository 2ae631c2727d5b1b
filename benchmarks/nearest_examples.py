"""Do the examples that a finding shows tell what it says, and would others tell it as well?

    python -m benchmarks.nearest_examples TASK [--data ITEMS.jsonl] [--limit N] [--sae S]

For each prompt of a task's items, in five folds that share no group, the five nearest prompts of
the other folds are taken. `evidence` is how findings choose them: by the features that fire,
counted by what a probe on the other folds weighs them. Beside it the same with random dictionaries
and their own probes, and with the residual stream and its own probe; all three without a probe's
weights; the words (TF-IDF of words and pairs); and prompts drawn by chance. Prints JSON: the share
of the nearest that have the prompt's right reading, how far it lies behind that of the evidence
(interval by a bootstrap of groups), the share that have the reading which the probe gives to the
prompt, and how often that one is right.
"""

import json
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csr_matrix

from benchmarks.command_line import items_parser
from benchmarks.probe_inputs import labelled_prompts, read_inputs
from saetask.data.corpus import TokenRow
from saetask.data.folds import stratified_splits
from saetask.detection import known_prompts, telling_parts
from saetask.detection.known_prompts import MOST_COLUMNS
from saetask.errors import one_line_errors
from saetask.models.loading import load_model, model_tokenizer
from saetask.saes.encoding import input_hook
from saetask.saes.loading import DEFAULT_SAE, load_sae
from saetask.saes.random_sae import CALIBRATION_ROWS, random_sae
from saetask.utils.statistics import mean_interval
from saetask_plugins.detectors.logistic_probe import column_means, fit_logistic

N_FOLDS = 5
N_DRAWS = 3
"""Number of random dictionaries, of which the mean is reported."""
PENALTY = ("l2", 0.03)


class Split(NamedTuple):
    """Prompts among which the nearest are sought, and those for which they are."""

    fit: np.ndarray
    test: np.ndarray


class Shares(NamedTuple):
    """What the nearest prompts of each prompt are."""

    right: np.ndarray
    """Share with the prompt's right reading, `[n]`."""
    as_said: np.ndarray
    """Share with the reading that the probe gives to the prompt, `[n]`."""
    said_right: np.ndarray
    """Whether that is right, `[n]`."""


def nearest_classes(
    design: Any, texts: list[str], labels: np.ndarray, split: Split, weighted: bool
) -> tuple[list[np.ndarray], np.ndarray]:
    """Returns the classes of the nearest prompts of each, and the class that a probe gives it.

    Args:
        design: Inputs of the probe, `[n, column]`, a CSR matrix.
        texts: The prompts' texts.
        labels: Their classes.
        split: Which of them are known.
        weighted: Whether columns count by the probe's weights.
    """
    fit, test = design[split.fit], design[split.test]
    probe, usual = fit_logistic(fit, labels[split.fit], PENALTY), column_means(fit)
    # Two classes at the same distance from their mean in every column: all columns count alike.
    weights = probe.weights if weighted else np.outer([1.0, -1.0], np.ones(design.shape[1]))
    # Neurons are all kept: they are never silent.
    most = MOST_COLUMNS if design.shape[1] > fit.nnz / len(split.fit) else design.shape[1]
    known_texts = [texts[i] for i in split.fit]
    telling = telling_parts(fit, usual, weights)
    known = known_prompts(known_texts, telling, labels[split.fit], most)
    names = [str(number) for number in range(labels.max() + 1)]
    parts = telling_parts(test, usual, weights)
    found = [
        np.array([int(near.reading) for near in known.nearest(parts[[row]], texts[i], names)])
        for row, i in enumerate(split.test)
    ]
    return found, probe.log_odds(test).argmax(1)


def shares(
    design: Any, texts: list[str], labels: np.ndarray, splits: Sequence[Split], weighted: bool
) -> Shares:
    """Returns what the nearest prompts of each prompt are; see `nearest_classes`."""
    made = Shares(*(np.zeros(len(labels)) for _ in Shares._fields))
    for split in splits:
        nearest, said = nearest_classes(design, texts, labels, split, weighted)
        for i, classes, reading in zip(split.test, nearest, said):
            # A prompt that is like no other one has no example that is right.
            made.right[i] = (classes == labels[i]).mean() if len(classes) else 0.0
            made.as_said[i] = (classes == reading).mean() if len(classes) else 0.0
            made.said_right[i] = reading == labels[i]
    return made


def by_chance(labels: np.ndarray, evidence: Shares, splits: Sequence[Split]) -> Shares:
    """Returns what prompts drawn by chance would be, beside what the probe on features says."""
    right = np.zeros(len(labels))
    for split in splits:
        right[split.test] = [(labels[split.fit] == labels[i]).mean() for i in split.test]
    return evidence._replace(right=right, as_said=np.full(len(labels), np.nan))


def means(of: Shares) -> dict[str, float]:
    """Returns the means over the prompts; what is not known is left out."""
    found = {name: float(values.mean()) for name, values in of._asdict().items()}
    return {name: value for name, value in found.items() if not np.isnan(value)}


@one_line_errors("nearest_examples")
def main(given: Sequence[str] | None = None) -> int:
    """Prints the figures and returns the exit code."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    parser = items_parser("python -m benchmarks.nearest_examples", __doc__)
    parser.add_argument("--sae", default=DEFAULT_SAE)
    options = parser.parse_args(given)
    model, sae = load_model(), load_sae(options.sae)
    prompts = labelled_prompts(options.task, model_tokenizer(model), options.data, options.limit)
    prompts = prompts._replace(regions=["text"])
    rows = [TokenRow("", "", prompt.token_ids) for prompt in prompts.prompts[:CALIBRATION_ROWS]]
    random = {f"random {seed}": random_sae(model, sae, rows, seed) for seed in range(N_DRAWS)}
    hook = input_hook(sae)
    inputs: dict[str, Any] = read_inputs(model, prompts, [hook], {"features": sae, **random})
    texts = [
        each.text[each.regions["text"].start : each.regions["text"].end] for each in prompts.prompts
    ]
    inputs["words"] = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True).fit_transform(texts)
    labels = np.unique(prompts.readings, return_inverse=True)[1]
    splits = [Split(*each) for each in stratified_splits(list(labels), prompts.groups, N_FOLDS, 0)]

    def measured(sources: Sequence[str], weighted: bool) -> Shares:
        found = [shares(csr_matrix(inputs[s]), texts, labels, splits, weighted) for s in sources]
        return Shares(*(np.mean(values, axis=0) for values in zip(*found)))

    evidence = measured(["features"], True)
    controls = {
        "random dictionary": measured(list(random), True),
        "residual stream": measured([hook], True),
        "features, unweighted": measured(["features"], False),
        "random dictionary, unweighted": measured(list(random), False),
        "residual stream, unweighted": measured([hook], False),
        "words": measured(["words"], False),
        "drawn by chance": by_chance(labels, evidence, splits),
    }
    table = {"evidence": means(evidence)}
    for name, control in controls.items():
        difference = evidence.right - control.right
        low, high = mean_interval(difference, prompts.groups)
        table[name] = {
            **means(control),
            "behind": float(difference.mean()),
            "behind_ci95": [low, high],
        }
    print(json.dumps({"task": options.task, "n": len(labels), "rows": table}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
