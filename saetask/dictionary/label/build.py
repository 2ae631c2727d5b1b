"""Builds a dictionary folder: reads a corpus, labels every feature, writes the tables."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from saetask.data.corpus import rows_passed_over
from saetask.dictionary.collect.contexts import SplitActivations, load_split_activations
from saetask.dictionary.collect.corpus_pass import BuildConfig, CorpusPass, read_corpus
from saetask.dictionary.collect.neighbours import (
    neighbours_by_coactivation,
    neighbours_by_direction,
)
from saetask.dictionary.collect.work_folder import DESCRIBED, SPLITS, WORK
from saetask.dictionary.context import DictionaryContext
from saetask.dictionary.label.base import Label, Labeler, chosen_options, label_figures
from saetask.dictionary.label.rules import read_vocabulary
from saetask.dictionary.label.runner import label_features
from saetask.dictionary.label.tables import FeatureDescriptions, contexts_table, features_table
from saetask.dictionary.manifest import (
    SCHEMA_VERSION,
    CorpusSummary,
    Manifest,
    ModelIdentity,
    SAEIdentity,
    SampleSize,
)
from saetask.dictionary.store import (
    CONTEXTS,
    FEATURES,
    RULES,
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
    corpus_pass: CorpusPass | None = None,
) -> Path:
    """Reads a corpus, labels every feature, and writes the dictionary folder.

    Args:
        model: The model to read.
        sae: An SAE that fits it.
        config: What to build from.
        labeler: Writes the labels; see `label.base.configured` for one with options.
        out: The folder; an interrupted build resumes there.
        base: Folder that relative corpus paths are taken from.
        corpus_pass: The corpus as `read_corpus` read it into this folder; None reads it here.

    Returns:
        `out`.

    Raises:
        UserError: The folder holds another dictionary, or the corpus is too short.
    """
    corpus_pass = corpus_pass or read_corpus(model, sae, config, out, base)
    context = DictionaryContext(read_vocabulary(model), labeler, config.seed, out / WORK)
    tokens = promotions(model, sae, range(sae.cfg.d_sae))
    directions = neighbours_by_direction(sae.W_dec)
    activations = load_split_activations(out, DESCRIBED, directions)
    promoted = {feature: promotion.promoted for feature, promotion in tokens.items()}
    labels = label_features(activations, promoted, context)
    coactivation = neighbours_by_coactivation(activations.learning.activations)
    descriptions = FeatureDescriptions(labels, labeler.name, tokens, directions, coactivation)
    texts = context.vocabulary.texts
    write_parquet(out / FEATURES, features_table(corpus_pass, descriptions, texts))
    write_parquet(out / CONTEXTS, contexts_table(corpus_pass, texts))
    save_rules(out / RULES, [label.rule for label in labels])
    corpus = _corpus_summary(config, base, corpus_pass.statistics.n_tokens, activations)
    n_alive = int((corpus_pass.statistics.count > 0).sum())
    manifest = _make_manifest(model, sae, labels, labeler, corpus, config.seed, n_alive)
    write_manifest(out, manifest)
    return out


def _make_manifest(
    model: "Model",
    sae: "SAE[Any]",
    labels: Sequence[Label],
    labeler: Labeler,
    corpus: CorpusSummary,
    seed: int,
    n_alive: int,
) -> Manifest:
    return Manifest(
        schema_version=SCHEMA_VERSION,
        model=ModelIdentity(name=model_name(model), fingerprint=model_fingerprint(model)),
        sae=SAEIdentity(
            hook_name=str(sae.cfg.metadata.hook_name),
            d_sae=sae.cfg.d_sae,
            fingerprint=sae_fingerprint(sae),
        ),
        corpus=corpus,
        labeler=labeler.name,
        labels=label_figures(labels, chosen_options(labeler)),
        seed=seed,
        n_features=sae.cfg.d_sae,
        n_alive=n_alive,
        validation=None,
    )


def _corpus_summary(
    config: BuildConfig, base: Path, n_tokens: int, activations: SplitActivations
) -> CorpusSummary:
    samples = [index.activations for index in activations]
    passed_over = rows_passed_over(config.corpus, base)
    return CorpusSummary(
        sources=[Path(source.path).name for source in config.corpus.sources],
        tokens=n_tokens,
        samples={
            split: SampleSize(
                rows=len(sample.documents),
                tokens=len(sample.token_ids),
                documents=len(np.unique(sample.documents)),
            )
            for split, sample in zip(SPLITS, samples)
        },
        **({"rows_passed_over": passed_over} if passed_over else {}),
    )
