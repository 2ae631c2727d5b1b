"""Labels every feature of an SAE, in threads and resumably where the labeler is slow."""

import hashlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from saetask.dictionary.collect.contexts import SplitActivations
from saetask.dictionary.context import DictionaryContext
from saetask.dictionary.label.base import FeatureEvidence, Label, Labeler, chosen_options
from saetask.dictionary.label.rules import Rule
from saetask.utils.files import content_hash, file_sha256
from saetask.utils.journal import Journal
from saetask.utils.parallel import map_ordered
from saetask.utils.progress import counted

LEARNING_CONTEXTS = 300
"""Maximum number of strongly firing contexts that a label is made from."""
LABELS_JOURNAL = "labels.jsonl"
NOT_LABELLED = Label("", None)


def label_features(
    activations: SplitActivations,
    promoted: Mapping[int, list[str]],
    context: DictionaryContext,
    features: Iterable[int] | None = None,
) -> list[Label]:
    """Labels every feature of an SAE.

    Args:
        activations: The SAE's activations.
        promoted: Tokens that each feature promotes.
        context: The dictionary's labeler, vocabulary, seed and working folder; a slow labeler's
            labels are kept there as they arrive.
        features: Features to label, the others get an empty label; None labels all.

    Raises:
        UserError: The labeler gives up; the labels it made before are kept.
    """
    d_sae, seed = activations.learning.d_sae, context.seed

    def evidence(feature: int) -> FeatureEvidence:
        learning = activations.learning.draw(feature, LEARNING_CONTEXTS, [seed, 0])
        selection = activations.selection.draw(feature, LEARNING_CONTEXTS, [seed, 1])
        tokens = promoted[feature]
        return FeatureEvidence(feature, learning, selection, tokens, context.vocabulary, d_sae)

    wanted = range(d_sae) if features is None else sorted(features)
    labels = _labels(context.labeler, map(evidence, wanted), context.work)
    labels = counted(labels, len(wanted), f"label: {context.labeler.name}", "feature")
    by_feature = dict(zip(wanted, labels))
    return [by_feature.get(feature, NOT_LABELLED) for feature in range(d_sae)]


def _labels(labeler: Labeler, evidence: Iterable[FeatureEvidence], work: Path) -> Iterable[Label]:
    """Yields a label for each piece of evidence, in order."""
    workers: int | None = getattr(labeler, "workers", None)
    if workers is None:
        from threadpoolctl import threadpool_limits

        # A regression of one feature is small: threads of its matrix products cost more than they
        # bring, and many times as much where the cores are busy.
        with threadpool_limits(1):
            yield from map(labeler.label, evidence)
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
    """Returns the journal's label for this evidence, or makes the label and records it.

    A failed label is not recorded: it is requested again at the next start.
    """
    key = _evidence_hash(evidence, identity)
    if record := journal.get(key):
        return _from_record(record)
    made = label(evidence)
    if not made.failed:
        journal.add(key, _as_record(made))
    return made


def _identity(labeler: Labeler) -> str:
    """Returns a hash of the labeler's name, options and source code."""
    try:
        source = file_sha256(Path(inspect.getfile(type(labeler))))
    except (TypeError, OSError):  # defined interactively: there is no file
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
