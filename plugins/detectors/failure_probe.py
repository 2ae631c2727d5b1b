"""A logistic probe on feature activations, calibrated against the model's own answer."""

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, hstack

from saetask.detection import (
    CHANCE,
    DEFAULT_PROBE,
    NO_SIGNAL,
    ConceptActivity,
    ConceptTerms,
    DetectorInput,
    Evidence,
    Finding,
    KnownPrompts,
    Misunderstanding,
    ProbeConfig,
    answer_scores,
    concept_activity,
    entries,
    explain_by_concepts,
    fit_stack,
    in_domain_rows,
    known_prompts,
    known_readings,
    labels_of,
    log_activations,
    make_findings,
    make_misunderstanding,
    meaning_owners,
    owned_concepts,
    rival_of,
    strongest_concepts,
    table_of,
    telling_parts,
    usable_region_sets,
    weigh_by_words,
)
from saetask.saes import Concept

from .feature_terms import ProbeColumns, terms_by_concept
from .logistic_probe import column_means, fit_logistic, live_columns
from .probe_choice import ProbeData, most_readable, try_settings
from .stability import STABLE, stability

REGIONS = ("text", "target", "answer", "question", "end", "shared", "apart")
"""A state's columns are counted in this order."""
SPARSE = ("l1", 0.3)
"""Penalty and C of the probes that determine which features are stable."""
NAMED_FEATURES = 5


class FailureProbe:
    """Finds prompts whose features support another reading than the model's answer.

    Logistic regression on log(1 + activation), max-pooled over the prompt's regions, predicts the
    right reading; regions and penalty are chosen by grouped inner cross-validation. Where features
    have concepts, it is then made to rest on those of a few of them, by scaling the activations of
    all other features down, as far as the held-out loss stays as good (`most_readable`): of probes
    that tell as much, the one whose evidence can be told. Activations on words that the name of a
    feature's concept does not describe count less (`undescribed_scale`), so that the name explains
    what the feature adds.

    A second, three-parameter regression joins the probe's out-of-fold log-odds with the model's own
    log-likelihoods (and a bias a reading), so that the probability that the model is wrong is
    calibrated, and features that predict nothing lead to no finding. This is Platt scaling on
    thirds of the fit split in turn: each third is judged by a probe on the two others, and what is
    kept is the probe on all three.

    A finding names features that sparse probes pick again on other halves of the groups (stability
    selection); that changes which are named, and no probability. Where features have concepts, the
    finding also sums up what its features add by concept.
    """

    name = "failure-probe"
    uses_auxiliary = True

    def __init__(self, config: ProbeConfig = DEFAULT_PROBE) -> None:
        self.config = config
        self.readings: list[str] = []
        self.regions: tuple[str, ...] = ()
        self.penalty: tuple[str, float] = ("l2", 0.0)
        self.other_scale = 1.0
        self.undescribed_scale = config.undescribed_scale
        self.d_sae = 0
        self.columns = np.empty(0, np.int64)
        self.means = np.empty(0)
        """Mean log-activation of each column in the fit split."""
        self.activity: ConceptActivity | None = None
        self.known: KnownPrompts | None = None
        self.weights = np.empty((0, 0))
        self.bias = np.empty(0)
        self.stack = np.empty(0)
        self.stability = np.empty((0, 0))
        self.tried: list[dict[str, Any]] = []

    def fit(
        self, inputs: Sequence[DetectorInput], gold_readings: Sequence[str], groups: Sequence[str]
    ) -> list[Finding]:
        """Fits probe and calibration; see the class."""
        self.readings = known_readings(gold_readings, groups)
        self.d_sae = inputs[0].activations.d_sae
        labels, own = labels_of(gold_readings, self.readings), in_domain_rows(inputs)
        known = inputs[0].activations.prompts[0].regions
        by_regions = {
            regions: self._data(inputs, regions, labels, groups, own)
            for regions in usable_region_sets(self.config.region_sets, known)
        }
        trials = [
            trial
            for regions, data in by_regions.items()
            for trial in try_settings(data, regions, self.config)
        ]
        chosen = most_readable(trials)
        self.tried = [trial.row() for trial in trials]
        self.regions, self.penalty, self.other_scale = chosen.setting
        data = by_regions[self.regions]
        self.columns = live_columns(data.design)
        design = csr_matrix(data.design[:, self.columns])
        self.means = column_means(design[own])
        self.activity = self.known = None
        self.weights, self.bias = data.fit(np.arange(len(labels)), self.columns, chosen.setting)
        self.stability = stability(
            self.weights,
            self.columns % self.d_sae,
            labels,
            groups,
            lambda rows, columns: (
                fit_logistic(csr_matrix(design[rows][:, columns]), labels[rows], SPARSE).weights
            ),
        )
        held_out = chosen.log_odds
        answers = answer_scores(inputs, self.readings)
        chance = CHANCE / len(trials)
        self.stack = fit_stack(held_out[own], answers[own], labels[own], chance)
        found = make_findings(inputs, self.readings, self.stack, held_out, answers, self.explain)
        # Only now: findings in the fit split itself show no right readings.
        self._remember([inputs[row] for row in own], design[own], labels[own])
        return found

    def _remember(
        self, inputs: Sequence[DetectorInput], design: csr_matrix, labels: np.ndarray
    ) -> None:
        """Keeps what later findings are compared with: the prompts of the data at hand."""
        telling = telling_parts(design, self.means, self.weights)
        self.known = known_prompts([each.text for each in inputs], telling, labels)
        if concepts := tuple(inputs[0].concepts):
            owners = strongest_concepts(concepts, self.d_sae)[self.columns % self.d_sae]
            ids = [concept.id for concept in concepts]
            self.activity = concept_activity(design, owners, ids, labels)

    def _data(
        self,
        inputs: Sequence[DetectorInput],
        regions: tuple[str, ...],
        labels: np.ndarray,
        groups: Sequence[str],
        own: np.ndarray,
    ) -> ProbeData:
        owners = meaning_owners(tuple(inputs[0].concepts), self.d_sae)
        design = self._pooled(inputs, regions)
        return ProbeData(design, labels, groups, own, np.tile(owners, len(REGIONS)))

    def detect(self, detector_input: DetectorInput) -> Finding:
        """Finds a misunderstanding where a reading is more probable than the model's own."""
        log_odds = self._log_odds([detector_input])
        answers = answer_scores([detector_input], self.readings)
        return make_findings(
            [detector_input], self.readings, self.stack, log_odds, answers, self.explain
        )[0]

    def explain(self, detector_input: DetectorInput, reading: str) -> Misunderstanding:
        """Names the stable features that add most to the reading, against the answer's.

        Where no feature that adds to it is stable, it names those that add most.
        """
        chosen = self.readings.index(reading)
        row = csr_matrix(self._pooled([detector_input], self.regions)[:, self.columns])
        row.sort_indices()
        firing, own = row.indices, self.weights[chosen, row.indices]
        log_odds = (row @ self.weights.T + self.bias)[0]
        rival = rival_of(detector_input, self.readings, chosen, log_odds)
        weights = (own - self.weights[rival, firing]) * self.stack[0]
        added = row.data * weights
        adding = np.argsort(-added, kind="stable")
        adding = adding[added[adding] > 0]
        stable = adding[(self._stable()[chosen, firing] & (own * weights > 0))[adding]]
        evidence: dict[int, Evidence] = {}
        for place in stable if len(stable) else adding:
            feature = int(self.columns[firing[place]] % self.d_sae)
            if len(evidence) == NAMED_FEATURES:
                break
            activation, weight = float(np.expm1(row.data[place])), float(weights[place])
            evidence.setdefault(feature, Evidence(feature, "", activation, weight))
        found = make_misunderstanding(self.name, detector_input, reading, list(evidence.values()))
        if self.known is not None:
            telling = telling_parts(row, self.means, self.weights)
            nearest = self.known.nearest(telling, detector_input.text, self.readings)
            found = found._replace(nearest=nearest)
        if not (concepts := tuple(detector_input.concepts)):
            return found
        parts = self._by_concept(detector_input, row, concepts)
        owned = owned_concepts(concepts, self.d_sae)
        return explain_by_concepts(
            found, detector_input, self.readings, owned, parts, self.regions, self.activity
        )

    def _by_concept(
        self, detector_input: DetectorInput, row: csr_matrix, concepts: tuple[Concept, ...]
    ) -> ConceptTerms:
        """Returns a prompt's log-odds, calibrated, by concept and token.

        Args:
            detector_input: The prompt.
            row: Log-activations of the columns, `[1, column]`.
            concepts: The concepts.
        """
        places, features = np.divmod(self.columns, self.d_sae)
        order = np.array([self.regions.index(r) if r in self.regions else -1 for r in REGIONS])
        values = row.toarray()[0].astype(float)
        columns = ProbeColumns(order[places], features, values, self.means, self.weights)
        weighed = weigh_by_words(detector_input, self.undescribed_scale)
        parts = terms_by_concept(weighed, columns, self.bias, self.regions, concepts)
        scaled = ("log_odds", "terms", "rest", "by_token", "rest_by_token")
        return parts._replace(**{name: self.stack[0] * getattr(parts, name) for name in scaled})

    def _stable(self) -> np.ndarray:
        """Returns which columns are stable, `[class, column]`."""
        return self.stability >= STABLE

    def feature_ids(self) -> np.ndarray:
        """Returns the features with any weight, ascending."""
        return np.unique(self.columns[np.abs(self.weights).sum(0) > 0] % self.d_sae)

    def on_features(
        self,
        replacement: Mapping[int, int],
        inputs: Sequence[DetectorInput],
        gold_readings: Sequence[str],
    ) -> "FailureProbe":
        """Returns a copy with its weights on other features and its calibration fitted anew."""
        moved = copy(self)
        regions, features = np.divmod(self.columns, self.d_sae)
        replaced = [replacement.get(feature, feature) for feature in features.tolist()]
        moved.columns = regions * self.d_sae + np.array(replaced)
        answers = answer_scores(inputs, self.readings)
        labels = labels_of(gold_readings, self.readings)
        own = in_domain_rows(inputs)
        design = csr_matrix(self._pooled(inputs, self.regions)[own][:, moved.columns])
        moved.means = column_means(design)
        moved._remember([inputs[row] for row in own], design, labels[own])
        moved.stack = fit_stack(moved._log_odds(inputs)[own], answers[own], labels[own])
        return moved

    def _log_odds(self, inputs: Sequence[DetectorInput]) -> np.ndarray:
        return self._pooled(inputs, self.regions)[:, self.columns] @ self.weights.T + self.bias

    def _pooled(self, inputs: Sequence[DetectorInput], regions: Sequence[str]) -> csr_matrix:
        """Returns log(1 + |strongest activation|), signed, `[n, region * d_sae]`, by region.

        An activation on a word that the feature's name does not describe counts less.
        """
        weighed = [weigh_by_words(each, self.undescribed_scale) for each in inputs]
        nothing = csr_matrix((len(inputs), self.d_sae))
        blocks = [log_activations(weighed, r) if r in regions else nothing for r in REGIONS]
        return csr_matrix(hstack(blocks))

    def summary(self) -> dict[str, Any]:
        """Returns regions, penalty, and how much features and answer weigh in the calibration."""
        stable = self.columns[self._stable().any(0)] % self.d_sae
        return {
            "regions": list(self.regions),
            "penalty": list(self.penalty),
            "other_scale": self.other_scale,
            "tried": self.tried,
            "n_features": len(self.feature_ids()),
            "n_stable_features": len(np.unique(stable)),
            "weight_of_features": float(self.stack[0]),
            "weight_of_answer": float(self.stack[1]),
        }

    def state_dict(self) -> dict[str, Any]:
        """Returns every attribute that the fit sets; their names are the file format of fits."""
        kept = {k: v for k, v in vars(self).items() if k not in ("config", "activity", "known")}
        return kept | entries(activity=self.activity, known=self.known)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over every attribute that a fit set."""
        tables = {
            "activity": table_of(ConceptActivity, "activity", state),
            "known": table_of(KnownPrompts, "known", state),
        }
        own = vars(self).keys() - tables.keys()
        vars(self).update({k: v for k, v in state.items() if k in own}, **tables)

    @property
    def silence(self) -> str | None:
        """Why nothing can be found by the features; None where they predict something."""
        return NO_SIGNAL if len(self.stack) and self.stack[0] == 0 else None
