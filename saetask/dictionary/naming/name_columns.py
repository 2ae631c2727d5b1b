"""Columns of names in the features table."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from saetask.dictionary.collect.contexts import ActivationIndex
from saetask.dictionary.naming.battery import OWN_WORDS, Predicate
from saetask.dictionary.naming.concept_trials import NamedSplit
from saetask.dictionary.naming.feature_names import FeatureNames
from saetask.dictionary.naming.name_trials import NameTrial
from saetask.dictionary.naming.telling_words import telling_words

if TYPE_CHECKING:
    import pyarrow


def with_names(
    table: "pyarrow.Table",
    names: FeatureNames,
    trials: Sequence[NameTrial],
    index: ActivationIndex,
    split: NamedSplit,
) -> "pyarrow.Table":
    """Returns a features table with the columns of names, in place of earlier ones.

    Args:
        table: The table.
        names: The predicate of each feature.
        trials: How each did on unseen documents.
        index: Activations on the build documents, whence telling words are taken.
        split: The same documents.
    """
    import pyarrow

    predicates = split.predicates.predicates
    chosen = [predicates[p] if p >= 0 else None for p in names.predicate.tolist()]
    texts, numbers = pyarrow.string(), pyarrow.float32()
    columns = {
        "name": pyarrow.array([p and p.name for p in chosen], texts),
        "name_source": pyarrow.array([p and p.id for p in chosen], texts),
        "name_auroc": pyarrow.array([trial.auroc for trial in trials], numbers),
        "name_null": pyarrow.array(names.null, numbers),
        "name_verdict": pyarrow.array([trial.verdict for trial in trials], texts),
        "name_recall": pyarrow.array([trial.recall for trial in trials], numbers),
        "name_precision": pyarrow.array([trial.precision for trial in trials], numbers),
        "name_words": pyarrow.array(_words(chosen, index, split), pyarrow.list_(texts)),
    }
    table = table.drop_columns([name for name in columns if name in table.column_names])
    for name, column in columns.items():
        table = table.append_column(name, column)
    return table


def _words(
    chosen: Sequence[Predicate | None], index: ActivationIndex, split: NamedSplit
) -> list[list[str]]:
    """Returns the telling words of each feature's name; a name of its own words has no more."""
    sources = {p.source: split.source(p) for p in chosen if p and p.source != OWN_WORDS}
    words: list[list[str]] = []
    for feature, predicate in enumerate(chosen):
        of_class = predicate is not None and predicate.source != OWN_WORDS
        firing = index.tokens_firing(feature) if of_class else np.empty(0, np.int64)
        if not predicate or not len(firing):
            words.append([])
            continue
        values = index.values_at(feature, firing)
        source = sources[predicate.source]
        words.append(list(telling_words(predicate, split.tokens, source, firing, values)))
    return words
