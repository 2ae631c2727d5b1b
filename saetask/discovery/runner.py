"""Discovery: what a model gets wrong, said in concepts, from an evaluation that has been made."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from saetask.compute.executor import Executor
from saetask.data.evaluated_items import EvaluatedItem
from saetask.dictionary.feature_labels import FeatureLabels, find_feature_labels
from saetask.discovery.config import DiscoveryConfig
from saetask.discovery.drawn_control import compare_with_draws
from saetask.discovery.failures import ScoredItems, scored_items
from saetask.discovery.gold import check_by_gold
from saetask.discovery.log_reading import read_items, render_items
from saetask.discovery.name_checks import with_name_checks
from saetask.discovery.own_answers import OwnAnswers, check_askable, own_answers
from saetask.discovery.result import DiscoveryResult
from saetask.discovery.result_rows import result_rows, rows_with_prompts
from saetask.discovery.search import Log
from saetask.discovery.searches import search_all
from saetask.discovery.splitting import Halves, split
from saetask.discovery.summary import summarise
from saetask.errors import UserError
from saetask.inference.client import ModelClient
from saetask.models.loading import load_model
from saetask.saes.compatibility import check_sae
from saetask.saes.loading import load_sae
from saetask.utils.resampling import group_indices

if TYPE_CHECKING:
    from saetask.models.loading import Model
    from saetask.saes.loading import SAE

FEWEST_OF_A_HALF = 15


def discover(
    items: Sequence[EvaluatedItem],
    model: "str | Path | Model",
    sae: "str | Path | SAE[Any]",
    config: DiscoveryConfig | None = None,
    executor: Executor | None = None,
) -> DiscoveryResult:
    """Finds concepts and features with which a model fails more often.

    On one half of the items, split by group, hypotheses are screened and chosen; on the other half
    each is tested once, given confounders. Beside it, the same search is made with words and
    n-grams, with classes of words, with a random dictionary, and in permuted failures.

    Args:
        items: The items of an evaluation log.
        model: The model that is read, as `load_model` takes it; most often the one that answered.
        sae: An SAE of that model, as `load_sae` takes it.
        config: Further options.
        executor: Runs the batches of prompts; None runs them in this process.

    Raises:
        UserError: There are no items, too few, or nothing to tell apart; a prompt is empty, or all
            are longer than the model's context; or the SAE does not belong to the model.
    """
    config = config or DiscoveryConfig()
    check_log(items, config)
    loaded, loaded_sae, labels = _loaded(model, sae, config)
    answered = _answered(items, loaded, config, executor)
    scored = scored_items(answered.items, config.by)
    rendered = render_items(scored.items, loaded, loaded_sae)
    scored, halves = _halves(scored.without_too_long(rendered.kept, config.by), config)
    reading = read_items(scored, rendered, labels, config, executor)
    groups = group_indices([item.group for item in scored.items], scored.failures)
    log = Log(scored.failures, reading.confounders.values, groups, halves)
    searches = search_all(reading, log, labels, config)
    rows = result_rows(searches, log, scored.items, config)
    rows = with_name_checks(rows, reading.rendered, halves, labels)
    rows, gold = check_by_gold(rows, log, scored.items, config)
    discoveries = [row.discovery for row in rows]
    confounders = reading.confounders.names
    return DiscoveryResult(
        summarise(
            *(scored, confounders, log, searches, discoveries, labels, config),
            answered.changes,
            compare_with_draws(scored, answered.drawn, config.seed),
            gold,
        ),
        rows_with_prompts(rows, reading, scored.items, log, loaded, loaded_sae),
        scored.items,
        reading,
        scored.failures,
        halves,
        [row.hypothesis for row in rows],
        _columns([row.presence for row in rows], len(scored.items), bool),
        _columns([row.strength for row in rows], len(scored.items), np.float32),
        labels,
    )


def _loaded(
    model: "str | Path | Model", sae: "str | Path | SAE[Any]", config: DiscoveryConfig
) -> "tuple[Model, SAE[Any], FeatureLabels]":
    """Returns the model, its SAE, checked, and the labels of the SAE's features."""
    loaded, loaded_sae = load_model(model), load_sae(sae)
    check_sae(loaded, loaded_sae, allow_mismatch=config.allow_sae_mismatch)
    labels = find_feature_labels(
        loaded, loaded_sae, config.dictionary, unvalidated=config.unvalidated_labels
    )
    return loaded, loaded_sae, labels


def _columns(columns: Sequence[np.ndarray], n: int, dtype: type) -> np.ndarray:
    return np.column_stack(columns) if columns else np.empty((n, 0), dtype=dtype)


class ScoredHalves(NamedTuple):
    """The items of a log that have a score, and which of them find and confirm."""

    scored: ScoredItems
    halves: Halves


def check_log(items: Sequence[EvaluatedItem], config: DiscoveryConfig) -> None:
    """Checks, before anything is loaded, that a log can be searched.

    Raises:
        UserError: There are too few items with a score, or they all fail or all do not; or prompts
            that the model is to answer itself can not be asked.
    """
    items = list(items)
    if config.samples:
        check_askable(items)
    else:
        _halves(scored_items(items, config.by), config)


def _answered(
    items: Sequence[EvaluatedItem],
    model: "Model",
    config: DiscoveryConfig,
    executor: Executor | None,
) -> OwnAnswers:
    """Returns the items with the model's own answers, if they are asked for."""
    if not config.samples:
        return OwnAnswers(list(items), [], {})
    client = ModelClient(model, config.cache and config.cache / "answers.jsonl", executor)
    return own_answers(client, model, items, config)


def _halves(scored: ScoredItems, config: DiscoveryConfig) -> ScoredHalves:
    groups = [item.group for item in scored.items]
    halves = split(scored.failures, groups, config.discovery_share, config.seed)
    _check_halves(halves, len(set(groups)))
    return ScoredHalves(scored, halves)


def _check_halves(halves: Halves, n_groups: int) -> None:
    smallest = min(map(len, halves))
    if smallest < FEWEST_OF_A_HALF:
        raise UserError(
            f"The items are of {n_groups} groups, which leaves {smallest} items for one half of "
            f"the split; it needs {FEWEST_OF_A_HALF} at least. Give items of more groups."
        )
