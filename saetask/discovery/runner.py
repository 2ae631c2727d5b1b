"""Discovery: what a model gets wrong, said in concepts, from an evaluation that has been made."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from saetask.compute.executor import Executor
from saetask.data.evaluated_items import EvaluatedItem
from saetask.data.rendering import RenderedPrompt
from saetask.dictionary.feature_labels import FeatureLabels, find_feature_labels
from saetask.discovery.config import DiscoveryConfig
from saetask.discovery.confounders import Confounders, confounders
from saetask.discovery.controls import (
    control_found,
    found_document,
    permuted_found,
    permuted_logs,
    word_families,
)
from saetask.discovery.documents import (
    SCHEMA_VERSION,
    Controls,
    DiscoveryRow,
    DiscoverySummary,
    PowerFigure,
    write_discovery,
)
from saetask.discovery.failures import ScoredItems, scored_items
from saetask.discovery.hypotheses import Family, Hypothesis, concept_family, feature_family
from saetask.discovery.page import write_discovery_page
from saetask.discovery.power import smallest_differences
from saetask.discovery.prompt_text import content_of, own_texts
from saetask.discovery.random_dictionary import random_reader
from saetask.discovery.reading import Reader, Readings, read_log, render_log
from saetask.discovery.result_rows import Row, Searched, result_rows, rows_with_prompts
from saetask.discovery.search import Log, search
from saetask.discovery.selection import n_tried
from saetask.discovery.sentences import result_sentences, verdict
from saetask.discovery.splitting import Halves, split
from saetask.discovery.word_class_control import word_class_family
from saetask.errors import UserError
from saetask.experiments.known_concepts import find_known_concepts
from saetask.models.loading import load_model, model_fingerprint, model_name
from saetask.saes.compatibility import check_sae
from saetask.saes.encoding import input_hook
from saetask.saes.loading import load_sae, sae_fingerprint
from saetask.utils.progress import stage
from saetask.utils.resampling import group_indices

if TYPE_CHECKING:
    import pandas
    from jaxtyping import Bool, Float64

    from saetask.models.loading import Model
    from saetask.saes.loading import SAE

FEWEST_OF_A_HALF = 15
LONGEST_ANSWER = 80
"""Number of characters of the most frequent answer that are kept."""


@dataclass(frozen=True, repr=False)
class DiscoveryResult:
    """What a discovery found, with what is needed to go on from there."""

    summary: DiscoverySummary
    rows: list[DiscoveryRow]
    """The discoveries of the summary, with prompts to show."""
    items: list[EvaluatedItem]
    """The items that have a score, in the order of the log."""
    failures: "Float64[np.ndarray, ' n']"
    """Failure of each item."""
    halves: Halves
    """Indices of the items of both halves."""
    hypotheses: list[Hypothesis]
    """Of each row; `concept` holds the features."""
    presence: "Bool[np.ndarray, 'n m']"
    """In which items the hypothesis of each row is present."""

    def __repr__(self) -> str:
        """Returns what was found, in a few words."""
        n = len(self.items)
        return f"DiscoveryResult({verdict(self.summary)}, {len(self.rows)} tested, {n} prompts)"

    def sentences(self) -> list[str]:
        """Returns what was confirmed, and what the controls found, in words."""
        return [*result_sentences(self.summary)]

    def to_pandas(self) -> "pandas.DataFrame":
        """Returns a table with a row for each concept and feature that was tested."""
        import pandas

        return pandas.DataFrame([found.to_json() for found in self.summary.discoveries])

    def save(self, folder: Path | str) -> Path:
        """Writes `discoveries.jsonl`, `summary.json` and a page, and returns the page's path."""
        folder = Path(folder)
        write_discovery(folder, self.summary, self.rows)
        return write_discovery_page(folder)


class _Read(NamedTuple):
    """The log as it was read."""

    texts: list[str]
    rendered: list[RenderedPrompt]
    sae: Readings
    random: Readings
    reader: Reader
    random_reader: Reader
    confounders: Confounders


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
    n-grams, with a random dictionary, and in permuted failures.

    Args:
        items: The items of an evaluation log.
        model: The model that is read, as `load_model` takes it; most often the one that answered.
        sae: An SAE of that model, as `load_sae` takes it.
        config: Further options.
        executor: Runs the batches of prompts; None runs them in this process.

    Raises:
        UserError: There are no items, too few, or nothing to tell apart; a prompt is empty or too
            long; or the SAE does not belong to the model.
    """
    config = config or DiscoveryConfig()
    scored, halves = scored_halves(list(items), config)
    groups = [item.group for item in scored.items]
    loaded, loaded_sae = load_model(model), load_sae(sae)
    check_sae(loaded, loaded_sae, allow_mismatch=config.allow_sae_mismatch)
    labels = find_feature_labels(
        loaded, loaded_sae, config.dictionary, unvalidated=config.unvalidated_labels
    )
    read = _read(scored.items, loaded, loaded_sae, labels, config, executor)
    numbers = group_indices(groups, scored.failures)
    log = Log(scored.failures, read.confounders.values, numbers, halves)
    with stage("search", 5, unit="step") as advance:
        families = _families(read.sae, read.reader, labels)
        logs = [log, *permuted_logs(log, config.n_permuted, config.seed)]
        found, *in_permuted = search(families, logs, config.seed)
        advance(1)
        words = word_families(read.texts)
        (word_search,) = search(words.families, [log], config.seed)
        advance(1)
        classes = [word_class_family(read.texts)]
        (class_search,) = search(classes, [log], config.seed)
        advance(1)
        of_random = _families(read.random, read.random_reader, None)
        random_found = control_found(of_random, log, config.q, config.seed)
        advance(1)
        searched = Searched(families, found, words, word_search, class_search)
        rows = result_rows(searched, log, scored.items, config.q, config.seed)
        advance(1)
    controls = Controls(
        words=found_document(words.families, word_search, config.q),
        permuted=permuted_found(in_permuted, config.q),
        **{
            "word-classes": found_document(classes, class_search, config.q),
            "random-sae": random_found,
        },
    )
    shown = rows_with_prompts(
        rows, read.texts, read.rendered, scored.items, log, loaded, loaded_sae
    )
    answer, n_same = Counter(item.output.strip() for item in scored.items).most_common(1)[0]
    hook = f"{input_hook(loaded_sae)}, {loaded_sae.cfg.d_sae} features"
    origin = {
        "log": config.log,
        "model": model_name(loaded),
        "sae": hook,
        "seed": config.seed,
        "answer": answer[:LONGEST_ANSWER],
        "answer_share": n_same / len(scored.items),
    }
    summary = _summary(scored.n_without, log, read, families, controls, rows, config, origin)
    return DiscoveryResult(
        summary,
        shown,
        scored.items,
        scored.failures,
        halves,
        [row.hypothesis for row in rows],
        np.column_stack([row.presence for row in rows]) if rows else found.presence,
    )


class ScoredHalves(NamedTuple):
    """The items of a log that have a score, and which of them find and confirm."""

    scored: ScoredItems
    halves: Halves


def scored_halves(items: Sequence[EvaluatedItem], config: DiscoveryConfig) -> ScoredHalves:
    """Returns a log's items with a score, split by group, before anything is loaded.

    Raises:
        UserError: There are too few, or they all fail or all do not.
    """
    scored = scored_items(items, config.by)
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


def _read(
    items: Sequence[EvaluatedItem],
    model: "Model",
    sae: "SAE[Any]",
    labels: FeatureLabels,
    config: DiscoveryConfig,
    executor: Executor | None,
) -> _Read:
    """Reads the log through the SAE and through a random dictionary."""
    prompts = [item.prompt for item in items]
    spans = own_texts(prompts)
    rendered = render_log(model, sae, [item.id for item in items], prompts, spans)
    reader = Reader(sae, find_known_concepts(labels).concepts)
    control = random_reader(model, reader, rendered, config.seed)
    concepts = [[c.id, c.features, c.weights] for c in reader.concepts]
    identity = [model_fingerprint(model), sae_fingerprint(sae), concepts, config.seed]
    read = read_log(model, [reader, control], rendered, config.cache, identity, executor)
    texts = [content_of(p)[s.start : s.end] for p, s in zip(prompts, spans)]
    given = confounders(items, texts, read.n_tokens)
    of_sae, of_random = read.readings
    return _Read(texts, rendered, of_sae, of_random, reader, control, given)


def _families(readings: Readings, reader: Reader, labels: FeatureLabels | None) -> list[Family]:
    return [
        concept_family(readings.concepts, reader.concepts),
        feature_family(readings.features, labels),
    ]


def _summary(
    n_without: int,
    log: Log,
    read: _Read,
    families: Sequence[Family],
    controls: Controls,
    rows: Sequence[Row],
    config: DiscoveryConfig,
    origin: dict[str, Any],
) -> DiscoverySummary:
    rate = float(log.failures.mean())
    counts = [n_tried(family.rows(log.halves.discovery)) for family in families]
    sizes = [len(half) for half in log.halves]
    of_concepts, of_features = (
        smallest_differences(sizes[0], sizes[1], rate, count, config.q) for count in counts
    )
    return DiscoverySummary(
        schema_version=SCHEMA_VERSION,
        **origin,
        by=config.by,
        q=config.q,
        n_items=len(log.failures),
        n_without_score=n_without,
        n_discovery=sizes[0],
        n_confirmation=sizes[1],
        failure_rate=rate,
        confounders=read.confounders.names,
        n_concepts=counts[0],
        n_features=counts[1],
        discoveries=[row.discovery for row in rows],
        controls=controls,
        power=[
            PowerFigure(share=c.share, concepts=c.difference, features=f.difference)
            for c, f in zip(of_concepts, of_features)
        ],
        mended=[],
    )
