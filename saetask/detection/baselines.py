"""Baselines of SAE detectors: the same calibration on other inputs than SAE features.

Dense linear probes usually do as well as probes on SAE features (Kantamneni et al. 2025, arXiv
2502.16681), and a single neuron or the words alone may do. Each baseline is fitted, chosen and
calibrated on the fit split in the way that the detector is.
"""

import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from saetask.data.word_classes import word_classes
from saetask.detection.base import DetectorInput, Finding, Misunderstanding, make_misunderstanding
from saetask.detection.calibration import CHANCE
from saetask.detection.probe_features import (
    COMPARED,
    DEFAULT_PROBE,
    ProbeConfig,
    log_activations,
    raw_activations,
    usable_region_sets,
)
from saetask.detection.stacked_probe import (
    answer_scores,
    fit_stack,
    held_out_loss,
    in_domain_rows,
    known_readings,
    labels_of,
    make_findings,
    out_of_fold,
)

WORDS = "words"


class Setting(NamedTuple):
    """Inputs, and an estimator of scikit-learn for them."""

    extract: Callable[[Sequence[DetectorInput]], Any]
    """Returns `[n, width]`, or texts."""
    make: Callable[[], Any]


class Baseline:
    """A probe that chooses among its settings by grouped inner cross-validation."""

    def __init__(self, name: str, settings: Callable[[DetectorInput], list[Setting]]) -> None:
        """Takes a name, and a function from a prompt to the settings that its regions allow."""
        self.name = name
        self._settings = settings

    def fit(
        self, inputs: Sequence[DetectorInput], gold_readings: Sequence[str], groups: Sequence[str]
    ) -> list[Finding]:
        """Fits the baseline on prompts whose right reading is known; see `Detector`."""
        self.readings = known_readings(gold_readings, groups)
        labels, own = labels_of(gold_readings, self.readings), in_domain_rows(inputs)
        settings, tried = self._settings(inputs[0]), []
        for setting in settings:
            log_odds = _out_of_fold(setting, inputs, labels, groups)
            tried.append((held_out_loss(log_odds[own], labels[own]), log_odds))
        best = int(np.argmin([loss for loss, _ in tried]))
        self._extract, held_out = settings[best].extract, tried[best][1]
        self._estimator = settings[best].make().fit(self._extract(inputs), labels)
        answers = answer_scores(inputs, self.readings)
        chance = CHANCE / len(settings)
        self._stack = fit_stack(held_out[own], answers[own], labels[own], chance)
        return make_findings(inputs, self.readings, self._stack, held_out, answers, self.explain)

    def detect(self, detector_input: DetectorInput) -> Finding:
        """Returns the finding in one prompt."""
        log_odds = _log_odds(self._estimator, self._extract([detector_input]))
        answers = answer_scores([detector_input], self.readings)
        return make_findings(
            [detector_input], self.readings, self._stack, log_odds, answers, self.explain
        )[0]

    def explain(self, detector_input: DetectorInput, reading: str) -> Misunderstanding:
        """Returns the misunderstanding, for which there is no feature as evidence."""
        return make_misunderstanding(self.name, detector_input, reading)


def _log_odds(estimator: Any, design: Any) -> np.ndarray:
    """Returns one column a class, for two classes too."""
    values = np.asarray(estimator.decision_function(design))
    return np.stack([-values, values], axis=1) if values.ndim == 1 else values


def _out_of_fold(
    setting: Setting, inputs: Sequence[DetectorInput], labels: np.ndarray, groups: Sequence[str]
) -> np.ndarray:
    """Returns log-odds `[n, class]` from probes that did not see the item's group."""
    design = setting.extract(inputs)

    def log_odds(fit: np.ndarray, held_out: np.ndarray) -> np.ndarray:
        return _log_odds(setting.make().fit(design[fit], labels[fit]), design[held_out])

    return out_of_fold(labels, groups, log_odds)


def _raw(*regions: str) -> Callable[[Sequence[DetectorInput]], np.ndarray]:
    """Returns the mean raw activations of some regions, side by side."""
    return lambda inputs: np.hstack([raw_activations(inputs, region) for region in regions])


def _spot(detector_input: DetectorInput) -> tuple[str, ...]:
    """Returns the regions closest to what may be misread."""
    return usable_region_sets((COMPARED, ("text", "target"), ("text",)), detector_input.raw)[0]


def _features(*regions: str) -> Callable[[Sequence[DetectorInput]], Any]:
    """Returns the log-activations of every feature in some regions, side by side."""
    from scipy.sparse import csr_matrix, hstack

    return lambda inputs: csr_matrix(
        hstack([log_activations(inputs, region) for region in regions])
    )


def _texts(inputs: Sequence[DetectorInput]) -> np.ndarray:
    spans = [detector_input.spans["text"] for detector_input in inputs]
    texts = [given.content[span.start : span.end] for given, span in zip(inputs, spans)]
    return np.array(texts, dtype=object)


def _dense(detector_input: DetectorInput, config: ProbeConfig) -> list[Setting]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def probe(strength: float) -> Any:
        return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=300))

    return [
        Setting(_raw(*regions), lambda strength=strength: probe(strength))
        for regions in usable_region_sets(config.region_sets, detector_input.raw)
        for strength in config.dense_strengths
    ]


def _difference_in_means(detector_input: DetectorInput) -> list[Setting]:
    return [Setting(_raw(*_spot(detector_input)), _IsotropicDiscriminant)]


class _IsotropicDiscriminant:
    """Linear discriminant analysis with one variance in all directions: differences of means.

    It is what `LinearDiscriminantAnalysis` with `shrinkage=1.0` comes to, which estimates and
    inverts whole covariances nevertheless, and warns of a class with one item.
    """

    def fit(self, design: np.ndarray, labels: np.ndarray) -> "_IsotropicDiscriminant":
        """Takes the means and the pooled variance of classes, from `[n, width]`."""
        design = design.astype(np.float64)
        of_class = [design[labels == label] for label in np.unique(labels)]
        shares = np.array([len(rows) / len(labels) for rows in of_class])
        variance = shares @ np.array([rows.var(axis=0).mean() for rows in of_class])
        means = np.stack([rows.mean(axis=0) for rows in of_class])
        self._weights = means / variance if variance > 0 else np.zeros_like(means)
        self._biases = np.log(shares) - (means * self._weights).sum(1) / 2
        return self

    def decision_function(self, design: np.ndarray) -> np.ndarray:
        """Returns log-odds, up to a constant, `[n, class]`; `[n]`, of the second of two classes."""
        values = design.astype(np.float64) @ self._weights.T + self._biases
        return values[:, 1] - values[:, 0] if values.shape[1] == 2 else values


def _single(extract: Callable[[Sequence[DetectorInput]], Any]) -> list[Setting]:
    from sklearn.feature_selection import SelectKBest
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    def probe() -> Any:
        return make_pipeline(SelectKBest(_separation, k=1), LogisticRegression(max_iter=300))

    return [Setting(extract, probe)]


def _separation(design: Any, labels: np.ndarray) -> np.ndarray:
    """Returns how far each input sets the classes apart, `[width]`; NaN where it never varies."""
    from sklearn.feature_selection import f_classif

    with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Features ")  # that are constant
        # Rounding can make the variance within the classes, if it is zero, a little negative.
        return np.abs(f_classif(design.astype(np.float64), labels)[0])


def _bag_of_words(detector_input: DetectorInput) -> list[Setting]:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    def probe() -> Any:
        # Words of one letter and signs count too: some texts have nothing else.
        words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\w+|[^\w\s]")
        return make_pipeline(words, LogisticRegression(max_iter=300))

    return [Setting(_texts, probe)]


def _class_counts(inputs: Sequence[DetectorInput]) -> np.ndarray:
    """Returns how many words of each of WordNet's classes the spans have, a dict a prompt."""
    rows = []
    for given in inputs:
        counts = Counter({"prompts": 1})
        for name in ("text", "target", "other"):
            if span := given.spans.get(name):
                classes = word_classes(given.content[span.start : span.end])
                counts.update(f"{name} {each}" for each in classes)
        rows.append(dict(counts))
    return np.array(rows, dtype=object)


def _word_classes(detector_input: DetectorInput) -> list[Setting]:
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    return [
        Setting(
            _class_counts, lambda: make_pipeline(DictVectorizer(), LogisticRegression(max_iter=300))
        )
    ]


def dense_probe(config: ProbeConfig = DEFAULT_PROBE) -> Baseline:
    """Returns the linear probe on raw activations."""
    return Baseline("dense-probe", lambda detector_input: _dense(detector_input, config))


def baselines(config: ProbeConfig = DEFAULT_PROBE) -> list[Baseline]:
    """Returns every baseline, unfitted; a random SAE is read by the detector itself."""
    return [
        dense_probe(config),
        Baseline("difference-in-means", _difference_in_means),
        Baseline("best-neuron", lambda detector_input: _single(_raw(*_spot(detector_input)))),
        Baseline("best-feature", lambda detector_input: _single(_features(*_spot(detector_input)))),
        Baseline("bag-of-words", _bag_of_words),
        Baseline(WORDS, _word_classes),
    ]
