"""What steering took and did: the block `steering` of `summary.json`."""

from saetask.report.documents import Count, Document, Number, Text
from saetask.report.figures import PairedDifference


class OtherItems(Document):
    """What steering does to the raw answers of items in which nothing is found."""

    n: Count
    """Number of these items, steered towards their most probable reading."""
    fixed: Count
    """Items whose answer becomes right."""
    broken: Count
    """Items whose answer becomes wrong."""


class SteeredArm(Document):
    """Side effects of an arm that steers."""

    cross_entropy: Number
    """Mean next-token cross-entropy of neutral texts, every token steered, in nats."""
    others: OtherItems
    """Other items, which the arm leaves as they are."""


class SteeringFigures(Document):
    """Strength, size and side effects of steering."""

    strengths: list[Number]
    """Strength by fold, in multiples of the features' typical activation at targets of the fit
    split, on which it was chosen."""
    fit_losses: list[dict[Text, Number]]
    """By fold and strength: mean negative log-probability of the right reading on the fit split, in
    nats."""
    n_features: Count
    """Maximum number of features that are moved."""
    relative_norm: Number | None
    """Mean norm of what is added, as a share of the norm of the mean activation at the target."""
    cross_entropy: Number
    """Mean next-token cross-entropy of the neutral texts without steering, in nats."""
    arms: dict[Text, SteeredArm]
    """Side effects by arm."""
    against: dict[Text, PairedDifference]
    """The arm `steer` minus its controls of the same norm, by raw answers."""
