"""The summary of a discovery, from what was read, searched and found."""

from collections import Counter
from collections.abc import Sequence

from saetask.data.evaluated_items import EvaluatedItem
from saetask.dictionary.feature_labels import FeatureLabels
from saetask.discovery.asked_document import ChangedForm, DrawnControl
from saetask.discovery.config import DiscoveryConfig
from saetask.discovery.documents import (
    SCHEMA_VERSION,
    Discovery,
    DiscoverySummary,
    GoldCheck,
    PowerFigure,
)
from saetask.discovery.failures import ScoredItems
from saetask.discovery.own_answers import ChangedAnswers
from saetask.discovery.power import smallest_differences
from saetask.discovery.search import Log
from saetask.discovery.searches import Searches
from saetask.discovery.selection import n_tried
from saetask.models.loading import model_name
from saetask.saes.encoding import input_hook

LONGEST_ANSWER = 80
"""Number of characters of the most frequent answer that are kept."""


def summarise(
    scored: ScoredItems,
    confounders: list[str],
    log: Log,
    searches: Searches,
    discoveries: list[Discovery],
    labels: FeatureLabels,
    config: DiscoveryConfig,
    changes: Sequence[ChangedAnswers],
    drawn: DrawnControl | None,
    gold: GoldCheck | None,
) -> DiscoverySummary:
    """Returns the summary of a discovery, in which nothing was mended yet."""
    concepts, features = (
        n_tried(family.rows(log.halves.discovery)) for family in searches.sae.families
    )
    n_discovery, n_confirmation = map(len, log.halves)
    answer, n_same = _most_frequent_answer(scored.items)
    return DiscoverySummary(
        schema_version=SCHEMA_VERSION,
        log=config.log,
        model=model_name(labels.model),
        sae=f"{input_hook(labels.sae)}, {labels.sae.cfg.d_sae} features",
        seed=config.seed,
        answer=answer[:LONGEST_ANSWER],
        answer_share=n_same / len(scored.items),
        by=config.by,
        samples=config.samples,
        n_reordered=drawn.n if drawn and config.vary == "order" else 0,
        vary=config.vary,
        changed=[ChangedForm(**change._asdict()) for change in changes],
        drawn=drawn,
        gold=gold,
        q=config.q,
        n_items=len(scored.items),
        n_without_score=scored.n_without,
        n_too_long=scored.n_too_long,
        n_discovery=n_discovery,
        n_confirmation=n_confirmation,
        failure_rate=float(log.failures.mean()),
        confounders=confounders,
        n_concepts=concepts,
        n_features=features,
        discoveries=discoveries,
        controls=searches.controls(config.q),
        power=_power(log, concepts, features, config.q),
        mended=[],
    )


def _most_frequent_answer(items: Sequence[EvaluatedItem]) -> tuple[str, int]:
    return Counter(item.output.strip() for item in items).most_common(1)[0]


def _power(log: Log, n_concepts: int, n_features: int, q: float) -> list[PowerFigure]:
    sizes, rate = (len(log.halves.discovery), len(log.halves.confirmation)), log.failures.mean()
    of_concepts, of_features = (
        smallest_differences(*sizes, float(rate), count, q) for count in (n_concepts, n_features)
    )
    return [
        PowerFigure(share=c.share, concepts=c.difference, features=f.difference)
        for c, f in zip(of_concepts, of_features)
    ]
