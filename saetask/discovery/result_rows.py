"""The rows of a discovery: each hypothesis that was tested, with its figures and prompts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from saetask.data.evaluated_items import EvaluatedItem
from saetask.discovery.config import DiscoveryConfig
from saetask.discovery.confirmation import differences
from saetask.discovery.documents import Discovery, DiscoveryRow, ShownPrompt
from saetask.discovery.hypotheses import Hypothesis
from saetask.discovery.log_reading import LogReading
from saetask.discovery.search import Log
from saetask.discovery.searches import Searches
from saetask.discovery.shown_prompts import Shown, firing_tokens, prompts_to_show
from saetask.discovery.words_alone import compare_with_words

if TYPE_CHECKING:
    from jaxtyping import Bool, Float32

    from saetask.models.loading import Model
    from saetask.saes.loading import SAE


class Row(NamedTuple):
    """A hypothesis that was tested."""

    discovery: Discovery
    hypothesis: Hypothesis
    strength: "Float32[np.ndarray, ' n']"
    """How strongly it is present in each prompt, which is compared with the threshold."""
    presence: "Bool[np.ndarray, ' n']"
    shown: Shown


def result_rows(
    searches: Searches, log: Log, items: Sequence[EvaluatedItem], config: DiscoveryConfig
) -> list[Row]:
    """Returns a row of each hypothesis that was tested, the smallest p-value first.

    Where its name holds, and gold, are left open; see `with_name_checks` and `check_by_gold`.
    """
    (families, found), q, seed = searches.sae, config.q, config.seed
    other = log.halves.confirmation
    adjusted = log.adjusted(other)
    measured = differences(found.presence[other], log.failures[other], adjusted, seed)
    confirmed = found.confirmed(q)
    by_words = [searches.words.found, searches.classes.found]
    beyond = compare_with_words(found, by_words, searches.word_presence, log, q, seed)
    rows = []
    for i in np.argsort(found.tests.p_values, kind="stable").tolist():
        choice = found.choices[i]
        hypothesis = families[choice.family].hypothesis(choice.column)
        scores = families[choice.family].columns([choice.column])[:, 0]
        shown = prompts_to_show(scores, found.presence[:, i], log.failures, other)
        discovery = Discovery(
            **_identity(hypothesis, choice.threshold),
            **measured[i]._asdict(),
            p=float(found.tests.p_values[i]),
            q=float(found.tests.q_values[i]),
            confirmed=bool(confirmed[i]),
            needs_sae=beyond[i].needs_sae,
            p_beyond_words=beyond[i].p_value,
            name_holds=None,
            name_in_prompts=None,
            gold=None,
            words=beyond[i].words,
            merged=[families[f].hypothesis(c).name for f, c in choice.merged],
            examples=[items[n].id for n in shown.examples],
            near_misses=[items[n].id for n in shown.near_misses],
        )
        rows.append(Row(discovery, hypothesis, scores, found.presence[:, i], shown))
    return rows


def _identity(hypothesis: Hypothesis, threshold: float) -> dict[str, Any]:
    return {
        "concept": hypothesis.id,
        "name": hypothesis.name,
        "kind": hypothesis.kind,
        "threshold": threshold,
    }


def rows_with_prompts(
    rows: Sequence[Row],
    reading: LogReading,
    items: Sequence[EvaluatedItem],
    log: Log,
    model: "Model",
    sae: "SAE[Any]",
) -> list[DiscoveryRow]:
    """Returns the rows with the prompts that are shown; those not confirmed have none."""
    wanted = [
        (index, row.hypothesis.concept, row.discovery.threshold)
        for row in rows
        if row.discovery.confirmed and row.hypothesis.concept is not None
        for index in (*row.shown.examples, *row.shown.near_misses)
    ]
    tokens = iter(firing_tokens(model, sae, reading.rendered, wanted))

    def shown(indices: Sequence[int]) -> list[ShownPrompt]:
        return [
            ShownPrompt(
                id=items[i].id,
                text=reading.shown[i].text,
                output=items[i].output,
                failure=float(log.failures[i]),
                tokens=[token.shifted(reading.shown[i].start) for token in next(tokens)],
            )
            for i in indices
        ]

    written = []
    for row in rows:
        none = not row.discovery.confirmed
        written.append(
            DiscoveryRow(
                **dict(row.discovery),
                contexts=list(row.hypothesis.concept.examples) if row.hypothesis.concept else [],
                shown_examples=[] if none else shown(row.shown.examples),
                shown_near_misses=[] if none else shown(row.shown.near_misses),
            )
        )
    return written
