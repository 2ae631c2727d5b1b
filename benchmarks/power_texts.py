"""Texts in which failures are planted, and the hypotheses of every arm about them."""

import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from saetask.data.evaluated_items import EvaluatedItem
from saetask.dictionary.feature_labels import find_feature_labels
from saetask.discovery.confounders import confounders
from saetask.discovery.controls import WordFamilies, word_families
from saetask.discovery.hypotheses import Family, concept_family, feature_family
from saetask.discovery.prompt_text import own_texts
from saetask.discovery.random_dictionary import random_reader
from saetask.discovery.reading import Reader, read_log, render_log
from saetask.discovery.word_class_control import word_class_family
from saetask.errors import UserError
from saetask.experiments.known_concepts import find_known_concepts
from saetask.models.loading import load_model, model_fingerprint
from saetask.saes.loading import load_sae, sae_fingerprint

if TYPE_CHECKING:
    from jaxtyping import Float64, Int64

FEWEST_WORDS, MOST_WORDS = 8, 60


def texts_of(path: Path, field: str, limit: int) -> list[str]:
    """Returns different texts of a JSONL file, at random; it may be compressed by gzip."""
    try:
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
            found = {str(json.loads(line)[field]).strip() for line in file if line.strip()}
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} is no JSONL file with a field '{field}': {error}") from error
    usable = [text for text in sorted(found) if FEWEST_WORDS <= len(text.split()) <= MOST_WORDS]
    order = np.random.default_rng(0).permutation(len(usable))
    return [usable[i] for i in order[:limit]]


class Texts(NamedTuple):
    """Texts that were read, with the hypotheses of every arm."""

    texts: list[str]
    arms: dict[str, list[Family]]
    words: WordFamilies
    confounders: "Float64[np.ndarray, 'n k']"
    n_tokens: "Int64[np.ndarray, ' n']"


def read_texts(texts: list[str], work: Path | None) -> Texts:
    """Reads texts through the default SAE and a random dictionary."""
    model, sae = load_model(), load_sae()
    labels = find_feature_labels(model, sae)
    reader = Reader(sae, find_known_concepts(labels).concepts)
    ids = [str(i) for i in range(len(texts))]
    rendered = [r for r in render_log(model, sae, ids, texts, own_texts(texts)) if r is not None]
    if len(rendered) < len(texts):
        raise UserError("A text is longer than the model's context.")
    control = random_reader(model, reader, rendered, seed=0)
    identity = [model_fingerprint(model), sae_fingerprint(sae), "benchmark"]
    read = read_log(model, [reader, control], rendered, work, identity)
    of_sae, of_random = read.readings
    features = feature_family(of_sae.features, labels)
    words = word_families(texts)
    arms = {
        "concepts": [concept_family(of_sae.concepts, reader.concepts), features],
        "features": [features],
        "words": words.families,
        "random": [
            concept_family(of_random.concepts, control.concepts),
            feature_family(of_random.features, None),
        ],
        "word classes": [word_class_family(texts)],
    }
    items = [EvaluatedItem(name, text, name, None, name) for name, text in zip(ids, texts)]
    given = confounders(items, np.zeros(len(items)), texts, read.n_tokens)
    return Texts(texts, arms, words, given.values, read.n_tokens)
