"""Validation of a dictionary: tests every label on documents that it was not made from."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from saetask.dictionary.collect.contexts import (
    ActivationIndex,
    SplitActivations,
    load_split_activations,
)
from saetask.dictionary.collect.neighbours import neighbours_by_direction
from saetask.dictionary.collect.work_folder import CONTROL, DESCRIBED, WORK
from saetask.dictionary.context import DictionaryContext
from saetask.dictionary.evaluate.judge import (
    COLUMNS,
    Judge,
    JudgedTrials,
    draw_judged_features,
    judge_trials,
)
from saetask.dictionary.evaluate.verdicts import Trial, evaluate_claims, summarise_trials
from saetask.dictionary.label.base import Label, Labeler
from saetask.dictionary.label.rules import Rule, Vocabulary, read_vocabulary
from saetask.dictionary.label.runner import label_features
from saetask.dictionary.manifest import Manifest, Validation, ValidationFigures
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
from saetask.utils.progress import counted

if TYPE_CHECKING:
    import pyarrow
    from jaxtyping import Bool

    from saetask.models.loading import Model
    from saetask.saes.loading import SAE

SHUFFLED = "shuffled-model"
TEST_CONTEXTS = 400
"""Maximum number of firing contexts that a label is tested on."""


def validate(
    model: "Model",
    sae: "SAE[Any]",
    labeler: Labeler,
    folder: Path,
    judge: Judge | None = None,
    shuffled: Path | None = None,
) -> Validation:
    """Tests every label on test documents, and writes the verdicts into the folder.

    The random control is labelled and tested in the same way.

    Args:
        model: The model that the dictionary was built with.
        sae: The SAE that it describes.
        labeler: Labels the control's features: the labeler of the dictionary.
        folder: A dictionary folder whose `work/` is still there.
        judge: A language model that judges labels too; without one, labels of a labeler
            `in_words` get no verdict, and have no control.
        shuffled: The validated dictionary of a model with shuffled weights, as another control.

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
    context = DictionaryContext(read_vocabulary(model), labeler, manifest.seed, folder / WORK)
    activations = load_split_activations(folder, DESCRIBED, neighbours_by_direction(sae.W_dec))
    alive = np.asarray(table["density"]) > 0
    evaluation = _evaluate_labels(labels, activations, alive, judge, context)
    if judge or not context.in_words:
        directions = neighbours_by_direction(control_directions(sae, manifest.seed))
        control = load_split_activations(folder, CONTROL, directions)
        labels = _control_labels(control, judge, context)
        alive = np.bincount(control.learning.activations.features, minlength=len(labels)) > 0
        figures = _evaluate_labels(labels, control, alive, judge, context).figures
        controls = {CONTROL: figures, **controls}
    validation = Validation(**dict(evaluation.figures), controls=controls)
    write_parquet(folder / FEATURES, _with_trials(table, evaluation.trials))
    write_manifest(folder, manifest.model_copy(update={"validation": validation}))
    return validation


class _Evaluation(NamedTuple):
    """Trials of all labels, and their summary."""

    trials: JudgedTrials
    figures: ValidationFigures


def _evaluate_labels(
    labels: Sequence[Label],
    activations: SplitActivations,
    alive: "Bool[np.ndarray, ' d_sae']",
    judge: Judge | None,
    context: DictionaryContext,
) -> _Evaluation:
    rules = [label.rule for label in labels]
    selection, test = (
        evaluate_rules(rules, index, alive, context.vocabulary, [context.seed, number])
        for index, number in ((activations.selection, 3), (activations.test, 2))
    )
    judged = judge_trials(judge, labels, test, activations.test, context)
    counts = activations.test.firing_counts()
    return _Evaluation(judged, summarise_trials(judged.trials, selection, counts, judged.figures))


def evaluate_rules(
    rules: Sequence[Rule | None],
    index: ActivationIndex,
    alive: "Bool[np.ndarray, ' d_sae']",
    vocabulary: Vocabulary,
    seed: Sequence[int],
) -> list[Trial]:
    """Tests each label's rule on documents that it was not learnt from.

    Args:
        rules: One for each feature; None claims no context.
        index: Activations on those documents.
        alive: Whether each feature fires on any build document.
        vocabulary: The model's tokens.
        seed: Seed of the examples drawn.
    """
    trials = []
    for feature, rule in enumerate(counted(rules, len(rules), "validate", "label")):
        examples = index.draw(feature, TEST_CONTEXTS, seed)
        claimed = np.zeros(len(examples.windows), bool)
        if rule:
            claimed = rule.fires(examples.windows, vocabulary)
        trials.append(
            evaluate_claims(examples.firing, examples.silent, claimed, bool(alive[feature]))
        )
    return trials


def _control_labels(
    control: SplitActivations, judge: Judge | None, context: DictionaryContext
) -> list[Label]:
    """Returns labels of the random SAE's features, made in the same way."""
    features = None
    if judge and context.in_words:  # labels in words cost money, and only judged ones are used
        features = draw_judged_features(judge, control.test, context.seed)
    promoted: dict[int, list[str]] = {feature: [] for feature in range(control.test.d_sae)}
    return label_features(control, promoted, context, features)


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

    earlier = {*Trial._fields, *COLUMNS} & set(table.column_names)
    table = table.drop_columns(sorted(earlier))
    for name in Trial._fields:
        table = table.append_column(name, [[getattr(trial, name) for trial in judged.trials]])
    for name, values in judged.columns.items():
        table = table.append_column(name, pyarrow.array(values, pyarrow.float64()))
    return table


def shuffled_model_figures(manifest: Manifest, folder: Path) -> ValidationFigures:
    """Returns the figures of a dictionary of a model whose weights were shuffled.

    Args:
        manifest: The manifest of the dictionary that it is a control of.
        folder: The control's dictionary folder, built and validated in the same way.

    Raises:
        UserError: It was not validated, not built in the same way, or is of the same model.
    """
    other = read_manifest(folder)
    if other.validation is None:
        raise UserError(f"{folder} is not validated; run saetask dictionary validate {folder}.")
    if other.model.fingerprint == manifest.model.fingerprint:
        raise UserError(f"{folder} is a dictionary of the same model; shuffle its weights first.")
    theirs, ours = _build_settings(other), _build_settings(manifest)
    for name, value in theirs.items():
        if value != ours[name]:
            raise UserError(
                f"{folder} differs in its {name} ({value} for {ours[name]}); build it in the "
                "same way."
            )
    figures = other.validation.model_dump(exclude={"controls"})
    return ValidationFigures.model_validate(figures)


def _build_settings(manifest: Manifest) -> dict[str, Any]:
    """Returns what a dictionary and its control must have in common."""
    corpus = manifest.corpus.to_dict()
    return {
        "features": manifest.n_features,
        "labeler": (manifest.labeler, manifest.labels.options),
        "seed": manifest.seed,
        "corpus": (corpus["sources"], corpus["samples"]),
    }
