"""Tests of features on texts that a language model writes: paraphrases and counterexamples."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from saetask.compute.executor import Executor, LocalExecutor
from saetask.data.corpus import TokenRow
from saetask.data.tokenization import bos_ids, text_ids
from saetask.dictionary.falsify.base import (
    MIN_TEXTS,
    NEVER_FIRED,
    FalsifyConfig,
    FeatureUnderTest,
    SkippedTest,
    correct_p_values,
)
from saetask.dictionary.falsify.counterexamples import (
    CounterexampleResult,
    compare_pairs,
    counterexample_finding,
    different_pairs,
    pair_requests,
)
from saetask.dictionary.falsify.document import (
    CounterexampleEntry,
    GeneratedTextEntry,
    ParaphraseEntry,
    SkippedEntry,
    WriterFigures,
)
from saetask.dictionary.falsify.paraphrases import (
    ParaphraseResult,
    compare_paraphrases,
    kept_words,
    paraphrase_finding,
    paraphrase_request,
)
from saetask.dictionary.falsify.text_pool import TextPool, draw, row_maxima
from saetask.dictionary.falsify.text_requests import (
    TextRequest,
    Writer,
    generate_texts,
    writer_figures,
)
from saetask.dictionary.label.tables import median_activation
from saetask.inference.endpoint import Answer
from saetask.models.loading import context_size, model_tokenizer
from saetask.saes.corpus_extraction import extract_token_activations

if TYPE_CHECKING:
    from jaxtyping import Bool

    from saetask.dictionary.dictionary import Dictionary
    from saetask.dictionary.feature_card import FeatureCard
    from saetask.models.loading import Model
    from saetask.saes.loading import SAE

NO_TEXTS = "no texts"
MAX_TOKENS = 256
"""Maximum number of tokens of a generated text that are read."""


@dataclass(frozen=True)
class SourceTexts:
    """Texts to be paraphrased: the feature fires in some and is silent in others."""

    firing: list[str]
    silent: list[str]


@dataclass(frozen=True)
class FeatureTextRequests:
    """Requests to the writer for the tests of one feature."""

    sources: SourceTexts | SkippedTest
    """Texts to be paraphrased."""
    pairs: list[TextRequest] | SkippedTest
    """Requests for pairs of texts."""

    def requests(self) -> list[TextRequest]:
        """Returns all requests."""
        requests = [] if isinstance(self.pairs, SkippedTest) else list(self.pairs)
        if isinstance(self.sources, SourceTexts):
            texts = [*self.sources.firing, *self.sources.silent]
            requests += [paraphrase_request(text) for text in texts]
        return requests


class GeneratedTexts(NamedTuple):
    """Texts from the writer for the tests of one feature."""

    card: "FeatureCard"
    requests: FeatureTextRequests
    answers: dict[str, Answer]
    """By prompt."""
    n_pairs: int
    """Number of pairs that were requested."""


class GeneratedTextTests(NamedTuple):
    """Results of the tests of one feature on generated texts."""

    paraphrase: ParaphraseResult | SkippedTest
    counterexample: CounterexampleResult | SkippedTest


class GeneratedTextResults(NamedTuple):
    """Results of the tests of all features on generated texts."""

    tests: list[GeneratedTextTests]
    """One for each feature."""
    figures: WriterFigures

    @property
    def any_completed(self) -> bool:
        """Whether any test could be run."""
        return any(not isinstance(test, SkippedTest) for tests in self.tests for test in tests)


class FeatureReader(NamedTuple):
    """Reads texts through an SAE."""

    model: "Model"
    sae: "SAE[Any]"

    def fires(self, card: "FeatureCard", texts: Sequence[str]) -> "Bool[np.ndarray, ' n_texts']":
        """Returns for each text whether a feature reaches its median activation in it."""
        tokenizer = model_tokenizer(self.model)
        longest = min(MAX_TOKENS, context_size(self.model))
        encoded = [[*bos_ids(tokenizer), *text_ids(tokenizer, t)] for t in texts]
        rows = [TokenRow("", "", token_ids[:longest]) for token_ids in encoded]
        activations = extract_token_activations(self.model, [self.sae], rows)[0]
        maxima = row_maxima(activations, [card.row["feature"]])[:, 0]
        return maxima >= median_activation(card.row)


def run_generated_text_tests(
    writer: Writer,
    model: "Model",
    sae: "SAE[Any]",
    dictionary: "Dictionary",
    pool: TextPool,
    config: FalsifyConfig,
    executor: Executor | None = None,
) -> GeneratedTextResults:
    """Has texts written to test features, and reads them through the SAE.

    Args:
        writer: The writer; its answers are recorded in the dictionary's `work/`.
        model: The model that the dictionary was built with.
        sae: The SAE that it describes.
        dictionary: The dictionary.
        pool: Texts to be paraphrased, and where the features fire in them.
        config: The features, the number of texts of each kind, and the seed of those drawn.
        executor: Reads the generated texts; None reads them in this process.

    Raises:
        UserError: The writer can not be reached; earlier answers are kept.
    """
    features = [
        FeatureUnderTest(column, dictionary.feature(feature))
        for column, feature in enumerate(config.features)
    ]
    by_feature = [
        FeatureTextRequests(
            _source_texts(model, pool, feature, config), _pair_requests(feature.card, config.texts)
        )
        for feature in features
    ]
    requests = [request for each in by_feature for request in each.requests()]
    answers = generate_texts(writer, requests, dictionary.folder / "work")
    generated = (
        GeneratedTexts(
            feature.card,
            each,
            {request.prompt: answers[request.prompt] for request in each.requests()},
            config.texts,
        )
        for feature, each in zip(features, by_feature)
    )
    executor = executor or LocalExecutor(model)
    tests = list(executor.map(partial(_test_on_texts, sae), generated))
    return GeneratedTextResults(tests, writer_figures(writer, answers))


def _test_on_texts(
    sae: "SAE[Any]", model: "Model", generated: GeneratedTexts
) -> GeneratedTextTests:
    reader = FeatureReader(model, sae)
    return GeneratedTextTests(
        _test_on_paraphrases(reader, generated, generated.requests.sources),
        _test_on_pairs(reader, generated, generated.requests.pairs),
    )


def _source_texts(
    model: "Model", pool: TextPool, feature: FeatureUnderTest, config: FalsifyConfig
) -> SourceTexts | SkippedTest:
    """Draws texts in which a feature reaches its median activation, and texts without it."""
    if feature.card.is_dead:
        return SkippedTest(NEVER_FIRED)
    tokenizer = model_tokenizer(model)
    kinds = {
        "fires at its natural level": pool.firing(
            feature.column, median_activation(feature.card.row)
        ),
        "silent": pool.silent(feature.column),
    }
    drawn = []
    for kind, rows in kinds.items():
        texts = (
            str(tokenizer.decode(list(row.token_ids), skip_special_tokens=True)) for row in rows
        )
        different = list(dict.fromkeys(text.strip() for text in texts))
        if len(different) < MIN_TEXTS:
            return SkippedTest(
                f"{kind} in {len(different)} of {len(pool.rows)} texts, {MIN_TEXTS} needed"
            )
        drawn.append(draw(different, config.texts, [config.seed, feature.feature, 2]))
    return SourceTexts(*drawn)


def _pair_requests(card: "FeatureCard", n: int) -> list[TextRequest] | SkippedTest:
    if card.is_dead:
        return SkippedTest(NEVER_FIRED)
    return pair_requests(card.label, n) if card.label else SkippedTest("it has no label")


def _test_on_paraphrases(
    reader: FeatureReader, generated: GeneratedTexts, sources: SourceTexts | SkippedTest
) -> ParaphraseResult | SkippedTest:
    if isinstance(sources, SkippedTest):
        return sources
    firing = _paraphrases(sources.firing, generated.answers)
    silent = _paraphrases(sources.silent, generated.answers)
    fewest = min(len(firing), len(silent))
    if fewest < MIN_TEXTS:
        return SkippedTest(f"{fewest} paraphrases that could be used, {MIN_TEXTS} needed")
    fires = reader.fires(generated.card, [*firing.values(), *silent.values()])
    kept = float(np.mean([kept_words(text, new) for text, new in firing.items()]))
    failed = len(sources.firing) + len(sources.silent) - len(fires)
    return compare_paraphrases(fires[: len(firing)], fires[len(firing) :], kept, failed)


def _paraphrases(texts: Sequence[str], answers: Mapping[str, Answer]) -> dict[str, str]:
    """Returns the paraphrase of each text that has one."""
    written = {text: answers[paraphrase_request(text).prompt].content for text in texts}
    return {text: paraphrase[0] for text, paraphrase in written.items() if paraphrase}


def _test_on_pairs(
    reader: FeatureReader, generated: GeneratedTexts, requests: list[TextRequest] | SkippedTest
) -> CounterexampleResult | SkippedTest:
    if isinstance(requests, SkippedTest):
        return requests
    answers = generated.answers
    texts = [text for request in requests for text in answers[request.prompt].content or []]
    pairs = different_pairs(texts)
    if len(pairs) < MIN_TEXTS:
        return SkippedTest(f"{len(pairs)} pairs that could be used, {MIN_TEXTS} needed")
    fires = reader.fires(generated.card, [text for pair in pairs for text in pair])
    return compare_pairs(fires[::2], fires[1::2], generated.n_pairs - len(pairs))


def describe_generated_text_tests(
    tests: Sequence[GeneratedTextTests],
) -> list[GeneratedTextEntry]:
    """Returns the entries of the tests, with corrected p-values and findings."""
    paraphrases = [each.paraphrase for each in tests]
    counterexamples = [each.counterexample for each in tests]
    entries = zip(
        _describe(paraphrases, paraphrase_finding, ParaphraseEntry),
        _describe(counterexamples, counterexample_finding, CounterexampleEntry),
    )
    return [GeneratedTextEntry(paraphrase=one, counterexample=two) for one, two in entries]


def _describe(
    results: Sequence[Any], finding: Callable[[Any, float], str], entry: Callable[..., Any]
) -> list[Any]:
    return [
        SkippedEntry(finding=NO_TEXTS, reason=result.reason)
        if isinstance(result, SkippedTest)
        else entry(finding=finding(result, q_value), **result._asdict(), q_value=q_value)
        for result, q_value in zip(results, correct_p_values(results))
    ]
