"""Making a dictionary folder: a corpus read, every feature labelled."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from saetask.cache import write_json
from saetask.dictionary.build import BuildConfig, Pass, read_corpus
from saetask.dictionary.examples import FiringIndex, strong_floors
from saetask.dictionary.files import (
    CONTEXTS,
    FEATURES,
    MANIFEST,
    RULES,
    SCHEMA_VERSION,
    save_rules,
    write_parquet,
)
from saetask.dictionary.geometry import by_direction, by_firing
from saetask.dictionary.labelling import label_features
from saetask.dictionary.labels import Labeler
from saetask.dictionary.rules import read_vocabulary
from saetask.dictionary.tables import contexts_table, features_table
from saetask.logit_lens import promotions
from saetask.models import model_fingerprint, model_name
from saetask.saes import sae_fingerprint

if TYPE_CHECKING:
    from sae_lens import SAE

    from saetask.models import Model


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
        labeler: What writes the labels.
        out: The folder; an interrupted build goes on there.
        base: Folder that relative corpus paths are taken from.

    Raises:
        UserError: The folder holds another dictionary, or the corpus is too short.
    """
    found = read_corpus(model, sae, config, out, base)
    vocabulary = read_vocabulary(model)
    tokens = promotions(model, sae, range(sae.cfg.d_sae))
    directions = by_direction(sae)
    floors = strong_floors(found.samples["train"])
    labels = label_features(
        FiringIndex(found.samples["train"], floors),
        FiringIndex(found.samples["selection"], floors),
        directions.features[:, 0],
        {feature: promoted for feature, (promoted, _) in tokens.items()},
        labeler,
        vocabulary,
        config.seed,
    )
    texts = vocabulary.texts
    together = by_firing(found.samples["train"])
    features = features_table(
        found.tally, labels, labeler.name, tokens, directions, together, found.rows, texts
    )
    write_parquet(out / FEATURES, features)
    write_parquet(out / CONTEXTS, contexts_table(found.tally, found.rows, texts))
    save_rules(out / RULES, [label.rule for label in labels])
    write_json(out / MANIFEST, _manifest(model, sae, config, labeler, found))
    return out


def _manifest(
    model: "Model", sae: "SAE[Any]", config: BuildConfig, labeler: Labeler, found: Pass
) -> dict[str, Any]:
    splits = {
        split: {
            "rows": len(firings.documents),
            "tokens": len(firings.token_ids),
            "documents": len(np.unique(firings.documents)),
        }
        for split, firings in found.samples.items()
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
        "seed": config.seed,
        "n_features": sae.cfg.d_sae,
        "n_alive": int((found.tally.count > 0).sum()),
        "validation": None,
    }
