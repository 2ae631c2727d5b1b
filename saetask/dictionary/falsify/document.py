"""The document that `saetask dictionary falsify` writes (`falsification.json`)."""

from saetask.dictionary.documents import Document
from saetask.dictionary.manifest import ModelIdentity, SAEIdentity

FALSIFICATION = "falsification.json"
SCHEMA_VERSION = 1


class SkippedEntry(Document):
    """A test that could not be run."""

    finding: str
    """`no contexts` or `no texts`."""
    reason: str
    """Why it could not be run."""


class StrategyEntry(Document):
    """Result of injecting tokens at one kind of place; see `injection.StrategyResult`."""

    strategy: str
    """Kind of place."""
    difference: float
    """Mean difference of the strongest activation from control tokens, in median activations."""
    injected_share: float
    """Share of texts in which the feature's tokens make it fire."""
    control_share: float
    """Share of texts in which control tokens do."""
    p_value: float
    """One-sided, corrected for the number of strategies."""


class InjectionEntry(Document):
    """Result of injecting a feature's frequent tokens into texts."""

    finding: str
    """`token-driven`, `not token-driven` or `undecided`."""
    n_texts: int
    """Number of texts."""
    best: str
    """The strategy with the strongest effect."""
    p_value: float
    """That of the best strategy."""
    strategies: list[StrategyEntry]
    """Results by strategy."""
    q_value: float
    """The p-value, corrected for the number of features."""


class AblationEntry(Document):
    """Effect of editing a feature on the log-probability of the next tokens (nats a token)."""

    finding: str
    """`causal` or `no effect shown`."""
    n_texts: int
    """Number of texts."""
    ablated: float
    """Mean effect of removing the feature."""
    amplified: float
    """Mean effect of adding it once more."""
    random: float
    """Mean effect of edits in random directions."""
    random_range: list[float]
    """Lowest and highest effect of a single random direction."""
    ablated_p: float
    """p-value of the ablation, corrected for there being two edits."""
    amplified_p: float
    """p-value of the amplification, corrected likewise."""
    q_value: float
    """The smaller p-value, corrected for the number of features."""


class ParaphraseEntry(Document):
    """Result of paraphrasing texts in which a feature fires, and texts in which it is silent."""

    finding: str
    """`keeps firing`, `falls silent` or `undecided`."""
    n_firing: int
    """Number of paraphrases of texts in which it fires."""
    n_silent: int
    """Number of paraphrases of texts in which it is silent."""
    firing_share: float
    """Share of the former in which it fires."""
    silent_share: float
    """Share of the latter in which it fires."""
    kept_words: float
    """Mean share of words kept."""
    failed: int
    """Number of paraphrases that are missing."""
    p_value: float
    """One-sided."""
    q_value: float
    """The p-value, corrected for the number of features."""


class CounterexampleEntry(Document):
    """Result of reading pairs of texts written to fit a label and to resemble those."""

    finding: str
    """`holds`, `falsified` or `undecided`."""
    n_pairs: int
    """Number of different pairs."""
    fitting_share: float
    """Share of fitting texts in which the feature fires."""
    resembling_share: float
    """Share of resembling texts in which it fires."""
    failed: int
    """Number of pairs that are missing."""
    p_value: float
    """One-sided."""
    q_value: float
    """The p-value, corrected for the number of features."""


class GeneratedTextEntry(Document):
    """Results of the tests on texts that a language model wrote."""

    paraphrase: ParaphraseEntry | SkippedEntry
    """Test of the feature."""
    counterexample: CounterexampleEntry | SkippedEntry
    """Test of the label."""


class FeatureEntry(Document):
    """All tests of one feature."""

    feature: int
    """Its number."""
    label: str
    """Its label."""
    injection: InjectionEntry | SkippedEntry
    """Test by injected tokens."""
    ablation: AblationEntry | SkippedEntry
    """Test by editing the feature."""
    writing: GeneratedTextEntry | None = None
    """Tests on generated texts; absent without a writer."""


class FalsificationSettings(Document):
    """Settings of the tests."""

    features: list[int]
    """Features tested."""
    texts: int
    """Maximum number of texts of each kind for a feature."""
    data: str | None
    """File of texts; null for the dictionary's own contexts."""
    seed: int
    """Seed of texts, tokens and directions."""
    pieces: int
    """Number of tokens or bigrams injected into a text."""
    directions: int
    """Number of random directions."""
    horizon: int
    """Number of tokens after a firing whose log-probability is measured."""
    texts_read: int
    """Number of texts that were read through the SAE."""


class WriterFigures(Document):
    """Cost of the language model that wrote texts."""

    model: str
    """Its name."""
    questions: int
    """Number of requests."""
    failed: int
    """Number of requests without a usable answer."""
    prompt_tokens: int
    """Tokens that it read."""
    completion_tokens: int
    """Tokens that it wrote."""


class Falsification(Document):
    """Tests of some features of a dictionary."""

    schema_version: int
    """Version of this format."""
    model: ModelIdentity
    """The model that the dictionary was built with."""
    sae: SAEIdentity
    """The SAE that it describes."""
    settings: FalsificationSettings
    """Settings of the tests."""
    features: list[FeatureEntry]
    """One entry for each feature."""
    writer: WriterFigures | None = None
    """The writer; absent without one."""
