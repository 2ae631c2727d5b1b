"""What striking concepts by name wins back where the items to fit on hold a spurious cue.

    python -m benchmarks.planted_cues TASK FIELD [ITEMS.jsonl] [--limit N] [--out FILE.json]

A sentence is added to the text in an item's FIELD. In the half to fit on, which of two kinds it is
goes with the right reading in 19 of 20 items; in the half to test on it goes with nothing, and its
words are others. Cues: nouns of two classes, a person's name or none, and length. Each half is
fitted on once. Probes of the reading, on the text and on the parts of it that the task names:

- `concepts`: 16 of the validated groups of features, contrasts and form of words among them, chosen
  and weighted as `concept-probe` does;
- `concepts, struck`: the same without the concepts whose names say the cue. Only names are looked
  at: those in `CUES`, written down before anything was tested;
- `concepts, random struck`: as many random ones of the 16 struck, mean of 20 draws;
- `features`: an L2 probe on all features; `features, struck`: without those that `--without` hides
  for such names, features of their own names among them; `features, random struck`: without as many
  random ones that fire, mean of 20 draws;
- `dense`: an L2 probe on mean activations; `dense, projected`: with the direction of the cue's
  difference in means taken out; `dense, erased`: with all that a linear probe could tell of the
  cue taken out (LEACE, Belrose et al. 2023, arXiv 2306.03819). Both are told which item has which
  cue, which striking is not;
- `concepts, words deleted` and `dense, words deleted`: the cue's words deleted from the half to fit
  on.

`clean` fits on items in which the cue goes with nothing. Prints JSON: accuracy and AUROC by cue.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.sparse import csr_matrix

from benchmarks.cues import CUES, Cue
from benchmarks.probe_inputs import LabelledPrompts, read_inputs
from saetask import load_model, load_sae
from saetask.data.rendering import render
from saetask.data.samples import draw, make_samples
from saetask.data.tasks import Item
from saetask.dictionary.feature_labels import find_feature_labels
from saetask.errors import UserError, one_line_errors
from saetask.models.loading import model_tokenizer
from saetask.plugins import PluginRegistry
from saetask.saes.concepts import Concept, concept_activations
from saetask.saes.encoding import input_hook
from saetask.utils.files import write_json
from saetask_plugins.detectors.concept_selection import fit_weights, order_of_entry

if TYPE_CHECKING:
    from saetask.models.loading import Model

AGREES = 0.95
N_DRAWS = 20
CONCEPT_C, FEATURE_C, DENSE_C = 1.0, 0.01, 0.01
"""Inverse strengths of the L2 penalties."""


class Inputs(NamedTuple):
    """What probes read of prompts."""

    concepts: np.ndarray
    """`[n, region, concept]`."""
    features: csr_matrix
    """`[n, region * d_sae]`."""
    dense: np.ndarray
    """`[n, region * d_in]`."""


class Half(NamedTuple):
    """One half to fit on: its inputs with the cue, without the cue's words, and clean ones."""

    cued: Inputs
    deleted: Inputs
    clean: Inputs
    labels: np.ndarray
    cue: np.ndarray
    clean_cue: np.ndarray


@one_line_errors("planted_cues")
def main(given: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planted_cues", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("task")
    parser.add_argument("field")
    parser.add_argument("items", nargs="?", type=Path)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(given)
    found = Study(options.task, options.field, options.items, options.limit).run()
    if options.out:
        write_json(options.out, found)
    print(json.dumps(found, indent=2))
    return 0


class Study:
    """Items, and what reads them."""

    def __init__(self, task: str, field: str, items: Path | None, limit: int | None) -> None:
        self.task, self.field = PluginRegistry().get("task", task), field
        samples = [s for s in make_samples(self.task, self.task.items(items)) if s.gold_reading]
        samples = draw(samples, limit or len(samples), np.random.default_rng(0))
        self.items = [sample.item for sample in samples]
        readings = sorted({sample.gold_reading or "" for sample in samples})
        if len(readings) != 2:
            raise UserError(f"The items have {len(readings)} readings; the study needs two.")
        self.labels = np.array([readings.index(s.gold_reading or "") for s in samples])
        self.model: Model = load_model()
        self.sae = load_sae()
        labels = find_feature_labels(self.model, self.sae)
        assert labels.dictionary is not None
        every = labels.dictionary.concepts()
        self.concepts = [concept for concept in every if concept.verdict == "validated"]
        self.named = [*every, *labels.dictionary.named_features()]
        groups = np.array([sample.group for sample in samples])
        order = np.random.default_rng(0).permutation(np.unique(groups))
        self.half = np.isin(groups, order[: len(order) // 2]).astype(int)

    def run(self) -> dict[str, Any]:
        """Returns the figures of every cue."""
        return {
            "task": self.task.name,
            "n": len(self.items),
            "cues": {name: self._of_cue(cue) for name, cue in CUES.items()},
        }

    def _of_cue(self, cue: Cue) -> dict[str, Any]:
        generator = np.random.default_rng(1)
        agrees = generator.random(len(self.items)) < AGREES
        planted = np.where(agrees, self.labels, 1 - self.labels)
        free = generator.integers(0, 2, len(self.items))
        struck = [c for c in self.named if any(part in c.name for part in cue.struck)]
        fitted = [self._read(cue, kinds, 0) for kinds in (planted, free)]
        deleted = self._read(cue, planted, None)
        tested = self._read(cue, free, 1)
        scores: dict[str, np.ndarray] = {}
        for side in (0, 1):
            fit, test = np.flatnonzero(self.half == side), np.flatnonzero(self.half != side)
            half = Half(
                _rows(fitted[0], fit),
                _rows(deleted, fit),
                _rows(fitted[1], fit),
                self.labels[fit],
                planted[fit],
                free[fit],
            )
            for name, values in self._scores(half, _rows(tested, test), struck).items():
                scores.setdefault(name, np.zeros((values.shape[0], len(self.items))))
                scores[name][:, test] = values
        figures = {name: _figures(values, self.labels) for name, values in scores.items()}
        n_features = len({feature for concept in struck for feature in concept.features})
        groups = [concept.text for concept in struck if concept in self.concepts]
        return {"struck": groups, "features_struck": n_features, "probes": figures}

    def _scores(self, half: Half, test: Inputs, struck: list[Concept]) -> dict[str, np.ndarray]:
        """Returns the log-odds of the second reading by probe, `[draw, n_test]`."""
        names = [concept.id for concept in self.concepts]
        columns = {names.index(concept.id) for concept in struck if concept.id in names}
        kept = [i for i in range(len(names)) if i not in columns]
        d_sae = self.sae.cfg.d_sae
        hidden = np.unique([f for concept in struck for f in concept.features])
        live = np.unique(half.cued.features.indices % d_sae)
        n_live = np.isin(live, hidden).sum()
        chosen = order_of_entry(half.cued.concepts, half.labels)
        n_struck = len(columns & set(chosen.tolist()))
        generator = np.random.default_rng(2)
        draws = [
            np.setdiff1d(np.arange(len(names)), generator.choice(chosen, n_struck, replace=False))
            for _ in range(N_DRAWS)
        ]
        random_struck = [generator.choice(live, n_live, replace=False) for _ in range(N_DRAWS)]
        every = list(range(len(names)))

        def on_concepts(fit: Inputs, use: Sequence[int]) -> np.ndarray:
            return _concept_scores(fit.concepts[:, :, use], half.labels, test.concepts[:, :, use])

        def on_features(fit: Inputs, struck: np.ndarray) -> np.ndarray:
            use = np.setdiff1d(np.arange(d_sae), struck)
            columns = np.concatenate([use + k * d_sae for k in range(len(self._parts))])
            return _linear_scores(
                fit.features[:, columns], half.labels, test.features[:, columns], FEATURE_C
            )

        def on_dense(fit: np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
            return _linear_scores(change(fit), half.labels, change(test.dense), DENSE_C)

        dense, nothing = half.cued.dense, np.array([], int)
        found = {
            "concepts, clean": on_concepts(half.clean, every),
            "concepts": on_concepts(half.cued, every),
            "concepts, struck": on_concepts(half.cued, kept),
            "concepts, words deleted": on_concepts(half.deleted, every),
            "features, clean": on_features(half.clean, nothing),
            "features": on_features(half.cued, nothing),
            "features, struck": on_features(half.cued, hidden),
            "dense, clean": on_dense(half.clean.dense, lambda x: x),
            "dense": on_dense(dense, lambda x: x),
            "dense, projected": on_dense(dense, _without_direction(dense, half.cue)),
            "dense, erased": on_dense(dense, _erased(dense, half.cue)),
            "dense, words deleted": on_dense(half.deleted.dense, lambda x: x),
        }
        drawn = {
            "concepts, random struck": [on_concepts(half.cued, use.tolist()) for use in draws],
            "features, random struck": [on_features(half.cued, struck) for struck in random_struck],
        }
        single = {name: values[None] for name, values in found.items()}
        return {**single, **{name: np.array(values) for name, values in drawn.items()}}

    def _read(self, cue: Cue, kinds: np.ndarray, words: int | None) -> Inputs:
        """Reads the items with a cue of the given kinds; None deletes its words."""
        generator = np.random.default_rng(3)
        items = []
        for item, kind in zip(self.items, kinds.tolist()):
            word = generator.choice(cue.words[kind][words or 0])
            added = cue.templates[kind].format("" if words is None else word)
            text = f"{item.question[self.field]}{added}"
            items.append(replace(item, question={**item.question, self.field: text}))
        return self._inputs(items)

    def _inputs(self, items: list[Item]) -> Inputs:
        samples = make_samples(self.task, items)
        tokenizer, hook = model_tokenizer(self.model), input_hook(self.sae)
        self._parts = sorted(samples[0].prompt.spans)
        rendered = [render(tokenizer, sample.prompt) for sample in samples]
        prompts = LabelledPrompts(rendered, self._parts, [], [])
        read = read_inputs(self.model, prompts, [hook], {"sae": self.sae})
        d_sae = self.sae.cfg.d_sae
        by_part = [
            concept_activations(read["sae"][:, k * d_sae : (k + 1) * d_sae], self.concepts)
            for k in range(len(self._parts))
        ]
        return Inputs(np.stack(by_part, axis=1), read["sae"], read[hook])


def _rows(inputs: Inputs, rows: np.ndarray) -> Inputs:
    return Inputs(inputs.concepts[rows], inputs.features[rows], inputs.dense[rows])


def _concept_scores(fit: np.ndarray, labels: np.ndarray, test: np.ndarray) -> np.ndarray:
    chosen = order_of_entry(fit, labels)
    return fit_weights(fit[:, :, chosen], labels, CONCEPT_C).log_odds(test[:, :, chosen])[:, 1]


def _linear_scores(fit: Any, labels: np.ndarray, test: Any, strength: float) -> np.ndarray:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler(with_mean=isinstance(fit, np.ndarray))
    probe: Any = make_pipeline(scaler, LogisticRegression(C=strength, max_iter=300))
    return probe.fit(fit, labels).decision_function(test)


def _without_direction(fit: np.ndarray, cue: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a projection that takes out the direction of the cue's difference in means."""
    direction = fit[cue == 1].mean(0) - fit[cue == 0].mean(0)
    direction /= np.linalg.norm(direction)
    return lambda inputs: inputs - np.outer(inputs @ direction, direction)


def _erased(fit: np.ndarray, cue: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Returns LEACE's projection for a binary cue; the covariance is that of Ledoit and Wolf."""
    from sklearn.covariance import ledoit_wolf

    mean, (covariance, _) = fit.mean(0), ledoit_wolf(fit)
    difference = fit[cue == 1].mean(0) - fit[cue == 0].mean(0)
    inverse = np.linalg.solve(covariance, difference)
    return lambda inputs: (
        inputs - np.outer((inputs - mean) @ inverse / (difference @ inverse), difference)
    )


def _figures(scores: np.ndarray, labels: np.ndarray) -> Mapping[str, float]:
    from sklearn.metrics import roc_auc_score

    areas = [roc_auc_score(labels, values) for values in scores]
    right = [((values > 0) == labels).mean() for values in scores]
    return {"accuracy": float(np.mean(right)), "auroc": float(np.mean(areas))}


if __name__ == "__main__":
    sys.exit(main())
