"""The figures that a summary may hold; what a run did not measure is None or empty."""

from dataclasses import dataclass, field
from typing import Any

from saetask.report.fields import Interval


@dataclass(frozen=True)
class Change:
    """One arm minus another, over the same items."""

    difference: float | None
    ci95: Interval | None
    fixed: int | None
    """Right in the first arm and wrong in the other; `broken` is the reverse."""
    broken: int | None
    mcnemar_p: float | None
    holm_p: float | None


@dataclass(frozen=True)
class Arm:
    """One arm's figures."""

    name: str
    n: int
    accuracy: float
    ci95: Interval | None
    annotated: int | None
    change: Change
    """From the arm `original` to this one."""
    detectable_difference: float | None
    """The smallest difference that so many items could have shown, at a power of 80 %."""


@dataclass(frozen=True)
class Credit:
    """What the SAE is credited with: saetask minus the best control that has no SAE behind it."""

    control: str
    difference: float
    ci95: Interval | None


@dataclass(frozen=True)
class ProbeAlone:
    """How often the detector's most probable reading is right, no model asked."""

    accuracy: float
    ci95: Interval | None
    n: int | None
    saetask: float | None = None
    """saetask's accuracy over the same items; None in older summaries, which took all items."""


@dataclass(frozen=True)
class Detection:
    """How well a score tells what it should tell."""

    name: str
    auroc: float
    ci95: Interval | None
    n: int | None


@dataclass(frozen=True)
class FeatureEffect:
    """What annotating does to a feature, and what ablating the feature does to the answer."""

    feature: str
    label: str
    n: int | None
    before: float | None
    """Its activation in the original prompt; `after` in the annotated one."""
    after: float | None
    ablation: float | None
    """Change in the log-odds of the answer."""
    random: Interval | None
    """The same for random directions of the same norm: lowest and highest."""
    p: float | None


@dataclass(frozen=True)
class Rounds:
    """Accuracies on the fit split, of annotating once and of going on until nothing is found."""

    one: float | None
    closed_loop: float | None
    used: str


@dataclass(frozen=True)
class Spread:
    """One arm's accuracy under each seed."""

    name: str
    accuracy: list[float | None]
    """In the order of `Summary.seeds`."""
    mean: float | None
    lowest: float | None
    highest: float | None


@dataclass(frozen=True)
class Summary:
    """The figures of a run."""

    experiment: str
    model: dict[str, Any]
    sae: dict[str, Any]
    n_items: int
    seconds: float | None
    seed: int | None
    scoring: str
    fit_data: str
    """The other items that the run was fitted on; "" if it was fitted on folds of its own."""
    arms: dict[str, Arm]
    against: dict[str, Change] = field(default_factory=dict)
    """From each control to saetask."""
    credit: Credit | None = None
    probe_alone: ProbeAlone | None = None
    detection: list[Detection] = field(default_factory=list)
    """Of the model's own wrong answers; `saetask` first if measured, then the baselines."""
    reading_detection: list[Detection] = field(default_factory=list)
    """Of the right reading."""
    second_question: dict[str, Arm] = field(default_factory=dict)
    """Another question about the same items, which the note does not answer."""
    mechanism: list[FeatureEffect] = field(default_factory=list)
    rounds: Rounds | None = None
    seeds: list[str] = field(default_factory=list)
    spread: list[Spread] = field(default_factory=list)
    selection: dict[str, Any] = field(default_factory=dict)
    not_measured: dict[str, str] = field(default_factory=dict)
    """Why the run has no figures of something that runs usually measure, by its name."""
