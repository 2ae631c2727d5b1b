"""The manifest of a dictionary (`manifest.json`): corpus, labels and their validation."""

from typing import Any

from saetask.data.corpus import Split
from saetask.dictionary.documents import Document

SCHEMA_VERSION = 1


class ModelIdentity(Document):
    """The model that a dictionary was built with."""

    name: str
    """Its name, as it was loaded."""
    fingerprint: str
    """Hash of its configuration and weights."""


class SAEIdentity(Document):
    """The SAE that a dictionary describes."""

    hook_name: str
    """Where in the model it reads."""
    d_sae: int
    """Number of its features."""
    fingerprint: str
    """Hash of its configuration and weights."""


class SampleSize(Document):
    """Size of the sample rows of one split of documents."""

    rows: int
    """Number of rows."""
    tokens: int
    """Number of tokens in them."""
    documents: int
    """Number of documents that they are from."""


class CorpusSummary(Document):
    """The corpus that was read."""

    sources: list[str]
    """File names or hub ids of its sources."""
    tokens: int
    """Number of build tokens that statistics were taken from."""
    samples: dict[Split, SampleSize]
    """Rows that labels were made, chosen and validated on, by split."""
    rows_passed_over: int = 0
    """Number of rows of the sources that are null; the key is left out where there are none."""


class LabelFigures(Document):
    """Number and cost of the labels."""

    labelled: int
    """Number of features with a label."""
    failed: int
    """Number of features that the labeler failed to label."""
    model: str | None
    """The language model that wrote the labels, if any."""
    options: dict[str, Any]
    """The labeler's options that labels depend on."""
    prompt_tokens: int
    """Tokens that the language model read."""
    completion_tokens: int
    """Tokens that it wrote."""


class JudgeFigures(Document):
    """Accuracy and cost of the language model that judged labels."""

    model: str
    """Its name."""
    n_drawn: int
    """Number of features drawn to be judged."""
    n_unlabelled: int
    """Number of those without a label."""
    detection_accuracy: float | None
    """Mean balanced accuracy on unmarked contexts."""
    fuzzing_accuracy: float | None
    """Mean balanced accuracy on marked contexts."""
    questions: int
    """Number of questions asked."""
    failed: int
    """Number of questions without a usable answer."""
    prompt_tokens: int
    """Tokens that it read."""
    completion_tokens: int
    """Tokens that it wrote."""


class ValidationFigures(Document):
    """Result of validating the labels of one SAE's features; see `verdicts.py` for criteria."""

    n_features: int
    """Number of features."""
    n_tested: int
    """Number of features with enough strongly firing contexts for a verdict."""
    verdicts: dict[str, int]
    """Number of features by verdict."""
    validated_share: float
    """Share of tested labels that were validated."""
    precise_share: float
    """Share of tested labels that reach the precision, whatever their recall."""
    n_chosen: int
    """Number of labels that did well on selection documents already."""
    chosen_validated_share: float
    """Share of those that were validated."""
    mean_precision: float
    """Mean precision of tested labels."""
    mean_recall: float
    """Mean recall of tested labels."""
    coverage: float
    """Share of all firings that validated labels claim."""
    precision_floor: float
    """Precision that a validated label must reach."""
    recall_floor: float
    """Recall that a validated label must reach."""
    judge: JudgeFigures | None
    """The judge, if there was one."""


class Validation(ValidationFigures):
    """Result of validating a dictionary, and of its controls."""

    controls: dict[str, ValidationFigures]
    """The same figures of the random SAE and of a model with shuffled weights, by name."""


class NamingFigures(Document):
    """How the names of one SAE's features do on unseen documents."""

    n_live: int
    """Number of features that fire often enough to be named."""
    named_share: float
    """Share of these with a name."""
    validated_share: float
    """Share of these whose name is validated."""
    weak_share: float = 0.0
    """Share of these whose name tells a little of where they fire and is not validated; of random
    features that is said more often."""
    coverage: float
    """Share of all firings at which a validated name of the feature holds."""
    mean_precision: float
    """Of validated names: share of the tokens where the name holds on which the feature fires."""
    mean_recall: float
    """Of validated names: share of the feature's firings at which the name holds."""
    auroc_floor: float
    """Area under the curve that a validated name must reach, half of the silent tokens hard."""
    n_concepts: int
    """Number of concepts."""
    n_concepts_validated: int
    """Number of those that were validated."""


class Naming(NamingFigures):
    """Result of naming a dictionary's features, and of its control."""

    controls: dict[str, NamingFigures]
    """The same figures of the random SAE, by name."""


class Manifest(Document):
    """Sources of a dictionary, and the figures of its labels."""

    schema_version: int
    """Version of this format."""
    model: ModelIdentity
    """The model."""
    sae: SAEIdentity
    """The SAE."""
    corpus: CorpusSummary
    """The corpus."""
    labeler: str
    """Name of the labeler plugin."""
    labels: LabelFigures
    """Number and cost of the labels."""
    seed: int
    """Seed of the examples drawn and of the random control."""
    n_features: int
    """Number of features."""
    n_alive: int
    """Number of features that fired on a build token."""
    validation: Validation | None
    """Figures of `saetask dictionary validate`; null before it ran."""
    naming: Naming | None = None
    """Figures of `saetask dictionary name`; the key is left out before it ran."""
