"""Detection: from a prompt's feature activations to the misunderstandings in it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import numpy as np

from saetask.data.prompts import Span
from saetask.detection.alike_prompts import AlikePrompts
from saetask.detection.known_prompts import NearPrompt
from saetask.inference.ranking import likeliest
from saetask.saes.activations import FeatureActivations
from saetask.saes.concepts import Concept

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


class Evidence(NamedTuple):
    """A feature behind a finding."""

    id: int
    label: str
    activation: float
    """The feature's pooled activation in this prompt."""
    weight: float
    """What a unit of log(1 + activation) adds to the reading's log-odds."""


class ConceptToken(NamedTuple):
    """A token on which a concept's features fire."""

    start: int
    """In the last message's content."""
    end: int
    text: str
    activation: float
    """The strongest activation, on this token, of the concept's features."""
    adds: float = 0.0
    """What those of its features add to the reading's log-odds that fire on no token more."""
    word: str = ""
    """The whole word that it is part of; "" where it is of none."""
    described: bool | None = None
    """Whether the concept's name describes the word; None where a word alone does not tell."""

    def within(self, part: Span) -> "ConceptToken":
        """Returns the piece of the token inside a part of the content, counted from there."""
        start, end = max(self.start, part.start), min(self.end, part.end)
        text = self.text[start - self.start : end - self.start]
        return self._replace(start=start - part.start, end=end - part.start, text=text)


class ConceptEvidence(NamedTuple):
    """A concept that speaks for or against a reading."""

    id: str
    name: str
    """The name as it is shown; see `saetask.saes.Concept.text`."""
    contribution: float
    """What the concept adds to the log-odds of the finding's reading; negative speaks against."""
    verdict: str
    """Whether the name was validated on unseen documents."""
    reading: str
    """The reading that the concept speaks for."""
    tokens: list[ConceptToken]
    """Where its features fire in this prompt and speak as the concept does, what adds most first;
    empty where they speak by firing less than usual."""
    features: list[int]
    """The concept's features that fire in this prompt."""
    contexts: list[str]
    """Up to three contexts of the dictionary in which they fire."""
    fires_less: bool = False
    """Whether it speaks by firing less than in the average prompt."""
    alike: AlikePrompts | None = None
    """Prompts of the fit split in which it fires as much, or as little; None where unknown."""
    less_on: Sequence[str] = ()
    """With `fires_less`, the words on which it fires all the same, where it fires most first;
    without those that its name does not describe."""


class Misunderstanding(NamedTuple):
    """A span that the model is predicted to misread."""

    detector: str
    span: Span
    """In the last message's content."""
    text: str
    reading: str
    """The reading that the features support, which the model's answer does not follow."""
    probability: float
    """Calibrated probability that the model's answer is wrong."""
    features: list[Evidence]
    log_odds: float | None = None
    """Of the reading against another one, by the detector alone; None if it is made of no concepts.
    """
    rest: float | None = None
    """The part of `log_odds` that no listed concept adds: weaker concepts, the form of words, what
    has no name, and what an average prompt gets."""
    concepts: Sequence[ConceptEvidence] = ()
    """Concepts for and against the reading; contributions and `rest` add up to `log_odds`."""
    margin: float | None = None
    """Log-odds of the reading against that of the model's calibrated answer, by the probe alone, in
    nats; None where there is no such answer, or the detector is no probe."""
    unlisted: float | None = None
    """The part of `rest` that named concepts beyond the listed ones add."""
    against: str = ""
    """The reading that `log_odds` is counted against: that of the model's calibrated answer, or,
    where it gives none or this one, the likeliest other one; "" where there is no `log_odds`."""
    nearest: Sequence[NearPrompt] = ()
    """Prompts of the fit split with the most alike evidence, the most alike first; none of the fit
    split's own prompts have any."""
    unnamed_tokens: Sequence[ConceptToken] = ()
    """Where features without a telling name fire that add, together, as what is left of `rest`
    without `unlisted` does; what adds most first."""

    @property
    def kind(self) -> Literal["misreading", "misreport"] | None:
        """What is wrong by the probe's own margin, which sees no right answer.

        `misreport`: the inside supports the finding's reading, and the answer does not say it.
        `misreading`: the inside supports the answer, which is likely to be wrong all the same.
        None where the margin is not known.
        """
        if self.margin is None:
            return None
        return "misreport" if self.margin > 0 else "misreading"

    def within(self, part: Span) -> "Misunderstanding":
        """Returns the misunderstanding with its places counted in a part of the content.

        Tokens that lie outside are left out.
        """

        def inside(tokens: Sequence[ConceptToken]) -> list[ConceptToken]:
            overlapping = (t for t in tokens if t.start < part.end and t.end > part.start)
            return [token.within(part) for token in overlapping]

        return self._replace(
            span=self.span.shifted(-part.start),
            concepts=tuple(c._replace(tokens=inside(c.tokens)) for c in self.concepts),
            unnamed_tokens=inside(self.unnamed_tokens),
        )


class Finding(NamedTuple):
    """A detector's result for one prompt."""

    failure: float
    """Calibrated probability that the model's answer is wrong."""
    misunderstandings: list[Misunderstanding]
    """What is misread, most probable first; empty when the answer agrees with the features."""
    probabilities: Mapping[str, float] = MappingProxyType({})
    """Calibrated probability of each reading that was fitted; a detector must give it."""

    @property
    def leading(self) -> str:
        """The most probable reading, whether or not the model's answer follows it."""
        return max(self.probabilities, key=self.probabilities.__getitem__)


@dataclass(frozen=True)
class DetectorInput:
    """Input of a detector for one prompt. It holds no gold answer, nor anything made from one."""

    activations: FeatureActivations
    """The prompt's feature activations (one prompt)."""
    content: str
    """The last message's content."""
    spans: Mapping[str, Span]
    """Named spans of the content."""
    answer_scores: Mapping[str, float]
    """The model's own log-probability of each reading, from its answer to this prompt."""
    raw: Mapping[str, np.ndarray] = field(default_factory=dict)
    """The mean raw activation of each region at the SAE's hook point, `[d_in]`."""
    auxiliary: bool = False
    """From other data than the run's: a probe may learn from it, but nothing is calibrated or
    chosen by it, and the model was not asked."""
    concepts: Sequence[Concept] = ()
    """Named groups of the SAE's features; none where no dictionary names them."""
    named_features: Sequence[Concept] = ()
    """Single features named for a meaning, as concepts; only for detectors with `uses_concepts`."""
    written_reading: str | None = None
    """The reading that the model's generated answer stands for, "" where it stands for none; None
    where candidates are ranked."""
    computed: dict[Any, Any] = field(default_factory=dict, repr=False)
    """What was computed of the prompt, to be used again; an input with other activations gets an
    empty one."""

    def pooled(self, region: str) -> "csr_matrix":
        """Returns the largest activation of each feature in a region, `[1, d_sae]`."""
        if region not in self.computed:
            self.computed[region] = self.activations.pooled(region)
        return self.computed[region]

    @property
    def text(self) -> str:
        """The text that the prompt asks about."""
        span = self.spans["text"]
        return self.content[span.start : span.end]

    @property
    def answer(self) -> str:
        """The reading that the model's answer stands for; "" where that is not known."""
        if self.written_reading is not None:
            return self.written_reading
        names = list(self.answer_scores)
        best = names[likeliest(self.answer_scores.values(), names, self.content)]
        return best if self.answer_scores[best] > -np.inf else ""


class BaseDetector(Protocol):
    """Protocol of every detector, the baselines included."""

    name: str

    def fit(
        self, inputs: Sequence[DetectorInput], gold_readings: Sequence[str], groups: Sequence[str]
    ) -> list[Finding]:
        """Fits the detector on prompts whose right reading is known.

        Args:
            inputs: The fit split.
            gold_readings: The right reading of each prompt.
            groups: Near-duplicates share a group; inner splits must not cut through one.

        Returns:
            What it finds in each of these prompts when that prompt's group is held out.

        Raises:
            UserError: The fit split has one reading only, or fewer groups than inner folds.
        """
        ...

    def detect(self, detector_input: DetectorInput) -> Finding:
        """Returns the finding in one prompt."""
        ...

    def explain(self, detector_input: DetectorInput, reading: str) -> Misunderstanding:
        """Returns the misunderstanding for a given reading of a prompt, with its evidence.

        Args:
            detector_input: The prompt.
            reading: One of the readings that the detector was fitted on.
        """
        ...


class Detector(BaseDetector, Protocol):
    """Protocol of a detector plugin. It is fitted on the fit split and nothing else.

    It may have more:

    - `uses_auxiliary = True`: it is also fitted on auxiliary samples (`DetectorInput.auxiliary`).
    - `uses_concepts = True`: its fit needs concepts (`DetectorInput.concepts`, `named_features`).
    - `silence: str | None`, after a fit: why nothing can be found by its features, or None.
    """

    def on_features(
        self,
        replacement: Mapping[int, int],
        inputs: Sequence[DetectorInput],
        gold_readings: Sequence[str],
    ) -> "Detector":
        """Returns the same detector with its weights on other features, calibrated anew.

        This is the `moved-weights` control.
        """
        ...

    def feature_ids(self) -> np.ndarray:
        """Returns the features that it uses, ascending."""
        ...

    def summary(self) -> dict[str, Any]:
        """Returns what the fit chose, as JSON, for the report."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Returns the fitted state, as JSON values and numpy arrays."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Sets the fitted state of another instance."""
        ...


def make_finding(
    detector_input: DetectorInput,
    probabilities: Mapping[str, float],
    explain: Callable[[DetectorInput, str], Misunderstanding],
) -> Finding:
    """Returns a finding: a misunderstanding where a reading is more probable than the answer's.

    A reading that none of the item's candidates stands for can not be right. Where the answer's
    reading is not known, the most probable reading is reported.
    """
    scores = detector_input.answer_scores
    possible = {n: p for n, p in probabilities.items() if scores.get(n, -np.inf) > -np.inf}
    if total := sum(possible.values()):
        probabilities = {n: possible.get(n, 0.0) / total for n in probabilities}
    best = max(probabilities, key=probabilities.__getitem__)
    failure = 1 - probabilities.get(detector_input.answer, 0.0)
    if best == detector_input.answer:
        return Finding(failure, [], probabilities)
    misunderstanding = explain(detector_input, best)._replace(probability=failure)
    return Finding(failure, [misunderstanding], probabilities)


def make_misunderstanding(
    detector: str, detector_input: DetectorInput, reading: str, evidence: Sequence[Evidence] = ()
) -> Misunderstanding:
    """Returns the misunderstanding that a prompt's target, or else its text, has a given reading.

    Its probability is that of the whole finding, which the finding fills in.
    """
    span = detector_input.spans.get("target", detector_input.spans["text"])
    text = detector_input.content[span.start : span.end]
    return Misunderstanding(detector, span, text, reading, 0.0, list(evidence))
