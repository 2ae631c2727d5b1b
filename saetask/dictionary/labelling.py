"""Labelling every feature of a dictionary."""

import hashlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from saetask.cache import content_hash, file_sha256
from saetask.dictionary.contexts import draw_contexts
from saetask.dictionary.examples import FiringIndex
from saetask.dictionary.in_order import in_order
from saetask.dictionary.journal import Journal
from saetask.dictionary.labels import FeatureEvidence, Label, Labeler, chosen_options
from saetask.dictionary.rules import Rule, Vocabulary

LEARNING_FIRING = 200
LABELS_JOURNAL = "labels.jsonl"
NOT_ASKED = Label("", None)


def label_features(
    learning: FiringIndex,
    selection: FiringIndex,
    neighbours: np.ndarray,
    promoted: Mapping[int, list[str]],
    labeler: Labeler,
    vocabulary: Vocabulary,
    seed: int,
    work: Path | None = None,
    features: Iterable[int] | None = None,
) -> list[Label]:
    """Labels every feature.

    Args:
        learning: Firings on build documents.
        selection: Firings on documents held back for choosing.
        neighbours: The nearest other feature of each, `[d_sae]`.
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

    d_sae = learning.firings.d_sae

    def evidence(feature: int) -> FeatureEvidence:
        learnt, chosen = (
            draw_contexts(index, feature, neighbours, LEARNING_FIRING, vocabulary, [seed, number])
            for number, index in enumerate((learning, selection))
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
        yield from in_order(labeler.label, evidence, workers)
    else:
        with Journal(work / LABELS_JOURNAL) as journal:
            label = partial(_kept_label, labeler.label, journal, _identity(labeler))
            yield from in_order(label, evidence, workers)


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
    for contexts in (evidence.learning, evidence.selection):
        for array in contexts.examples:
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:32]


def _as_record(label: Label) -> dict[str, Any]:
    rule = None
    if label.rule:
        fields = label.rule._asdict()
        rule = {
            name: {"dtype": str(value.dtype), "values": value.tolist()}
            if isinstance(value, np.ndarray)
            else value
            for name, value in fields.items()
        }
    return {"text": label.text, "rule": rule, "provenance": dict(label.provenance)}


def _from_record(record: Mapping[str, Any]) -> Label:
    rule = None
    if record["rule"]:
        fields: dict[str, Any] = {
            name: np.array(value["values"], value["dtype"]) if isinstance(value, dict) else value
            for name, value in record["rule"].items()
        }
        rule = Rule(**fields)
    return Label(record["text"], rule, record["provenance"])
