"""Making a dictionary folder: built and labelled, then validated."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from saetask.cache import atomic_path, write_json
from saetask.dictionary.build import CONTROL, WORK, BuildConfig, Pass, load_samples, read_corpus
from saetask.dictionary.controls import random_sae
from saetask.dictionary.examples import FiringIndex
from saetask.dictionary.geometry import by_direction, by_firing
from saetask.dictionary.judged import COLUMNS, Judged, draw_judged, judged_trials, summary
from saetask.dictionary.judging import Judge
from saetask.dictionary.labelling import label_features
from saetask.dictionary.labels import Label, Labeler, chosen_options, is_in_words, label_figures
from saetask.dictionary.rules import Rule, Vocabulary
from saetask.dictionary.tables import contexts_table, features_table
from saetask.dictionary.validation import Trial, try_labels
from saetask.errors import UserError
from saetask.logit_lens import promotions
from saetask.models import model_fingerprint, model_name, model_tokenizer
from saetask.saes import sae_fingerprint

if TYPE_CHECKING:
    import pyarrow
    from sae_lens import SAE

    from saetask.corpus import Split
    from saetask.dictionary.firings import Firings
    from saetask.models import Model

MANIFEST = "manifest.json"
FEATURES = "features.parquet"
CONTEXTS = "contexts.parquet"
SCHEMA_VERSION = 1


def build(
    model: "Model",
    sae: "SAE[Any]",
    config: BuildConfig,
    labeler: Labeler,
    out: Path,
    base: Path = Path(),
) -> Path:
    """Reads a corpus, labels every feature, and writes the dictionary folder.

    Args:
        model: The model to read.
        sae: An SAE that fits it.
        config: What to build from.
        labeler: What writes the labels; see `labels.configured` for one with options.
        out: The folder; an interrupted build goes on there.
        base: Folder that relative corpus paths are taken from.

    Raises:
        UserError: The folder holds another dictionary, or the corpus is too short.
    """
    found = read_corpus(model, sae, config, out, base)
    vocabulary = Vocabulary(model_tokenizer(model))
    tokens = promotions(model, sae, range(sae.cfg.d_sae))
    directions = by_direction(sae)
    labels = label_features(
        FiringIndex(found.samples["train", "sae"]),
        FiringIndex(found.samples["selection", "sae"]),
        directions.features[:, 0],
        {feature: found.promoted for feature, found in tokens.items()},
        labeler,
        vocabulary,
        config.seed,
        out / WORK,
    )
    together = by_firing(found.samples["train", "sae"])
    features = features_table(
        found.tally, labels, labeler.name, tokens, directions, together, found.rows, vocabulary
    )
    write_parquet(out / FEATURES, features)
    write_parquet(out / CONTEXTS, contexts_table(found.tally, found.rows, vocabulary))
    write_json(out / MANIFEST, _manifest(model, sae, config, labeler, labels, found))
    return out


def validate(
    model: "Model", sae: "SAE[Any]", labeler: Labeler, folder: Path, judge: Judge | None = None
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

    Returns:
        The manifest's `validation`.

    Raises:
        UserError: No dictionary, or one of another model or SAE, or `work/` is gone, or the judge
            can not be reached.
    """
    manifest = read_manifest(folder)
    check_fingerprints(manifest, model, sae, folder)
    samples = load_samples(folder, sae.cfg.d_sae)
    vocabulary = Vocabulary(model_tokenizer(model))
    seed = manifest["seed"]
    table = read_parquet(folder / FEATURES)
    labels = stored_labels(table)
    alive = np.asarray(table["density"]) > 0
    test = FiringIndex(samples["test", "sae"])
    nearest = by_direction(sae).features[:, 0]
    trials = try_labels(labels, test, alive, nearest, vocabulary, seed)
    words, work = is_in_words(labeler), folder / WORK
    judged = judged_trials(judge, words, labels, trials, test, nearest, vocabulary, seed, work)
    validation = summary(judged, _counts(samples["test", "sae"]))
    validation["controls"] = {}
    if judge or not words:
        control = _control(sae, samples, labeler, vocabulary, seed, judge, work)
        validation["controls"][CONTROL] = control
    write_parquet(folder / FEATURES, _with_trials(table, judged))
    write_json(folder / MANIFEST, {**manifest, "validation": validation})
    return validation


def _with_trials(table: "pyarrow.Table", judged: Judged) -> "pyarrow.Table":
    """Returns the features table with a column for each figure of a trial and of the judge."""
    import pyarrow

    before = {*Trial._fields, *COLUMNS} & set(table.column_names)
    table = table.drop_columns(sorted(before))
    for name in Trial._fields:
        table = table.append_column(name, [[getattr(trial, name) for trial in judged.trials]])
    for name, values in judged.columns.items():
        table = table.append_column(name, pyarrow.array(values, pyarrow.float64()))
    return table


def _control(
    sae: "SAE[Any]",
    samples: Mapping["tuple[Split, str]", "Firings"],
    labeler: Labeler,
    vocabulary: Vocabulary,
    seed: int,
    judge: Judge | None,
    work: Path,
) -> dict[str, Any]:
    """Returns how the labels of the random SAE's features fared, made and tried in the same way."""
    nearest = by_direction(random_sae(sae, seed)).features[:, 0]
    learning, selection, test = (
        samples[split, CONTROL] for split in ("train", "selection", "test")
    )
    tried, words = FiringIndex(test), is_in_words(labeler)
    labels = label_features(
        FiringIndex(learning),
        FiringIndex(selection),
        nearest,
        {feature: [] for feature in range(sae.cfg.d_sae)},
        labeler,
        vocabulary,
        seed,
        work,
        # Words cost money, and only those that are judged serve.
        draw_judged(judge, tried, seed) if judge and words else None,
    )
    alive = _counts(learning) > 0
    trials = try_labels(labels, tried, alive, nearest, vocabulary, seed)
    judged = judged_trials(judge, words, labels, trials, tried, nearest, vocabulary, seed, work)
    return summary(judged, _counts(test))


def stored_labels(table: "pyarrow.Table") -> list[Label]:
    """Returns the labels of a features table, with their rules."""
    names = ("label", "rule_columns", "rule_weights", "rule_threshold", "provenance", "failed")
    labels = []
    for text, columns, weights, threshold, provenance, failed in zip(
        *(table[name].to_pylist() for name in names)
    ):
        rule = Rule(np.array(columns, np.int64), np.array(weights, float), threshold or 0.0)
        given = None if threshold is None else rule
        labels.append(Label(text, given, json.loads(provenance), failed))
    return labels


def _counts(firings: Any) -> np.ndarray:
    return np.bincount(firings.features, minlength=firings.d_sae)


def _manifest(
    model: "Model",
    sae: "SAE[Any]",
    config: BuildConfig,
    labeler: Labeler,
    labels: Sequence[Label],
    found: Pass,
) -> dict[str, Any]:
    splits = {
        split: {
            "rows": len(firings.documents),
            "tokens": len(firings.token_ids),
            "documents": len(np.unique(firings.documents)),
        }
        for (split, name), firings in found.samples.items()
        if name == "sae"
    }
    return {
        "schema_version": SCHEMA_VERSION,
        "model": {"name": model_name(model), "fingerprint": model_fingerprint(model)},
        "sae": {
            "hook_name": sae.cfg.metadata.hook_name,
            "d_sae": sae.cfg.d_sae,
            "fingerprint": sae_fingerprint(sae),
        },
        "corpus": {
            "sources": [source.path for source in config.corpus.sources],
            "tokens": found.tally.n_tokens,
            "samples": splits,
        },
        "labeler": labeler.name,
        "labels": label_figures(labels, chosen_options(labeler)),
        "seed": config.seed,
        "n_features": sae.cfg.d_sae,
        "n_alive": int((found.tally.count > 0).sum()),
        "validation": None,
    }


def read_manifest(folder: Path) -> dict[str, Any]:
    """Reads a dictionary's manifest.

    Raises:
        UserError: The folder holds no dictionary, or one of another version.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        version = manifest["schema_version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder} holds no dictionary ({MANIFEST}: {error}).") from error
    if version != SCHEMA_VERSION:
        raise UserError(
            f"The dictionary in {folder} has version {version}; this is for {SCHEMA_VERSION}."
        )
    return manifest


def check_fingerprints(
    manifest: dict[str, Any], model: "Model", sae: "SAE[Any]", folder: Path
) -> None:
    """Refuses a dictionary of another model or SAE.

    Raises:
        UserError: It is.
    """
    for kind, found in (("model", model_fingerprint(model)), ("sae", sae_fingerprint(sae))):
        if manifest[kind]["fingerprint"] != found:
            raise UserError(
                f"The dictionary in {folder} was built for another {kind}; give the {kind} "
                "that it was built with, or build it anew."
            )


def write_parquet(path: Path, table: "pyarrow.Table") -> None:
    """Writes a table atomically."""
    from pyarrow import parquet

    with atomic_path(path) as temporary:
        parquet.write_table(table, temporary, compression="zstd", compression_level=9)


def read_parquet(path: Path) -> "pyarrow.Table":
    """Reads a table.

    Raises:
        UserError: The file is missing or damaged.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        return parquet.read_table(path)
    except (OSError, pyarrow.ArrowException) as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"{path} cannot be read ({reason}); build the dictionary anew.") from error
