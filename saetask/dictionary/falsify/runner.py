"""Runs all tests of features of a dictionary and writes `falsification.json`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from saetask.compute.executor import Executor, LocalExecutor
from saetask.data.corpus import TokenRow
from saetask.dictionary.falsify.ablation import (
    HORIZON,
    AblationResult,
    ablation_finding,
    compare_effects,
    edit_effects,
)
from saetask.dictionary.falsify.base import (
    MIN_TEXTS,
    NEVER_FIRED,
    FalsifyConfig,
    FeatureUnderTest,
    SkippedTest,
    correct_p_values,
)
from saetask.dictionary.falsify.document import (
    FALSIFICATION,
    SCHEMA_VERSION,
    AblationEntry,
    Falsification,
    FalsificationSettings,
    FeatureEntry,
    InjectionEntry,
    SkippedEntry,
    StrategyEntry,
)
from saetask.dictionary.falsify.generated_tests import (
    describe_generated_text_tests,
    run_generated_text_tests,
)
from saetask.dictionary.falsify.injection import (
    LONGEST_INJECTION,
    N_TRIGGERS,
    ControlTokens,
    InjectedFeature,
    InjectionResult,
    injection_finding,
    injection_test,
    trigger_tokens,
)
from saetask.dictionary.falsify.text_pool import (
    OTHERS_PER_TEXT,
    ROW_TOKENS,
    TextPool,
    context_rows,
    draw,
    file_rows,
    read_text_pool,
    row_maxima,
)
from saetask.dictionary.falsify.text_requests import Writer
from saetask.dictionary.label.tables import median_activation
from saetask.errors import UserError
from saetask.models.loading import context_size, model_tokenizer
from saetask.saes.corpus_extraction import extract_token_activations
from saetask.saes.interventions import N_DIRECTIONS, random_directions

if TYPE_CHECKING:
    from sae_lens import SAE

    from saetask.dictionary.dictionary import Dictionary
    from saetask.models.loading import Model

NO_CONTEXTS = "no contexts"


@dataclass(frozen=True)
class FeatureTests:
    """Results of injecting tokens for one feature and of editing it."""

    feature: int
    label: str
    injection: InjectionResult | SkippedTest
    ablation: AblationResult | SkippedTest


def check_config(dictionary: "Dictionary", config: FalsifyConfig) -> None:
    """Refuses tests that can not be run, before any model is loaded.

    Raises:
        UserError: No or too few texts, an unknown feature, or none that ever fired.
    """
    if config.texts < MIN_TEXTS:
        raise UserError(f"--texts is {config.texts}; with fewer than {MIN_TEXTS} nothing shows.")
    if config.data is not None and not Path(config.data).is_file():
        raise UserError(f"--data {config.data} does not exist; give a .jsonl or .txt file.")
    cards = [dictionary.feature(feature) for feature in config.features]
    if all(card.is_dead for card in cards):
        features = ", ".join(str(feature) for feature in config.features)
        raise UserError(
            f"No contexts in {dictionary.folder} for any of --features {features}: they never "
            "fired when it was built; choose others (saetask dictionary search)."
        )


def falsify(
    model: "Model",
    sae: "SAE[Any]",
    dictionary: "Dictionary",
    config: FalsifyConfig,
    writer: Writer | None = None,
    executor: Executor | None = None,
) -> Falsification:
    """Tests features of a dictionary, and writes the results to `falsification.json`.

    The p-values of each test are corrected over the features tested (Benjamini & Hochberg 1995).

    Args:
        model: The model that the dictionary was built with.
        sae: The SAE that it describes; see `check_sae`.
        dictionary: The dictionary.
        config: The features, and the texts to test them on.
        writer: A language model that writes texts; None leaves out the tests on such texts.
        executor: Reads texts and edits features; None does so in this process.

    Returns:
        The document written: settings, fingerprints, and one entry for each feature.

    Raises:
        UserError: Another model or SAE, no feature or text to test, or a writer that can not be
            reached.
    """
    from tqdm import tqdm

    dictionary.check(model, sae)
    check_config(dictionary, config)
    executor = executor or LocalExecutor(model)
    cards = [dictionary.feature(feature) for feature in config.features]
    features = [FeatureUnderTest(column, card) for column, card in enumerate(cards)]
    rows = _rows(model, dictionary, config)
    pool = read_text_pool(model, sae, rows, config.features, config.texts, executor)
    # The writer first: an unreachable one is noticed at once, the rest takes long.
    generated = writer and run_generated_text_tests(
        writer, model, sae, dictionary, pool, config, executor
    )
    results = executor.map(partial(_test_feature, sae, pool, config), features)
    tests = list(tqdm(results, total=len(features), desc="falsify"))
    if not (generated and generated.any_completed):
        _refuse_if_all_skipped(tests, len(pool.rows))
    entries, figures = describe_tests(tests), {}
    if generated:
        figures = {"writer": generated.figures}
        entries = [
            entry.model_copy(update={"writing": writing})
            for entry, writing in zip(entries, describe_generated_text_tests(generated.tests))
        ]
    document = Falsification(
        schema_version=SCHEMA_VERSION,
        model=dictionary.manifest.model,
        sae=dictionary.manifest.sae,
        settings=_settings(config, len(pool.rows)),
        features=entries,
        **figures,
    )
    document.write(dictionary.folder / FALSIFICATION)
    return document


def _settings(config: FalsifyConfig, n_texts: int) -> FalsificationSettings:
    return FalsificationSettings(
        features=list(config.features),
        texts=config.texts,
        data=config.data,
        seed=config.seed,
        pieces=N_TRIGGERS,
        directions=N_DIRECTIONS,
        horizon=HORIZON,
        texts_read=n_texts,
    )


def _refuse_if_all_skipped(tests: Sequence[FeatureTests], n_rows: int) -> None:
    reasons = [
        f"feature {each.feature}: {test.reason}"
        for each in tests
        for test in (each.injection, each.ablation)
        if isinstance(test, SkippedTest)
    ]
    if len(reasons) == 2 * len(tests):
        raise UserError(
            f"No feature could be tried on the {n_rows} texts read ({reasons[0]}; {reasons[1]}); "
            "give more texts with --data."
        )


def describe_tests(tests: Sequence[FeatureTests]) -> list[FeatureEntry]:
    """Returns the entries of the tests, with corrected p-values and findings."""
    injections = correct_p_values([each.injection for each in tests])
    ablations = correct_p_values([each.ablation for each in tests])
    return [
        FeatureEntry(
            feature=each.feature,
            label=each.label,
            injection=_describe_injection(each.injection, injection_q),
            ablation=_describe_ablation(each.ablation, ablation_q),
        )
        for each, injection_q, ablation_q in zip(tests, injections, ablations)
    ]


def _describe_injection(
    result: InjectionResult | SkippedTest, q_value: float
) -> InjectionEntry | SkippedEntry:
    if isinstance(result, SkippedTest):
        return SkippedEntry(finding=NO_CONTEXTS, reason=result.reason)
    return InjectionEntry(
        finding=injection_finding(result, q_value),
        n_texts=result.n_texts,
        best=result.best.strategy,
        p_value=result.p_value,
        strategies=[StrategyEntry(**each._asdict()) for each in result.strategies],
        q_value=q_value,
    )


def _describe_ablation(
    result: AblationResult | SkippedTest, q_value: float
) -> AblationEntry | SkippedEntry:
    if isinstance(result, SkippedTest):
        return SkippedEntry(finding=NO_CONTEXTS, reason=result.reason)
    figures = {**result._asdict(), "random_range": list(result.random_range)}
    return AblationEntry(finding=ablation_finding(result, q_value), **figures, q_value=q_value)


def _rows(model: "Model", dictionary: "Dictionary", config: FalsifyConfig) -> Iterator[TokenRow]:
    """Yields the texts: of the data file, else the dictionary's own contexts."""
    tokenizer = model_tokenizer(model)
    longest = min(ROW_TOKENS, context_size(model) - LONGEST_INJECTION)
    if config.data is not None:
        return file_rows(Path(config.data), tokenizer, longest)
    n_others = OTHERS_PER_TEXT * config.texts
    rows = context_rows(dictionary, config.features, tokenizer, n_others, config.seed)
    return (row for row in rows if len(row.token_ids) <= longest)


def _test_feature(
    sae: "SAE[Any]",
    pool: TextPool,
    config: FalsifyConfig,
    model: "Model",
    feature: FeatureUnderTest,
) -> FeatureTests:
    """Tests one feature, independently of others."""
    return FeatureTests(
        feature.feature,
        feature.card.label,
        _test_injection(model, sae, pool, feature, config),
        _test_ablation(model, sae, pool, feature, config),
    )


def _test_injection(
    model: "Model",
    sae: "SAE[Any]",
    pool: TextPool,
    feature: FeatureUnderTest,
    config: FalsifyConfig,
) -> InjectionResult | SkippedTest:
    tokenizer, card = model_tokenizer(model), feature.card
    triggers = trigger_tokens(card.row, tokenizer)
    if card.is_dead or not triggers:
        return SkippedTest(NEVER_FIRED if card.is_dead else "no token of its own to inject")
    silent = pool.silent(feature.column)
    if len(silent) < MIN_TEXTS:
        return SkippedTest(f"silent in {len(silent)} of {len(pool.rows)} texts, {MIN_TEXTS} needed")
    allowed = ~pool.frequent[feature.column]
    own = [token_id for trigger in triggers for token_id in trigger.token_ids]
    allowed[[*tokenizer.all_special_ids, *own]] = False
    controls = ControlTokens(pool.counts, allowed)
    if not len(controls.token_ids):
        return SkippedTest("it fires often on every token that occurs")

    def maxima(rows: list[list[int]]) -> np.ndarray:
        token_rows = [TokenRow("", "", row) for row in rows]
        activations = extract_token_activations(model, [sae], token_rows)[0]
        return row_maxima(activations, [feature.feature])[:, 0]

    seed = [config.seed, feature.feature, 0]
    texts = [row.token_ids for row in draw(silent, config.texts, seed)]
    n_fixed = 0 if tokenizer.bos_token_id is None else 1
    injected = InjectedFeature(triggers, controls, median_activation(card.row))
    return injection_test(maxima, texts, injected, n_fixed, seed)


def _test_ablation(
    model: "Model",
    sae: "SAE[Any]",
    pool: TextPool,
    feature: FeatureUnderTest,
    config: FalsifyConfig,
) -> AblationResult | SkippedTest:
    seed = [config.seed, feature.feature, 1]
    directions = random_directions(sae.W_dec.shape[1], seed)
    texts = draw(pool.firing(feature.column), config.texts, seed)
    measured = [
        edit_effects(model, sae, row.token_ids, feature.feature, directions) for row in texts
    ]
    effects = [effect for effect in measured if effect is not None]
    if len(effects) < MIN_TEXTS:
        return SkippedTest(f"fires in {len(effects)} of {len(pool.rows)} texts, {MIN_TEXTS} needed")
    return compare_effects(np.array(effects), config.seed)
