"""Labelling every feature of a dictionary."""

import hashlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from saetask.dictionary.collect.split_activations import SplitActivations
from saetask.dictionary.label.base import FeatureEvidence, Label, Labeler, chosen_options
from saetask.dictionary.label.rules import Rule, Vocabulary
from saetask.utils.files import content_hash, file_sha256
from saetask.utils.journal import Journal
from saetask.utils.parallel import map_ordered

LEARNING_FIRING = 300
"""Strongly firing contexts that a label is made from, at most."""
LABELS_JOURNAL = "labels.jsonl"
NOT_ASKED = Label("", None)


def label_features(
    subject: SplitActivations,
    promoted: Mapping[int, list[str]],
    labeler: Labeler,
    vocabulary: Vocabulary,
    seed: int,
    work: Path | None = None,
    features: Iterable[int] | None = None,
) -> list[Label]:
    """Labels every feature.

    Args:
        subject: The SAE's firings.
        promoted: Tokens that each feature promotes.
        labeler: What writes labels.
        vocabulary: The model's tokens.
        seed: Seed of the examples drawn.
        work: Folder in which a slow labeler's labels are kept as they come.
        features: Label these only, the others get no text; None labels all.

    Raises:
        UserError: The labeler gives up; what it labelled before is kept.
    """
    from tqdm import tqdm

    d_sae = len(subject.neighbours)

    def evidence(feature: int) -> FeatureEvidence:
        learnt, chosen = (
            index.draw(feature, int(subject.neighbours[feature]), LEARNING_FIRING, [seed, number])
            for number, index in enumerate((subject.learning, subject.selection))
        )
        return FeatureEvidence(feature, learnt, chosen, promoted[feature], vocabulary, d_sae)

    asked = range(d_sae) if features is None else sorted(features)
    labels = _labels(labeler, map(evidence, asked), work)
    shown = tqdm(labels, desc=f"label: {labeler.name}", total=len(asked))
    found = dict(zip(asked, list(shown)))
    return [found.get(feature, NOT_ASKED) for feature in range(d_sae)]


def _labels(
    labeler: Labeler, evidence: Iterable[FeatureEvidence], work: Path | None
) -> Iterable[Label]:
    """Yields a label for each piece of evidence, in their order."""
    workers: int | None = getattr(labeler, "workers", None)
    if workers is None:
        yield from map(labeler.label, evidence)
    elif work is None:
        yield from map_ordered(labeler.label, evidence, workers)
    else:
        journal = Journal(work / LABELS_JOURNAL)
        label = partial(_kept_label, labeler.label, journal, _identity(labeler))
        yield from map_ordered(label, evidence, workers)


def _kept_label(
    label: Callable[[FeatureEvidence], Label],
    journal: Journal,
    identity: str,
    evidence: FeatureEvidence,
) -> Label:
    """Returns the label that the journal has for this evidence, or makes it and keeps it.

    One that failed is not kept: it is asked for again at the next start.
    """
    key = _evidence_hash(evidence, identity)
    if record := journal.get(key):
        return _from_record(record)
    found = label(evidence)
    if not found.failed:
        journal.add(key, _as_record(found))
    return found


def _identity(labeler: Labeler) -> str:
    """Returns a hash of all that a labeler's labels depend on beside the evidence."""
    try:
        source = file_sha256(Path(inspect.getfile(type(labeler))))
    except (TypeError, OSError):  # written at a prompt
        source = ""
    return content_hash([labeler.name, chosen_options(labeler), source])


def _evidence_hash(evidence: FeatureEvidence, identity: str) -> str:
    digest = hashlib.sha256(f"{identity} {evidence.feature} {evidence.promoted}".encode())
    for examples in (evidence.learning, evidence.selection):
        for array in examples:
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:32]


def _as_record(label: Label) -> dict[str, Any]:
    rule = label.rule and {
        "weights": label.rule.weights.tolist(),
        "threshold": label.rule.threshold,
    }
    return {"text": label.text, "rule": rule, "provenance": dict(label.provenance)}


def _from_record(record: Mapping[str, Any]) -> Label:
    rule = record["rule"]
    if rule:
        rule = Rule(np.array(rule["weights"], np.float32), rule["threshold"])
    return Label(record["text"], rule, record["provenance"])
