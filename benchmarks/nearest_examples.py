"""Do the examples that a finding shows tell what it says, and would others tell it as well?

    python -m benchmarks.nearest_examples TASK [--data ITEMS.jsonl] [--limit N] [--sae S]

For each prompt of a task's items, in five folds that share no group, the five nearest prompts of
the other folds are taken. `evidence` is how findings choose them: by the features that fire,
counted by what a probe on the other folds weighs them. Beside it the same with a random dictionary
and its own probe, and with the residual stream and its own probe; all three without a probe's
weights; the words (TF-IDF of words and pairs); and examples drawn by chance. Prints JSON: the share
of the nearest that have the prompt's right reading, the share that have the reading which the probe
gives to the prompt, and how often that one is right.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csr_matrix

from benchmarks.command_line import command_parser
from benchmarks.probe_inputs import labelled_prompts, random_controls, read_inputs
from saetask.data.folds import stratified_splits
from saetask.detection import known_prompts, telling_parts
from saetask.detection.known_prompts import MOST_COLUMNS
from saetask.errors import one_line_errors
from saetask.models.loading import load_model, model_tokenizer
from saetask.saes.encoding import input_hook
from saetask.saes.loading import DEFAULT_SAE, load_sae
from saetask_plugins.detectors.logistic_probe import column_means, fit_logistic

N_FOLDS = 5
PENALTY = ("l2", 0.03)


class Split(NamedTuple):
    """Prompts among which the nearest are sought, and those for which they are."""

    fit: np.ndarray
    test: np.ndarray


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


def drawn_classes(labels: np.ndarray, split: Split, seed: int = 0) -> list[np.ndarray]:
    """Returns the classes of prompts that are drawn by chance, five for each."""
    generator = np.random.default_rng(seed)
    return [generator.choice(labels[split.fit], 5, replace=False) for _ in split.test]


@one_line_errors("nearest_examples")
def main(given: Sequence[str] | None = None) -> int:
    """Prints the figures and returns the exit code."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    parser = command_parser("python -m benchmarks.nearest_examples", __doc__)
    parser.add_argument("task")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--sae", default=DEFAULT_SAE)
    options = parser.parse_args(given)
    model, sae = load_model(), load_sae(options.sae)
    prompts = labelled_prompts(options.task, model_tokenizer(model), options.data, options.limit)
    prompts = prompts._replace(regions=["text"])
    saes = {"features": sae, **random_controls(model, prompts, {"random": sae})}
    hook = input_hook(sae)
    inputs: dict[str, Any] = read_inputs(model, prompts, [hook], saes)
    texts = [
        each.text[each.regions["text"].start : each.regions["text"].end] for each in prompts.prompts
    ]
    inputs["words"] = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True).fit_transform(texts)
    labels = np.unique(prompts.readings, return_inverse=True)[1]
    rows: dict[str, dict[str, list[float]]] = {}

    def add(name: str, found: list[np.ndarray], said: np.ndarray, test: np.ndarray) -> None:
        row = rows.setdefault(name, {"right": [], "as_said": [], "said_right": []})
        for classes, reading, right in zip(found, said, labels[test]):
            if len(classes):
                row["right"].append(float((classes == right).mean()))
                row["as_said"].append(float((classes == reading).mean()))
            row["said_right"].append(float(reading == right))

    for rows_of in stratified_splits(list(labels), prompts.groups, N_FOLDS, seed=0):
        split = Split(*rows_of)
        for name, source, weighted in (
            ("evidence", "features", True),
            ("random dictionary", "random", True),
            ("residual stream", hook, True),
            ("features, unweighted", "features", False),
            ("random dictionary, unweighted", "random", False),
            ("residual stream, unweighted", hook, False),
            ("words", "words", False),
        ):
            design = csr_matrix(inputs[source])
            found, said = nearest_classes(design, texts, labels, split, weighted)
            add(name, found, said, split.test)
            if name == "evidence":
                add("drawn by chance", drawn_classes(labels, split), said, split.test)
    figures = {
        name: {key: float(np.mean(v)) for key, v in row.items()} for name, row in rows.items()
    }
    print(json.dumps({"task": options.task, "n": len(labels), "rows": figures}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
