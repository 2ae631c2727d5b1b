"""Tests of one feature on the texts of a pool: injected tokens, and edits of the feature."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from saetask.data.corpus import TokenRow
from saetask.dictionary.falsify.ablation import (
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
    AblationEntry,
    FeatureEntry,
    InjectionEntry,
    SkippedEntry,
    StrategyEntry,
)
from saetask.dictionary.falsify.injection import (
    ControlTokens,
    InjectedFeature,
    InjectionResult,
    injection_finding,
    injection_test,
    trigger_tokens,
)
from saetask.dictionary.falsify.text_pool import TextPool, draw, row_maxima
from saetask.dictionary.label.tables import median_activation
from saetask.models.loading import model_tokenizer
from saetask.saes.corpus_extraction import extract_token_activations
from saetask.saes.interventions import random_directions

if TYPE_CHECKING:
    from saetask.models.loading import Model
    from saetask.saes.loading import SAE

NO_CONTEXTS = "no contexts"


@dataclass(frozen=True)
class FeatureTests:
    """Results of injecting tokens for one feature and of editing it."""

    feature: int
    label: str
    injection: InjectionResult | SkippedTest
    ablation: AblationResult | SkippedTest


def run_feature_tests(
    sae: "SAE[Any]",
    pool: TextPool,
    config: FalsifyConfig,
    model: "Model",
    feature: FeatureUnderTest,
) -> FeatureTests:
    """Injects tokens for one feature and edits it, independently of other features.

    Args:
        sae: The SAE.
        pool: Texts, and where the features fire in them.
        config: The number of texts, and the seed.
        model: The model.
        feature: The feature.
    """
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
