"""What it costs a probe to rest on few concepts, and whether it is the names that do it.

    python -m benchmarks.named_preference TASK [--data ITEMS.jsonl] [--limit N] [--sae S] \
        [--dictionary DIR] [--draws 3]

Probes read log(1 + activation) of all features in all regions of a task's prompts, as
`failure-probe` does, and rest on the features of few concepts: those of all others are scaled down
by a factor. The control does the same with groups of random live features, as many and as large as
the concepts. Prints JSON: for each factor, on groups of items that are held out, accuracy, the area
under the ROC curve (each reading against the rest, mean), the loss in nats, and the share of the
evidence that findings would list.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from benchmarks.command_line import items_parser
from benchmarks.probe_inputs import labelled_prompts, read_inputs
from saetask.detection import meaning_owners
from saetask.dictionary.feature_labels import find_feature_labels
from saetask.errors import one_line_errors
from saetask.experiments.known_concepts import find_known_concepts
from saetask.models.loading import load_model, model_tokenizer
from saetask.saes.loading import DEFAULT_SAE, load_sae
from saetask_plugins.detectors.probe_choice import ProbeData, ProbeSetting, best_trial, try_setting

SCALES = (1.0, 0.5, 0.25, 0.125)
STRENGTHS = (0.003, 0.03)
"""Inverse strengths C of the L2 penalty, of which the best of each row is reported."""


def figures(data: ProbeData, scale: float) -> dict[str, float]:
    """Returns how well probes tell the readings, and how much of the evidence they list.

    Args:
        data: The prompts, and which column is of which concept.
        scale: Factor on the columns of other features.
    """
    from sklearn.metrics import roc_auc_score

    settings = [ProbeSetting((), ("l2", strength), scale) for strength in STRENGTHS]
    best = best_trial([try_setting(data, setting) for setting in settings])
    areas = [roc_auc_score(data.labels == k, column) for k, column in enumerate(best.log_odds.T)]
    return {
        "accuracy": float((best.log_odds.argmax(1) == data.labels).mean()),
        "auroc": float(np.mean(areas)),
        "loss": best.loss,
        "listed_share": best.listed_share,
    }


def random_owners(
    owners: np.ndarray, live: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """Returns groups of random live features, as many and with as many live features, `[d_sae]`.

    Args:
        owners: The concept of each feature; -1 for none, `[d_sae]`.
        live: Indices of the live features.
        generator: Source of randomness.
    """
    moved = np.full_like(owners, -1)
    moved[generator.permutation(live)] = owners[live]
    return moved


@one_line_errors("named_preference")
def main(given: Sequence[str] | None = None) -> int:
    """Prints the figures and returns the exit code."""
    parser = items_parser("python -m benchmarks.named_preference", __doc__)
    parser.add_argument("--sae", default=DEFAULT_SAE)
    parser.add_argument("--dictionary", type=Path)
    parser.add_argument("--draws", type=int, default=3)
    options = parser.parse_args(given)
    model, sae = load_model(), load_sae(options.sae)
    labels = find_feature_labels(model, sae, options.dictionary, False)
    concepts = find_known_concepts(labels, task=options.task).concepts
    prompts = labelled_prompts(options.task, model_tokenizer(model), options.data, options.limit)
    design = csr_matrix(read_inputs(model, prompts, [], {"features": sae})["features"])
    readings = np.unique(prompts.readings, return_inverse=True)[1]
    own = meaning_owners(concepts, sae.cfg.d_sae)
    fires = np.diff(design.tocsc().indptr).reshape(len(prompts.regions), -1).sum(0)
    generator, live = np.random.default_rng(0), np.flatnonzero(fires)
    drawn = [random_owners(own, live, generator) for _ in range(options.draws)]

    def data(owners: np.ndarray) -> ProbeData:
        wide, every = np.tile(owners, len(prompts.regions)), np.arange(len(readings))
        return ProbeData(design, readings, prompts.groups, every, wide)

    rows = []
    for scale in SCALES:
        row: dict[str, Any] = {"scale": scale}
        for name, choices in (("concepts", [own]), ("random_groups", drawn)):
            found = [figures(data(owners), scale) for owners in choices]
            row[name] = {key: float(np.mean([f[key] for f in found])) for key in found[0]}
        rows.append(row)
    print(json.dumps({"task": options.task, "n": len(readings), "rows": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
