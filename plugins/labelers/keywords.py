"""Labels made of the words that tell a feature's contexts from others; no language model asked."""

import warnings
from typing import Any

import numpy as np

from saetask import FeatureEvidence, Label, Rule, Vocabulary, promotion_label

FEWEST_EXAMPLES = 12
STRENGTH = 1.0
"""Inverse L1 penalty: some ten to forty words a feature."""
WANTED_PRECISION = 0.96
NAMED = {"on": 4, "after": 3, "about": 4, "on shape": 2, "after shape": 1}
"""How many words of each kind a label names at most."""


class Keywords:
    """An L1 logistic regression over tokens, words and shapes of the context.

    The regression is learnt on build documents; where it cuts is chosen on selection documents,
    so that it is right in `WANTED_PRECISION` of the contexts it claims, and claims as many as it
    can. The label names its heaviest words.
    """

    name = "keywords"

    def label(self, evidence: FeatureEvidence) -> Label:
        """Labels one feature; without enough contexts, by what it promotes alone."""
        promotes = promotion_label(evidence.promoted)
        learning, selection = evidence.learning, evidence.selection
        firing = learning.examples.firing
        few = min(firing.sum(), (~firing).sum()) < FEWEST_EXAMPLES
        if few or not len(selection.examples.firing):
            return Label(promotes, None)
        rule = _learn(learning.atoms, firing)
        cut = _cut(rule.scores(selection.atoms), selection.examples.firing)
        rule = rule._replace(threshold=cut)
        return Label(_text(rule, evidence.vocabulary) or promotes, rule)


def _learn(atoms: Any, firing: np.ndarray) -> Rule:
    from sklearn.linear_model import LogisticRegression

    columns = np.flatnonzero(atoms.getnnz(axis=0) >= 2)
    model = LogisticRegression(C=STRENGTH, l1_ratio=1.0, solver="liblinear", random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(atoms[:, columns], firing)
    used = np.flatnonzero(model.coef_[0])
    return Rule(columns[used], model.coef_[0][used], 0.0)


def _cut(scores: np.ndarray, firing: np.ndarray) -> float:
    """Returns the lowest threshold at which enough of the claimed contexts fire.

    Where none is precise enough, that with the best precision (Laplace's estimate).
    """
    order = np.argsort(-scores, kind="stable")
    claimed = np.arange(1, len(order) + 1)
    right = np.cumsum(firing[order])
    ends = np.append(np.diff(scores[order]) != 0, True)  # contexts of one score go together
    precise = ends & (right >= WANTED_PRECISION * claimed)
    estimate = np.where(ends, (right + 1) / (claimed + 2), 0.0)
    best = np.flatnonzero(precise)[-1] if precise.any() else int(estimate.argmax())
    return float(scores[order][best])


def _text(rule: Rule, vocabulary: Vocabulary) -> str:
    """Names the heaviest atoms of each kind, as `on 'sea', 'ocean'; about 'ship'`."""
    named: dict[str, list[str]] = {}
    for place in np.argsort(-rule.weights):
        if rule.weights[place] <= 0:
            break
        atom = vocabulary.atom(int(rule.columns[place]))
        words = named.setdefault(atom.kind, [])
        if len(words) < NAMED[atom.kind]:
            words.append(
                atom.text if "shape" in atom.kind else repr(atom.text.strip() or atom.text)
            )
    kinds = (kind for kind in NAMED if kind in named)
    parts = (f"{k.removesuffix(' shape')} {', '.join(dict.fromkeys(named[k]))}" for k in kinds)
    return "; ".join(parts)
