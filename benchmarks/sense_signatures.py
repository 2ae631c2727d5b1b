"""How well the senses of a word are told by its signatures, word by word.

    python benchmarks/sense_signatures.py SEMCOR.jsonl[.gz] [--words 6] [--sentences 160]

The file has a sentence a line, `{"doc": ..., "tokens": [{"w", "lemma"?, "key"?}]}`, where `key` is
the WordNet sense key of a tagged token. Of the words (lemma and part of speech) with two senses or
more of 15 sentences each, `--words` are drawn by lot, and `--sentences` of each. Every word is
judged over five folds that share no document.

Prints JSON: accuracy, and area under the curve (one sense against the rest, mean over senses and
folds), of the detector `sense-conflict`, which never sees an answer here; of its cosines before
calibration, which leaves out signatures that few sentences support; of a logistic regression on
the raw activations of the same hook point (mean over the word's tokens); and of the most frequent
sense.
"""

import argparse
import json
import warnings
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from saetask import UserError, load_model, load_sae, read_features
from saetask.data import Prompt, Span
from saetask.data.items import read_rows
from saetask.detection import DetectorInput
from saetask.models.hooks import read_hook
from saetask.plugins import PluginRegistry
from saetask.saes.encoding import input_hook

KINDS = ("detector", "cosines", "dense", "frequent")
LEAST = 15
"""Sentences of a sense."""
NO_SPACE_BEFORE = {".", ",", ";", ":", "?", "!", "'s", "n't", "'", "''", ")"}


class Occurrence(NamedTuple):
    """A tagged word in a sentence."""

    sentence: str
    target: Span
    sense: str
    document: str


def occurrences(path: Path) -> dict[str, list[Occurrence]]:
    """Returns a word's first occurrence in each sentence, by `lemma%part-of-speech`."""
    found: dict[str, list[Occurrence]] = defaultdict(list)
    for _, row in read_rows(path):
        sentence, tagged = "", {}
        for token in row["tokens"]:
            sentence += "" if token["w"] in NO_SPACE_BEFORE or not sentence else " "
            if "key" in token:
                word = f"{token['lemma']}%{token['key'].partition('%')[2][:1]}"
                start = len(sentence)
                tagged.setdefault(word, (Span(start, start + len(token["w"])), token["key"]))
            sentence += token["w"]
        for word, (span, key) in tagged.items():
            found[word].append(Occurrence(sentence, span, key, row["doc"]))
    return found


def frequent_senses(rows: list[Occurrence]) -> list[Occurrence]:
    """Returns the occurrences of senses with enough of them."""
    counts = Counter(row.sense for row in rows)
    return [row for row in rows if counts[row.sense] >= LEAST]


def draw(path: Path, n_words: int, n_sentences: int, seed: int) -> dict[str, list[Occurrence]]:
    """Draws words with two frequent senses, and sentences of each."""
    generator = np.random.default_rng(seed)
    eligible = {}
    for word, rows in sorted(occurrences(path).items()):
        drawn = [rows[i] for i in sorted(generator.permutation(len(rows))[:n_sentences])]
        drawn = frequent_senses(drawn)
        if len({row.sense for row in drawn}) > 1:
            eligible[word] = drawn
    chosen = generator.permutation(sorted(eligible))[:n_words]
    return {str(word): eligible[str(word)] for word in chosen}


def read(model: Any, sae: Any, rows: list[Occurrence]) -> tuple[list[DetectorInput], np.ndarray]:
    """Returns the readings of a word, and its raw activations `[n, d_in]`."""
    prompts = [
        Prompt(
            [{"role": "user", "content": row.sentence}],
            spans={"text": Span(0, len(row.sentence)), "target": row.target},
        )
        for row in rows
    ]
    silent = dict.fromkeys(sorted({row.sense for row in rows}), 0.0)
    features = read_features(model, sae, prompts)
    readings, raw = [], []
    for number, prompt in enumerate(prompts):
        rendered = features.prompts[number]
        readings.append(DetectorInput(features[number], prompt.content, prompt.spans, silent))
        tokens = torch.tensor([rendered.token_ids])
        kept = rendered.tokens_in(rendered.regions["target"])
        raw.append(read_hook(model, tokens, input_hook(sae))[0, kept].float().mean(0).cpu().numpy())
    return readings, np.array(raw)


def judge(
    make_detector: Any, rows: list[Occurrence], readings: list[DetectorInput], raw: np.ndarray
):
    """Returns how well each way tells a word's senses on documents it did not see."""
    senses, labels = np.unique([row.sense for row in rows], return_inverse=True)
    documents = [row.document for row in rows]
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    likely = {kind: np.zeros((len(rows), len(senses))) for kind in KINDS}
    areas: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for fit, test in folds.split(raw, labels, documents):
        shares = np.bincount(labels[fit], minlength=len(senses)) / len(fit)
        if not shares.all():
            raise UserError("A sense is in too few documents; draw other words with --seed.")
        likely["frequent"][test] = shares
        dense = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
        likely["dense"][test] = dense.fit(raw[fit], labels[fit]).predict_proba(raw[test])
        detector = make_detector()
        gold_readings = [str(senses[i]) for i in labels[fit]]
        detector.fit([readings[i] for i in fit], gold_readings, [documents[i] for i in fit])
        likely["cosines"][test] = detector.context.log_odds([readings[i] for i in test])
        for i in test:
            stated = detector.detect(readings[i]).probabilities
            likely["detector"][i] = [stated[str(sense)] for sense in senses]
        for kind in KINDS:
            areas[kind] += sense_areas(labels[test], likely[kind][test])
    found: dict[str, Any] = {"n": len(rows), "senses": dict(Counter(row.sense for row in rows))}
    for kind, values in likely.items():
        accuracy = float((values.argmax(1) == labels).mean())
        found[kind] = {"accuracy": accuracy, "auroc": float(np.mean(areas[kind]))}
    return found


def sense_areas(labels: np.ndarray, likely: np.ndarray) -> list[float]:
    """Returns the area under the curve of each sense that the fold has, against the rest."""
    present = [c for c in range(likely.shape[1]) if 0 < (labels == c).sum() < len(labels)]
    return [float(roc_auc_score(labels == c, likely[:, c])) for c in present]


def main() -> None:
    """Prints the figures of each word drawn, and their means."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--words", type=int, default=6)
    parser.add_argument("--sentences", type=int, default=160, help="of each word, at most")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    words = draw(options.data, options.words, options.sentences, options.seed)
    model, sae = load_model(), load_sae()
    make_detector = PluginRegistry().get("detector", "sense-conflict")
    found: dict[str, Any] = {}
    for word, rows in words.items():
        found[word] = judge(make_detector, rows, *read(model, sae, rows))
    means = {
        kind: {
            figure: float(np.mean([row[kind][figure] for row in found.values()]))
            for figure in ("accuracy", "auroc")
        }
        for kind in KINDS
    }
    print(json.dumps({"words": found, "mean": means}, indent=2))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
