"""What a labeler sees of a feature, and what it returns."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from saetask.dictionary.examples import Examples
from saetask.dictionary.rules import Rule, Vocabulary


class FeatureEvidence(NamedTuple):
    """What is known of a feature before its label is tested; no test document is among it."""

    feature: int
    learning: Examples
    """From the build documents."""
    selection: Examples
    """From other documents: for choosing among labels, or where to cut."""
    promoted: list[str]
    """Tokens that the feature promotes most, by logit lens."""
    vocabulary: Vocabulary


class Label(NamedTuple):
    """A label, and the claim that it makes."""

    text: str
    rule: Rule | None
    """Where the feature should fire; None when there is nothing to go by."""
    provenance: Mapping[str, Any] = MappingProxyType({})
    """Where the text comes from beside the labeler's name: a model, a release, what it cost."""
    failed: str = ""
    """Why there is no label, where one was asked for in vain."""


class Labeler(Protocol):
    """What a labeler plugin provides."""

    name: str

    def label(self, evidence: FeatureEvidence) -> Label:
        """Labels one feature."""
        ...
