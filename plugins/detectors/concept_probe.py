"""A sparse logistic probe on the activations of named concepts, which is its own explanation."""

from collections.abc import Mapping, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np
from einops import rearrange
from scipy.sparse import csr_matrix

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
    entries,
    explain_by_concepts,
    fit_stack,
    held_out_loss,
    in_domain_rows,
    known_prompts,
    known_readings,
    labels_of,
    log_activations,
    make_findings,
    make_misunderstanding,
    rival_of,
    table_of,
    telling_parts,
    token_shares,
    usable_region_sets,
)
from saetask.saes import Concept, concept_activations, concept_weights

from .concept_selection import (
    SIZES,
    ConceptSetting,
    ConceptWeights,
    candidate_concepts,
    fit_weights,
    held_out_by_setting,
    order_of_entry,
)

if TYPE_CHECKING:
    from jaxtyping import Float64

NAMED_FEATURES = 5


class ConceptProbe:
    """Finds prompts whose concepts support another reading than the model's answer.

    Logistic regression on the activations of at most 16 concepts, each in one or more regions of
    the prompt, predicts the right reading. Concepts are single features whose name was validated,
    and groups of features by name; those of the mere form of words are left out, and so are
    contrasts between examples, which would repeat the question. They are the first on the path of
    an L1-penalised probe; the regression on them has an L2 penalty. (Forward selection by held-out
    loss did worse on the built-in metaphors, 0.914 against 0.938 AUROC, and took 30 times as long.)
    Regions, number of concepts and penalty are chosen by grouped inner cross-validation, and
    within each of its folds the concepts are chosen anew. Calibration and the test for chance are
    those of `failure-probe`.

    The log-odds of a reading are exactly the sum of what each concept adds and of the bias. A
    concept adds its weight times what its activation has beyond its mean in the fit split, as some
    fire in nearly every prompt. One that speaks by firing less has no tokens.

    A control that reads through other features gets random ones of them in the place of the
    concepts; see `saetask.experiments.known_concepts`.
    """

    name = "concept-probe"
    uses_auxiliary = True
    uses_concepts = True

    def __init__(self, config: ProbeConfig = DEFAULT_PROBE) -> None:
        self.config = config
        self.readings: list[str] = []
        self.regions: tuple[str, ...] = ()
        self.concepts: tuple[Concept, ...] = ()
        self.probe = ConceptWeights(np.empty((0, 0, 0)), np.empty(0))
        self.means = np.empty((0, 0))
        """Mean activation of each concept in the fit split, `[region, concept]`."""
        self.activity: ConceptActivity | None = None
        self.known: KnownPrompts | None = None
        self.stack = np.empty(0)
        self.tried: list[dict[str, Any]] = []
        self.n_candidate_features = 0

    def fit(
        self, inputs: Sequence[DetectorInput], gold_readings: Sequence[str], groups: Sequence[str]
    ) -> list[Finding]:
        """Fits probe and calibration; see the class.

        Raises:
            UserError: There are no concepts; see also `BaseDetector.fit`.
        """
        self.readings = known_readings(gold_readings, groups)
        known = candidate_concepts(inputs)
        self.n_candidate_features = len({f for concept in known for f in concept.features})
        labels, own = labels_of(gold_readings, self.readings), in_domain_rows(inputs)
        best, held_out = np.inf, np.zeros((len(labels), len(self.readings)))
        strengths = [strength for kind, strength in self.config.penalties if kind == "l2"]
        choice, self.tried = ConceptSetting(SIZES[0], strengths[0]), []
        for regions in usable_region_sets(
            self.config.region_sets, inputs[0].activations.prompts[0].regions
        ):
            design = _design(inputs, regions, known)
            for setting, log_odds in held_out_by_setting(design, labels, groups, strengths).items():
                loss = held_out_loss(log_odds[own], labels[own])
                tried = {"regions": list(regions), **setting._asdict(), "fit_loss": loss}
                self.tried.append(tried)
                if loss < best:
                    best, self.regions, choice, held_out = loss, regions, setting, log_odds
        design = _design(inputs, self.regions, known)
        chosen = order_of_entry(design, labels)[: choice.n_concepts]
        self.concepts = tuple(known[number] for number in chosen)
        self.means = design[own][:, :, chosen].mean(0)
        self.activity = self.known = None
        self.probe = fit_weights(design[:, :, chosen], labels, choice.strength)
        answers = answer_scores(inputs, self.readings)
        chance = CHANCE / len(self.tried)
        self.stack = fit_stack(held_out[own], answers[own], labels[own], chance)
        found = make_findings(inputs, self.readings, self.stack, held_out, answers, self.explain)
        # Only now: findings in the fit split itself show no right readings.
        self._remember([inputs[row] for row in own], design[own][:, :, chosen], labels[own])
        return found

    def _remember(
        self, inputs: Sequence[DetectorInput], design: np.ndarray, labels: np.ndarray
    ) -> None:
        """Keeps what later findings are compared with: the prompts of the data at hand."""
        ids = [concept.id for concept in self.concepts]
        self.activity = ConceptActivity(design.sum(1).astype(np.float32), labels, ids)
        texts = [each.text for each in inputs]
        self.known = known_prompts(texts, self._telling(design), labels)

    def _telling(self, design: np.ndarray) -> csr_matrix:
        """Returns what the concepts of prompts tell, `[n, region * concept]`."""
        flat = csr_matrix(rearrange(design, "n region concept -> n (region concept)"))
        weights = rearrange(
            self.probe.weights, "reading region concept -> reading (region concept)"
        )
        return telling_parts(flat, self.means.ravel(), weights)

    def detect(self, detector_input: DetectorInput) -> Finding:
        """Finds a misunderstanding where a reading is more probable than the model's own."""
        log_odds = self._log_odds([detector_input])
        answers = answer_scores([detector_input], self.readings)
        return make_findings(
            [detector_input], self.readings, self.stack, log_odds, answers, self.explain
        )[0]

    def explain(self, detector_input: DetectorInput, reading: str) -> Misunderstanding:
        """Names the concepts for and against the reading, and the features that add most."""
        design = _design([detector_input], self.regions, self.concepts)
        beyond = design[0] - self.means
        parts = ConceptTerms(
            log_odds=self.stack[0] * self.probe.log_odds(design)[0],
            terms=self.stack[0] * (self.probe.weights * beyond).sum(1),
            rest=self.stack[0] * self.probe.log_odds(self.means[None])[0],
            by_token=self.stack[0] * self._by_token(detector_input),
            fires_less=np.flatnonzero(beyond.sum(0) < 0).tolist(),
            activity=design[0].sum(0),
        )
        chosen = self.readings.index(reading)
        rival = rival_of(detector_input, self.readings, chosen, parts.log_odds)
        evidence = self._features(detector_input, chosen, rival)
        found = make_misunderstanding(self.name, detector_input, reading, evidence)
        if self.known is not None:
            text = detector_input.text
            nearest = self.known.nearest(self._telling(design), text, self.readings)
            found = found._replace(nearest=nearest)
        return explain_by_concepts(
            found, detector_input, self.readings, self.concepts, parts, self.regions, self.activity
        )

    def _by_token(
        self, detector_input: DetectorInput
    ) -> "Float64[np.ndarray, 'class concept token']":
        """Returns what each concept adds at each token, the mean not taken off."""
        of_concepts, total = concept_weights(self.concepts, detector_input.activations.d_sae), 0.0
        for place, region in enumerate(self.regions):
            row: Any = log_activations([detector_input], region)
            shares = token_shares(detector_input, region)
            firing: Any = shares.multiply(row.toarray()) @ of_concepts
            total = total + self.probe.weights[:, place, :, None] * firing.toarray().T[None]
        return np.asarray(total)

    def _features(self, detector_input: DetectorInput, chosen: int, rival: int) -> list[Evidence]:
        """Returns the features that add most to a reading: their weights are their concepts'."""
        weights = self.stack[0] * (self.probe.weights[chosen] - self.probe.weights[rival])
        by_feature = concept_weights(self.concepts, detector_input.activations.d_sae)
        added: dict[int, tuple[float, Evidence]] = {}
        for region, of_concepts in zip(self.regions, weights):
            row, own = log_activations([detector_input], region), by_feature @ of_concepts
            for feature, value in zip(row.indices.tolist(), row.data.tolist()):
                term, weight = value * own[feature], float(own[feature])
                if term > added.get(feature, (0.0,))[0]:
                    activation = float(np.expm1(value))
                    added[feature] = term, Evidence(feature, "", activation, weight)
        strongest = sorted(added.values(), key=lambda pair: -pair[0])[:NAMED_FEATURES]
        return [evidence for _, evidence in strongest]

    def feature_ids(self) -> np.ndarray:
        """Returns the features of the chosen concepts, ascending."""
        features = [feature for concept in self.concepts for feature in concept.features]
        return np.unique(np.array(features, dtype=np.int64))

    def on_features(
        self,
        replacement: Mapping[int, int],
        inputs: Sequence[DetectorInput],
        gold_readings: Sequence[str],
    ) -> "ConceptProbe":
        """Returns a copy with other features in each concept and its calibration fitted anew.

        Such a group of features is no concept: it has no examples, and its name says so.
        """
        moved = copy(self)
        moved.concepts = tuple(
            concept._replace(
                id=f"moved:{concept.id}",
                name=f"features in place of '{concept.name}'",
                features=tuple(replacement.get(f, f) for f in concept.features),
                verdict="not validated",
                words=(),
                examples=(),
            )
            for concept in self.concepts
        )
        answers, own = answer_scores(inputs, self.readings), in_domain_rows(inputs)
        labels = labels_of(gold_readings, self.readings)
        moved.stack = fit_stack(moved._log_odds(inputs)[own], answers[own], labels[own])
        of_data = [inputs[row] for row in own]
        moved._remember(of_data, _design(of_data, self.regions, moved.concepts), labels[own])
        return moved

    def _log_odds(self, inputs: Sequence[DetectorInput]) -> "Float64[np.ndarray, 'n class']":
        return self.probe.log_odds(_design(inputs, self.regions, self.concepts))

    def summary(self) -> dict[str, Any]:
        """Returns regions, concepts with their weights, and how much each part weighs."""
        return {
            "regions": list(self.regions),
            "tried": self.tried,
            "n_concepts": len(self.concepts),
            "n_stable_features": self.n_candidate_features,
            "concepts": [
                {"id": concept.id, "name": concept.text, "weights": self._named_weights(number)}
                for number, concept in enumerate(self.concepts)
            ],
            "weight_of_features": float(self.stack[0]),
            "weight_of_answer": float(self.stack[1]),
        }

    def _named_weights(self, number: int) -> dict[str, dict[str, float]]:
        """Returns a concept's weights by reading and region."""
        return {
            reading: dict(zip(self.regions, of_class[:, number].tolist()))
            for reading, of_class in zip(self.readings, self.probe.weights)
        }

    def state_dict(self) -> dict[str, Any]:
        """Returns all that the fit sets; the keys are the file format of fits."""
        return {
            "readings": self.readings,
            "regions": list(self.regions),
            "concepts": [concept._asdict() for concept in self.concepts],
            "weights": self.probe.weights,
            "bias": self.probe.bias,
            "means": self.means,
            **entries(activity=self.activity, known=self.known),
            "stack": self.stack,
            "tried": self.tried,
            "n_candidate_features": self.n_candidate_features,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over all that a fit set."""
        self.readings, self.regions = list(state["readings"]), tuple(state["regions"])
        self.concepts = tuple(_concept(values) for values in state["concepts"])
        self.probe = ConceptWeights(state["weights"], state["bias"])
        self.means = state["means"]
        self.activity = table_of(ConceptActivity, "activity", state)
        self.known = table_of(KnownPrompts, "known", state)
        self.stack, self.tried = state["stack"], list(state["tried"])
        self.n_candidate_features = state["n_candidate_features"]

    @property
    def silence(self) -> str | None:
        """Why nothing can be found by the concepts; None where they predict something."""
        return NO_SIGNAL if len(self.stack) and self.stack[0] == 0 else None


def _concept(values: Mapping[str, Any]) -> Concept:
    """Returns a concept from its JSON values, whose lists are tuples again."""
    read: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }
    return Concept(**read)


def _design(
    inputs: Sequence[DetectorInput], regions: Sequence[str], concepts: Sequence[Concept]
) -> "Float64[np.ndarray, 'n region concept']":
    """Returns the activation of each concept in each region."""
    by_region = [concept_activations(log_activations(inputs, r), concepts) for r in regions]
    return np.stack(by_region, axis=1)
