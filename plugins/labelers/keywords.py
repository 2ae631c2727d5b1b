"""Labels made of the words that predict a feature's contexts, without a language model."""

import warnings

import numpy as np

from saetask.dictionary import VIEWS, FeatureEvidence, Label, Rule, added_scores, context_vectors
from saetask.saes import promotion_label

FEWEST_EXAMPLES = 12
STRENGTH = 3.0
"""Inverse L2 penalty."""
STEPS = 200
WANTED_LOWER = 0.92
"""Lower end of the Wilson interval (95 %) of the precision that a label aims at."""
NAMED_SHARE = 0.15
"""A view is named when it makes this share of the difference between firing and silent contexts."""
NAMED_WORDS = 4


class Keywords:
    """A logistic regression over the words of the context, each as a vector.

    The regression is learnt on build documents; where it cuts is chosen on selection documents,
    so that it claims as many contexts as it can while being right in nearly all of them. The label
    names the words that count most, view by view.
    """

    name = "keywords"

    def label(self, evidence: FeatureEvidence) -> Label:
        """Labels one feature; without enough contexts, by what it promotes alone."""
        promotes = promotion_label(evidence.promoted)
        learning, selection = evidence.learning, evidence.selection
        few = min(learning.firing.sum(), learning.silent.sum()) < FEWEST_EXAMPLES
        if few or not selection.firing.any():
            return Label(promotes, None)
        weights = _learn(evidence)
        decided = selection.firing | selection.silent
        scores = Rule(weights, 0.0).scores(selection.windows[decided], evidence.vocabulary)
        rule = Rule(weights, _cut(scores, selection.firing[decided]))
        return Label(_text(rule, evidence) or promotes, rule)


def _learn(evidence: FeatureEvidence) -> np.ndarray:
    """Returns the weights of the regression, `[VIEWS*size]`, float32."""
    from sklearn.linear_model import LogisticRegression

    decided = evidence.learning.firing | evidence.learning.silent
    vectors = context_vectors(evidence.learning.windows[decided], evidence.vocabulary)
    model = LogisticRegression(C=STRENGTH, max_iter=STEPS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(vectors, evidence.learning.firing[decided])
    return model.coef_[0].astype(np.float32)


def _cut(scores: np.ndarray, firing: np.ndarray) -> float:
    """Returns the lowest threshold at which the claimed contexts fire surely enough.

    Where none is sure enough, the surest.
    """
    from statsmodels.stats.proportion import proportion_confint

    order = np.argsort(-scores, kind="stable")
    claimed = np.arange(1, len(order) + 1)
    ends = np.append(np.diff(scores[order]) != 0, True)  # contexts of one score go together
    lower, _ = proportion_confint(np.cumsum(firing[order]), claimed, method="wilson")
    lower = np.where(ends, lower, 0.0)
    sure = np.flatnonzero(lower >= WANTED_LOWER)
    return float(scores[order][sure[-1] if len(sure) else lower.argmax()])


def _text(rule: Rule, evidence: FeatureEvidence) -> str:
    """Names the words that set firing contexts apart, as `on 'sea', 'ocean'; about 'ship'`."""
    learning, vocabulary = evidence.learning, evidence.vocabulary
    added = added_scores(rule.weights, learning.windows, vocabulary)
    shares = learning.firing / learning.firing.sum() - learning.silent / learning.silent.sum()
    added *= shares[:, None, None]
    tokens = np.maximum(learning.windows, 0)
    rarity = _rarity(tokens[learning.silent], len(vocabulary.texts))
    rarity[vocabulary.special] = 0
    parts: list[tuple[float, str]] = []
    for kind in dict.fromkeys(VIEWS):
        of_kind = added[:, [view == kind for view in VIEWS]].sum(1)
        weight = np.bincount(tokens.ravel(), of_kind.ravel(), len(rarity)) * rarity
        weighty = np.flatnonzero(weight > 0)  # few of a large vocabulary
        heaviest = weighty[np.argsort(-weight[weighty], kind="stable")[:50]].tolist()
        texts = (vocabulary.texts[token] for token in heaviest)
        words = list(dict.fromkeys(text.strip().lower() or text for text in texts))
        if words and of_kind.sum() >= NAMED_SHARE * added.sum():
            parts.append((of_kind.sum(), f"{kind} {', '.join(map(repr, words[:NAMED_WORDS]))}"))
    return "; ".join(text for _, text in sorted(parts, key=lambda part: -part[0]))


def _rarity(tokens: np.ndarray, n_tokens: int) -> np.ndarray:
    """Returns the logarithm of how rarely a context shows each token (TF-IDF's second factor)."""
    shown = np.bincount(np.concatenate([np.unique(row) for row in tokens]), minlength=n_tokens)
    return np.log((1 + len(tokens)) / (1 + shown))
