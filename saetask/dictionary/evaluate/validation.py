"""Labels on trial: does what they claim hold in documents that they were not made from?"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from saetask.dictionary.collect.contexts import ActivationIndex
from saetask.dictionary.collect.corpus_pass import CONTROL, OWN, WORK
from saetask.dictionary.collect.neighbours import by_direction
from saetask.dictionary.collect.split_activations import SplitActivations, load_split_activations
from saetask.dictionary.evaluate.judge import (
    COLUMNS,
    Judge,
    JudgedTrials,
    draw_judged,
    judged_trials,
)
from saetask.dictionary.evaluate.verdicts import Trial, judge_claims, summarise
from saetask.dictionary.label.base import Label, Labeler, is_in_words
from saetask.dictionary.label.rules import Rule, Vocabulary, read_vocabulary
from saetask.dictionary.label.runner import label_features
from saetask.dictionary.store import (
    FEATURES,
    RULES,
    check_fingerprints,
    load_rules,
    read_manifest,
    read_parquet,
    write_manifest,
    write_parquet,
)
from saetask.errors import UserError
from saetask.saes.random_sae import control_directions

if TYPE_CHECKING:
    import pyarrow
    from sae_lens import SAE

    from saetask.models.loading import Model

SHUFFLED = "shuffled-model"
TEST_FIRING = 400
"""Firing contexts that a label is tried on, at most."""


def validate(
    model: "Model",
    sae: "SAE[Any]",
    labeler: Labeler,
    folder: Path,
    judge: Judge | None = None,
    shuffled: Path | None = None,
) -> dict[str, Any]:
    """Tries every label on test documents, and writes the verdicts into the folder.

    The control goes the same way from its firings to its labels and their verdicts.

    Args:
        model: The model that the dictionary was built with.
        sae: The SAE that it describes.
        labeler: What labels the control's features: the labeler of the dictionary.
        folder: A dictionary folder whose `work/` is still there.
        judge: A language model that judges labels too; without one, labels without rules by
            nature (of a labeler `in_words`) stay without a verdict, and have no control.
        shuffled: The validated dictionary of a model with shuffled weights, to stand beside.

    Returns:
        The manifest's `validation`.

    Raises:
        UserError: No dictionary, or one of another model or SAE, or `work/` is gone, or the judge
            can not be reached.
    """
    manifest = read_manifest(folder)
    check_fingerprints(manifest, model, sae, folder)
    controls = {SHUFFLED: shuffled_model_figures(manifest, shuffled)} if shuffled else {}
    table = read_parquet(folder / FEATURES)
    labels = stored_labels(table, load_rules(folder / RULES))
    vocabulary, seed = read_vocabulary(model), manifest["seed"]
    subject = load_split_activations(folder, OWN, by_direction(sae.W_dec))
    words = is_in_words(labeler)
    alive = np.asarray(table["density"]) > 0
    trials, validation = _tried(labels, subject, alive, judge, words, vocabulary, seed, folder)
    if judge or not words:
        control = load_split_activations(
            folder, CONTROL, by_direction(control_directions(sae, seed))
        )
        labels = _control_labels(control, labeler, judge, vocabulary, seed, folder)
        alive = np.bincount(control.learning.firings.features, minlength=len(labels)) > 0
        found = _tried(labels, control, alive, judge, words, vocabulary, seed, folder)[1]
        controls = {CONTROL: found, **controls}
    validation["controls"] = controls
    write_parquet(folder / FEATURES, _with_trials(table, trials))
    write_manifest(folder, {**manifest, "validation": validation})
    return validation


def _tried(
    labels: Sequence[Label],
    subject: SplitActivations,
    alive: np.ndarray,
    judge: Judge | None,
    in_words: bool,
    vocabulary: Vocabulary,
    seed: int,
    folder: Path,
) -> tuple[JudgedTrials, dict[str, Any]]:
    """Tries labels on test documents; returns the trials, and their summary."""
    rules = [label.rule for label in labels]
    selection, test = (
        try_rules(rules, index, alive, subject.neighbours, vocabulary, [seed, number])
        for index, number in ((subject.selection, 3), (subject.test, 2))
    )
    judged = judged_trials(judge, in_words, labels, test, subject, vocabulary, seed, folder / WORK)
    found = summarise(judged.trials, selection, *subject.test.counts())
    return judged, {**found, "judge": judged.figures}


def try_rules(
    rules: Sequence[Rule | None],
    index: ActivationIndex,
    alive: np.ndarray,
    neighbours: np.ndarray,
    vocabulary: Vocabulary,
    seed: Sequence[int],
) -> list[Trial]:
    """Tries each label's rule, as it stands, on documents that it was not learnt from.

    Args:
        rules: One a feature.
        index: TokenActivations on those documents.
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
        trials.append(judge_claims(found.firing, found.silent, claimed, bool(alive[feature])))
    return trials


def _control_labels(
    control: SplitActivations,
    labeler: Labeler,
    judge: Judge | None,
    vocabulary: Vocabulary,
    seed: int,
    folder: Path,
) -> list[Label]:
    """Returns labels of the random SAE's features, made in the same way."""
    # Words cost money, and only those that are judged serve.
    drawn = draw_judged(judge, control.test, seed) if judge and is_in_words(labeler) else None
    promoted = {feature: [] for feature in range(len(control.neighbours))}
    return label_features(control, promoted, labeler, vocabulary, seed, folder / WORK, drawn)


def stored_labels(table: "pyarrow.Table", rules: Sequence[Rule | None]) -> list[Label]:
    """Returns the labels of a features table, with their rules."""
    columns = (table[name].to_pylist() for name in ("label", "provenance", "failed"))
    return [
        Label(text, rule, json.loads(provenance), failed)
        for rule, text, provenance, failed in zip(rules, *columns)
    ]


def _with_trials(table: "pyarrow.Table", judged: JudgedTrials) -> "pyarrow.Table":
    """Returns the features table with a column for each figure of a trial and of the judge."""
    import pyarrow

    before = {*Trial._fields, *COLUMNS} & set(table.column_names)
    table = table.drop_columns(sorted(before))
    for name in Trial._fields:
        table = table.append_column(name, [[getattr(trial, name) for trial in judged.trials]])
    for name, values in judged.columns.items():
        table = table.append_column(name, pyarrow.array(values, pyarrow.float64()))
    return table


def shuffled_model_figures(manifest: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Returns the figures of a dictionary of a model whose weights were shuffled.

    Args:
        manifest: The manifest of the dictionary that it is a control of.
        folder: The control's dictionary folder, built and validated in the same way.

    Raises:
        UserError: It was not validated, not built in the same way, or is of the same model.
    """
    other = read_manifest(folder)
    if other["validation"] is None:
        raise UserError(f"{folder} is not validated; run saetask dictionary validate {folder}.")
    if other["model"]["fingerprint"] == manifest["model"]["fingerprint"]:
        raise UserError(f"{folder} is a dictionary of the same model; shuffle its weights first.")
    for name, part in (
        ("features", lambda m: m["n_features"]),
        ("labeler", lambda m: (m["labeler"], m["labels"]["options"])),
        ("seed", lambda m: m["seed"]),
        ("corpus", lambda m: (m["corpus"]["sources"], m["corpus"]["samples"])),
    ):
        if part(other) != part(manifest):
            raise UserError(
                f"{folder} differs in its {name} ({part(other)} for {part(manifest)}); build it "
                "in the same way."
            )
    return {name: value for name, value in other["validation"].items() if name != "controls"}
