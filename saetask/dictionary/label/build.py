"""Making a dictionary folder: a corpus read, every feature labelled."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from saetask.dictionary.collect.corpus_pass import OWN, WORK, BuildConfig, Pass, read_corpus
from saetask.dictionary.collect.neighbours import by_direction, by_firing
from saetask.dictionary.collect.split_activations import SplitActivations, load_split_activations
from saetask.dictionary.collect.statistics import FeatureStatistics
from saetask.dictionary.label.base import Label, Labeler, chosen_options, label_figures
from saetask.dictionary.label.rules import read_vocabulary
from saetask.dictionary.label.runner import label_features
from saetask.dictionary.label.tables import contexts_table, features_table
from saetask.dictionary.store import (
    CONTEXTS,
    FEATURES,
    RULES,
    SCHEMA_VERSION,
    save_rules,
    write_manifest,
    write_parquet,
)
from saetask.models.loading import model_fingerprint, model_name
from saetask.saes.loading import sae_fingerprint
from saetask.saes.logit_lens import promotions

if TYPE_CHECKING:
    from saetask.models.loading import Model
    from saetask.saes.loading import SAE


def build(
    model: "Model",
    sae: "SAE[Any]",
    config: BuildConfig,
    labeler: Labeler,
    out: Path,
    base: Path = Path(),
    found: Pass | None = None,
) -> Path:
    """Reads a corpus, labels every feature, and writes the dictionary folder.

    Args:
        model: The model to read.
        sae: An SAE that fits it.
        config: What to build from.
        labeler: What writes the labels; see `labels.configured` for one with options.
        out: The folder; an interrupted build goes on there.
        base: Folder that relative corpus paths are taken from.
        found: The corpus as `read_corpus` read it into this folder; None reads it here.

    Raises:
        UserError: The folder holds another dictionary, or the corpus is too short.
    """
    found = found or read_corpus(model, sae, config, out, base)
    vocabulary = read_vocabulary(model)
    tokens = promotions(model, sae, range(sae.cfg.d_sae))
    directions = by_direction(sae.W_dec)
    subject = load_split_activations(out, OWN, directions)
    labels = label_features(
        subject,
        {feature: promotion.promoted for feature, promotion in tokens.items()},
        labeler,
        vocabulary,
        config.seed,
        out / WORK,
    )
    texts = vocabulary.texts
    together = by_firing(subject.learning.firings)
    features = features_table(
        found.tally, labels, labeler.name, tokens, directions, together, found.rows, texts
    )
    write_parquet(out / FEATURES, features)
    write_parquet(out / CONTEXTS, contexts_table(found.tally, found.rows, texts))
    save_rules(out / RULES, [label.rule for label in labels])
    write_manifest(out, _manifest(model, sae, config, labeler, labels, found.tally, subject))
    return out


def _manifest(
    model: "Model",
    sae: "SAE[Any]",
    config: BuildConfig,
    labeler: Labeler,
    labels: Sequence[Label],
    tally: FeatureStatistics,
    subject: SplitActivations,
) -> dict[str, Any]:
    indexes = {"train": subject.learning, "selection": subject.selection, "test": subject.test}
    splits = {
        split: {
            "rows": len(index.firings.documents),
            "tokens": len(index.firings.token_ids),
            "documents": len(np.unique(index.firings.documents)),
        }
        for split, index in indexes.items()
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
            "sources": [Path(source.path).name for source in config.corpus.sources],
            "tokens": tally.n_tokens,
            "samples": splits,
        },
        "labeler": labeler.name,
        "labels": label_figures(labels, chosen_options(labeler)),
        "seed": config.seed,
        "n_features": sae.cfg.d_sae,
        "n_alive": int((tally.count > 0).sum()),
        "validation": None,
    }
