"""Features tried on texts that a language model writes: paraphrases and counterexamples."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from saetask.compute.executor import Executor, LocalExecutor
from saetask.data.corpus import TokenRow
from saetask.dictionary.falsify.base import FEWEST_TEXTS, SkippedTest, corrected
from saetask.dictionary.falsify.counterexamples import (
    CounterexampleResult,
    compare_pairs,
    counterexample_finding,
    different_pairs,
    pair_questions,
)
from saetask.dictionary.falsify.paraphrases import (
    ParaphraseResult,
    compare_paraphrases,
    kept_words,
    paraphrase_finding,
    paraphrase_question,
)
from saetask.dictionary.falsify.text_pool import TextPool, drawn, row_maxima
from saetask.dictionary.falsify.text_requests import Question, Writer, ask_writer, writer_figures
from saetask.dictionary.label.tables import median_activation
from saetask.inference.endpoint import Answer
from saetask.models.loading import context_size, model_tokenizer
from saetask.saes.corpus_extraction import extract_token_activations

if TYPE_CHECKING:
    from sae_lens import SAE

    from saetask.dictionary.dictionary import Card, Dictionary
    from saetask.dictionary.falsify.base import FalsifyConfig
    from saetask.models.loading import Model

NO_TEXTS = "no texts"
MOST_TOKENS = 256
"""Tokens of a written text that are read."""


@dataclass(frozen=True)
class SourceTexts:
    """The texts of which paraphrases are wanted."""

    firing: list[str]
    silent: list[str]


@dataclass(frozen=True)
class TextRequests:
    """What is to be written for one feature."""

    sources: SourceTexts | SkippedTest
    pairs: list[Question] | SkippedTest

    def questions(self) -> list[Question]:
        """Returns all that the writer is asked."""
        asked = [] if isinstance(self.pairs, SkippedTest) else list(self.pairs)
        if isinstance(self.sources, SourceTexts):
            texts = [*self.sources.firing, *self.sources.silent]
            asked += [paraphrase_question(text) for text in texts]
        return asked


class GeneratedTexts(NamedTuple):
    """What was written for one feature."""

    card: "Card"
    commission: TextRequests
    answers: dict[str, Answer]
    """To all that was asked for it, by prompt."""


class WritingAttempt(NamedTuple):
    """What written texts did to one feature."""

    paraphrase: ParaphraseResult | SkippedTest
    counterexample: CounterexampleResult | SkippedTest


class GeneratedTestResults(NamedTuple):
    """What came of having texts written."""

    attempts: list[WritingAttempt]
    """One a feature."""
    figures: dict[str, Any]
    """Who wrote, and what it cost."""

    @property
    def tested(self) -> bool:
        """Could any test be had?"""
        return any(
            not isinstance(test, SkippedTest) for attempt in self.attempts for test in attempt
        )


class Reader(NamedTuple):
    """Reads texts through the SAE."""

    model: "Model"
    sae: "SAE[Any]"

    def fires(self, card: "Card", texts: Sequence[str]) -> np.ndarray:
        """Tells in which texts a feature reaches its natural level, `[n_texts]`, bool."""
        tokenizer = model_tokenizer(self.model)
        bos = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
        longest = min(MOST_TOKENS, context_size(self.model))
        encoded = tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
        rows = [TokenRow("", "", [*bos, *token_ids][:longest]) for token_ids in encoded]
        read = extract_token_activations(self.model, [self.sae], rows)[0]
        return row_maxima(read, [card.row["feature"]])[:, 0] >= median_activation(card.row)


def try_writing(
    writer: Writer,
    model: "Model",
    sae: "SAE[Any]",
    dictionary: "Dictionary",
    pool: TextPool,
    config: "FalsifyConfig",
    engine: Executor | None = None,
) -> GeneratedTestResults:
    """Has texts written for features, and reads them.

    Args:
        writer: Who writes; answers are kept in the dictionary's `work/`.
        model: The model that the dictionary was built with.
        sae: The SAE that it describes.
        dictionary: The dictionary.
        pool: Texts to have rewritten, and where the features fire in them.
        config: The features, how many texts of each kind, and the seed of those drawn.
        engine: Where the written texts are read; None reads them here.

    Raises:
        UserError: The writer can not be reached; what it answered is kept.
    """
    cards = [dictionary.feature(feature) for feature in config.features]
    commissions = [
        TextRequests(_sources(model, pool, column, card, config), _pairs(card, config.texts))
        for column, card in enumerate(cards)
    ]
    questions = [question for each in commissions for question in each.questions()]
    answers = ask_writer(writer, questions, dictionary.folder / "work")
    deliveries = (
        GeneratedTexts(
            card, each, {asked.prompt: answers[asked.prompt] for asked in each.questions()}
        )
        for card, each in zip(cards, commissions)
    )
    engine = engine or LocalExecutor(model)
    attempts = list(engine.map(partial(_try_delivery, sae, config.texts), deliveries))
    return GeneratedTestResults(attempts, writer_figures(writer, answers))


def _try_delivery(
    sae: "SAE[Any]", n_texts: int, model: "Model", delivery: GeneratedTexts
) -> WritingAttempt:
    reader = Reader(model, sae)
    card, commission, answers = delivery
    return WritingAttempt(
        _try_paraphrases(reader, card, commission.sources, answers),
        _try_pairs(reader, card, commission.pairs, answers, n_texts),
    )


def _sources(
    model: "Model", pool: TextPool, column: int, card: "Card", config: "FalsifyConfig"
) -> SourceTexts | SkippedTest:
    """Draws texts in which a feature reaches its natural level, and texts in which it is silent."""
    if card.is_dead:
        return SkippedTest("it never fired")
    tokenizer = model_tokenizer(model)
    kinds = {
        "fires at its natural level": pool.firing(column, median_activation(card.row)),
        "silent": pool.silent(column),
    }
    found = []
    for does, rows in kinds.items():
        texts = (
            str(tokenizer.decode(list(row.token_ids), skip_special_tokens=True)) for row in rows
        )
        different = list(dict.fromkeys(text.strip() for text in texts))
        if len(different) < FEWEST_TEXTS:
            return SkippedTest(
                f"{does} in {len(different)} of {len(pool.rows)} texts, {FEWEST_TEXTS} needed"
            )
        found.append(drawn(different, config.texts, [config.seed, card.row["feature"], 2]))
    return SourceTexts(*found)


def _pairs(card: "Card", n: int) -> list[Question] | SkippedTest:
    if card.is_dead:
        return SkippedTest("it never fired")
    return pair_questions(card.label, n) if card.label else SkippedTest("it has no label")


def _try_paraphrases(
    reader: Reader, card: "Card", sources: SourceTexts | SkippedTest, answers: Mapping[str, Answer]
) -> ParaphraseResult | SkippedTest:
    if isinstance(sources, SkippedTest):
        return sources
    firing = _rewritten(sources.firing, answers)
    silent = _rewritten(sources.silent, answers)
    fewest = min(len(firing), len(silent))
    if fewest < FEWEST_TEXTS:
        return SkippedTest(f"{fewest} paraphrases that could be used, {FEWEST_TEXTS} needed")
    fires = reader.fires(card, [*firing.values(), *silent.values()])
    kept = float(np.mean([kept_words(text, new) for text, new in firing.items()]))
    failed = len(sources.firing) + len(sources.silent) - len(fires)
    return compare_paraphrases(fires[: len(firing)], fires[len(firing) :], kept, failed)


def _rewritten(texts: Sequence[str], answers: Mapping[str, Answer]) -> dict[str, str]:
    """Returns the paraphrase of each text that has one."""
    found = {text: answers[paraphrase_question(text).prompt].content for text in texts}
    return {text: written[0] for text, written in found.items() if written}


def _try_pairs(
    reader: Reader,
    card: "Card",
    questions: list[Question] | SkippedTest,
    answers: Mapping[str, Answer],
    n: int,
) -> CounterexampleResult | SkippedTest:
    if isinstance(questions, SkippedTest):
        return questions
    texts = [text for question in questions for text in answers[question.prompt].content or []]
    pairs = different_pairs(texts)
    if len(pairs) < FEWEST_TEXTS:
        return SkippedTest(f"{len(pairs)} pairs that could be used, {FEWEST_TEXTS} needed")
    fires = reader.fires(card, [text for pair in pairs for text in pair])
    return compare_pairs(fires[::2], fires[1::2], n - len(pairs))


def described_writing(attempts: Sequence[WritingAttempt]) -> list[dict[str, Any]]:
    """Returns attempts as plain data, with corrected p-values and what they say."""
    paraphrases = _described([each.paraphrase for each in attempts], paraphrase_finding)
    counterexamples = _described([each.counterexample for each in attempts], counterexample_finding)
    both = zip(paraphrases, counterexamples)
    return [{"paraphrase": first, "counterexample": second} for first, second in both]


def _described(
    results: Sequence[Any], finding: Callable[[Any, float], str]
) -> list[dict[str, Any]]:
    return [
        {"finding": NO_TEXTS, "reason": result.reason}
        if isinstance(result, SkippedTest)
        else {"finding": finding(result, q_value), **result._asdict(), "q_value": q_value}
        for result, q_value in zip(results, corrected(results))
    ]
