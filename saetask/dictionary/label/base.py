"""What a labeler sees of a feature, and what it returns."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from saetask.dictionary.collect.contexts import Examples
from saetask.dictionary.label.rules import Rule, Vocabulary
from saetask.utils.plugin_options import with_options


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
    n_features: int
    """How many features the SAE has."""


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
    """What a labeler plugin provides.

    It may have more:

    - Options; see `Configurable`. `chosen: Mapping[str, str]` are those that its labels depend on.
    - `workers: int`: the number of features labelled at a time, in threads, for labels that come
      slowly from elsewhere; an interrupted build keeps the labels it had.
    - `in_words = True`: its labels never have a rule, so that only a judge can try them.
    """

    name: str

    def label(self, evidence: FeatureEvidence) -> Label:
        """Labels one feature."""
        ...


def configured(labeler: Labeler, options: Mapping[str, Any]) -> Labeler:
    """Returns the labeler with options set.

    Raises:
        UserError: It has no such option, needs one that is not given, or a value does not fit.
    """
    return with_options("labeler", labeler, options)


def chosen_options(labeler: Labeler) -> dict[str, str]:
    """Returns the options that a labeler's labels depend on."""
    return dict(getattr(labeler, "chosen", {}))


def is_in_words(labeler: Labeler) -> bool:
    """Tells whether a labeler's labels are words without rules."""
    return getattr(labeler, "in_words", False)


def label_figures(labels: Sequence[Label], options: Mapping[str, str]) -> dict[str, Any]:
    """Returns how many features were labelled, by what, and the tokens of the answers kept."""
    models = {label.provenance["model"] for label in labels if "model" in label.provenance}
    figures: dict[str, Any] = {
        "labelled": sum(bool(label.text) for label in labels),
        "failed": sum(bool(label.failed) for label in labels),
        "model": ", ".join(sorted(models)) or None,
        "options": dict(options),
    }
    for name in ("prompt_tokens", "completion_tokens"):
        figures[name] = sum(label.provenance.get(name, 0) for label in labels)
    return figures
