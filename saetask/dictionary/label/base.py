"""The labeler interface: evidence about a feature in, a label out."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from saetask.dictionary.collect.contexts import Examples
from saetask.dictionary.label.rules import Rule, Vocabulary
from saetask.dictionary.manifest import LabelFigures
from saetask.utils.plugin_options import with_options


class FeatureEvidence(NamedTuple):
    """Input of a labeler for one feature; none of it is from a test document."""

    feature: int
    learning: Examples
    """From the build documents."""
    selection: Examples
    """From other documents: to choose among labels, or a rule's threshold."""
    promoted: list[str]
    """Tokens that the feature promotes most, by the logit lens."""
    vocabulary: Vocabulary
    n_features: int
    """Number of features of the SAE."""


class Label(NamedTuple):
    """A label in words, and the rule that predicts where the feature fires."""

    text: str
    rule: Rule | None
    """Predicts where the feature fires; None where the label has no rule."""
    provenance: Mapping[str, Any] = MappingProxyType({})
    """Origin of the text beside the labeler's name: a model, a release, its cost in tokens."""
    failed: str = ""
    """Why there is no label, where the labeler failed to make one."""


class Labeler(Protocol):
    """Protocol of a labeler plugin.

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
    """Returns whether a labeler's labels never have a rule."""
    return getattr(labeler, "in_words", False)


def label_figures(labels: Sequence[Label], options: Mapping[str, Any]) -> LabelFigures:
    """Returns the number of labels, the model that wrote them, and the tokens that they cost."""
    models = {label.provenance["model"] for label in labels if "model" in label.provenance}
    prompt_tokens, completion_tokens = (
        sum(label.provenance.get(name, 0) for label in labels)
        for name in ("prompt_tokens", "completion_tokens")
    )
    return LabelFigures(
        labelled=sum(bool(label.text) for label in labels),
        failed=sum(bool(label.failed) for label in labels),
        model=", ".join(sorted(models)) or None,
        options=dict(options),
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
    )
