"""Accuracies of a run's repetitions under other seeds, in `summary.json`."""

from pydantic import model_validator

from saetask.report.documents import Count, Document, Share, Text


class ArmSpread(Document):
    """Accuracy of an arm under several seeds."""

    accuracy: list[Share]
    """Accuracy under each seed, in the order of `seeds`."""
    mean: Share
    """Mean accuracy."""
    min: Share
    """Lowest accuracy."""
    max: Share
    """Highest accuracy."""


class SeedSpread(Document):
    """Repetitions of a run with other folds, samples and control features."""

    seeds: list[Count]
    """Seed of each repetition."""
    arms: dict[Text, ArmSpread]
    """Accuracies of the arms that every repetition ran."""

    @model_validator(mode="after")
    def _check_lengths(self) -> "SeedSpread":
        if any(len(arm.accuracy) != len(self.seeds) for arm in self.arms.values()):
            raise ValueError(f"expected {len(self.seeds)} accuracies an arm, one a seed")
        return self
