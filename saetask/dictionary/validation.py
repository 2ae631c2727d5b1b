"""Labels on trial: does what they claim hold in documents that they were not made from?"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from saetask.cache import write_json
from saetask.dictionary.build import CONTROL, OWN, load_samples
from saetask.dictionary.controls import random_sae
from saetask.dictionary.examples import FiringIndex, strong_floors
from saetask.dictionary.files import (
    FEATURES,
    MANIFEST,
    RULES,
    check_fingerprints,
    load_rules,
    read_manifest,
    read_parquet,
    write_parquet,
)
from saetask.dictionary.firings import Firings
from saetask.dictionary.geometry import by_direction
from saetask.dictionary.labelling import label_features
from saetask.dictionary.labels import Labeler
from saetask.dictionary.rules import Rule, Vocabulary, read_vocabulary
from saetask.dictionary.verdicts import Trial, judge, summarise

if TYPE_CHECKING:
    import pyarrow
    from sae_lens import SAE

    from saetask.corpus import Split
    from saetask.models import Model

TEST_FIRING = 400
"""Firing contexts that a label is tried on, at most."""

Samples = Mapping["Split", Firings]


def validate(model: "Model", sae: "SAE[Any]", labeler: Labeler, folder: Path) -> dict[str, Any]:
    """Tries every label on test documents, and writes the verdicts into the folder.

    The control goes the same way from its firings to its labels and their verdicts.

    Args:
        model: The model that the dictionary was built with.
        sae: The SAE that it describes.
        labeler: What labels the control's features: the labeler of the dictionary.
        folder: A dictionary folder whose `work/` is still there.

    Returns:
        The manifest's `validation`.

    Raises:
        UserError: No dictionary, or one of another model or SAE, or `work/` is gone.
    """
    manifest = read_manifest(folder)
    check_fingerprints(manifest, model, sae, folder)
    rules = load_rules(folder / RULES)
    table = read_parquet(folder / FEATURES)
    alive = np.asarray(table["density"]) > 0
    vocabulary = read_vocabulary(model)
    seed = manifest["seed"]
    samples = load_samples(folder, OWN, sae.cfg.d_sae)
    nearest = by_direction(sae).features[:, 0]
    trials, validation = _tried(rules, samples, alive, nearest, vocabulary, seed)
    samples = load_samples(folder, CONTROL, sae.cfg.d_sae)
    control = _control(random_sae(sae, seed), samples, labeler, vocabulary, seed)
    validation["controls"] = {CONTROL: control}
    write_parquet(folder / FEATURES, _with_trials(table, trials))
    write_json(folder / MANIFEST, {**manifest, "validation": validation})
    return validation


def _tried(
    rules: Sequence[Rule | None],
    samples: Samples,
    alive: np.ndarray,
    nearest: np.ndarray,
    vocabulary: Vocabulary,
    seed: int,
) -> tuple[list[Trial], dict[str, Any]]:
    """Tries rules on selection and on test documents; returns the trials on the latter."""
    floors = strong_floors(samples["train"])

    def tried(split: "Split", number: int) -> list[Trial]:
        index = FiringIndex(samples[split], floors)
        return try_rules(rules, index, alive, nearest, vocabulary, [seed, number])

    selection, test = tried("selection", 3), tried("test", 2)
    firings = samples["test"]
    strong = firings.values >= floors[firings.features]
    counts = [
        np.bincount(firings.features[chosen], minlength=firings.d_sae)
        for chosen in (strong, ~strong)
    ]
    return test, summarise(test, selection, *counts)


def try_rules(
    rules: Sequence[Rule | None],
    index: FiringIndex,
    alive: np.ndarray,
    neighbours: np.ndarray,
    vocabulary: Vocabulary,
    seed: Sequence[int],
) -> list[Trial]:
    """Tries each label's rule, as it stands, on documents that it was not learnt from.

    Args:
        rules: One a feature.
        index: Firings on those documents.
        alive: Did the feature fire on any build document? `[d_sae]`, bool.
        neighbours: The nearest other feature of each, `[d_sae]`.
        vocabulary: The model's tokens.
        seed: Seed of the examples drawn.
    """
    from tqdm import tqdm

    trials = []
    for feature, rule in enumerate(tqdm(rules, desc="validate")):
        found = index.draw(feature, int(neighbours[feature]), TEST_FIRING, seed)
        nothing = np.zeros(len(found.windows), bool)
        claimed = rule.fires(found.windows, vocabulary) if rule else nothing
        trials.append(judge(found, claimed, bool(alive[feature])))
    return trials


def _control(
    control: "SAE[Any]", samples: Samples, labeler: Labeler, vocabulary: Vocabulary, seed: int
) -> dict[str, Any]:
    """Returns how the labels of the random SAE's features fared, made and tried in the same way."""
    nearest = by_direction(control).features[:, 0]
    floors = strong_floors(samples["train"])
    labels = label_features(
        FiringIndex(samples["train"], floors),
        FiringIndex(samples["selection"], floors),
        nearest,
        {feature: [] for feature in range(control.cfg.d_sae)},
        labeler,
        vocabulary,
        seed,
    )
    alive = np.bincount(samples["train"].features, minlength=control.cfg.d_sae) > 0
    rules = [label.rule for label in labels]
    return _tried(rules, samples, alive, nearest, vocabulary, seed)[1]


def _with_trials(table: "pyarrow.Table", trials: Sequence[Trial]) -> "pyarrow.Table":
    """Returns the features table with a column for each figure of a trial."""
    for name in Trial._fields:
        if name in table.column_names:
            table = table.drop_columns([name])
        table = table.append_column(name, [[getattr(trial, name) for trial in trials]])
    return table
