"""Whether the names of discoveries hold in a log: on the tokens where they are active, and at all.

A concept is named after texts of a corpus. In a log it may be active on other words than its name
says, or in a few of many prompts that have such words.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from saetask.data.rendering import RenderedPrompt
from saetask.dictionary.feature_labels import FeatureLabels
from saetask.dictionary.naming.battery import OWN_WORDS, Predicates, apply_battery
from saetask.dictionary.naming.own_words import own_predicate, where_own_words, word_places
from saetask.dictionary.naming.token_words import token_words
from saetask.discovery.hypotheses import Hypothesis, has_telling_name
from saetask.discovery.reading import READ
from saetask.discovery.result_rows import Row
from saetask.discovery.shown_prompts import active_tokens
from saetask.discovery.splitting import Halves
from saetask.models.loading import model_tokenizer

if TYPE_CHECKING:
    from jaxtyping import Bool, Int64
    from transformers import PreTrainedTokenizerBase

MOST_ACTIVE = 100
"""Maximum number of prompts in which a discovery is active that are looked at."""
MOST_PROMPTS = 500
"""Maximum number of prompts of the confirmation half in which words are looked for."""


def with_name_checks(
    rows: Sequence[Row],
    rendered: Sequence[RenderedPrompt],
    halves: Halves,
    labels: FeatureLabels,
) -> list[Row]:
    """Returns the rows with where their names hold, in prompts of the confirmation half.

    Args:
        rows: The hypotheses that were tested.
        rendered: The prompts of the log.
        halves: Indices of the prompts of both halves.
        labels: The model, the SAE, and the names of its features.
    """
    names = [name_predicate(row.hypothesis, labels) for row in rows]
    if not rows:
        return []
    tokenizer = model_tokenizer(labels.model)
    prompts = spread(halves.confirmation, MOST_PROMPTS)
    own = [name for name in names if name and name.words]
    anywhere = NamePlaces.of(tokenizer, [rendered[i] for i in prompts], own)
    checked = []
    for row, name in zip(rows, names):
        if name is None or name.id not in anywhere.ids:  # no name, or a list of the user's own
            checked.append(row)
            continue
        in_prompts = float(np.mean([mask.any() for mask in anywhere.where(name.id)]))
        holds = _share_of_active(row, name.id, rendered, halves, labels, own)
        found = {"name_holds": holds, "name_in_prompts": in_prompts}
        checked.append(row._replace(discovery=row.discovery.model_copy(update=found)))
    return checked


class NamePredicate(NamedTuple):
    """The predicate that a name is made of."""

    id: str
    words: tuple[str, ...] = ()
    """The feature's own words that it speaks of, where it is no predicate of the battery."""

    @property
    def relation(self) -> str:
        """Where the words stand: `on`, `after` or `before` the token."""
        return self.id.partition(":")[0]


def name_predicate(hypothesis: Hypothesis, labels: FeatureLabels) -> NamePredicate | None:
    """Returns the predicate that a hypothesis is named after; None where it has no such name."""
    if hypothesis.kind == "concept":
        return NamePredicate(hypothesis.id)
    if labels.dictionary is None or hypothesis.concept is None:
        return None
    (feature,) = hypothesis.concept.features
    row = labels.dictionary.feature(feature).row
    if not has_telling_name(row):
        return None
    relation, _, source = row["name_source"].partition(":")
    if source != OWN_WORDS:
        return NamePredicate(row["name_source"])
    words = row["name"].removeprefix(f"{relation} ")
    return NamePredicate(f"{relation}:{OWN_WORDS}:{words}", tuple(words.split(", ")))


def spread(places: "Int64[np.ndarray, ' n']", most: int) -> list[int]:
    """Returns some of many places, evenly spread; all of them where they are few."""
    if len(places) <= most:
        return places.tolist()
    return places[np.linspace(0, len(places) - 1, most).round().astype(int)].tolist()


def _share_of_active(
    row: Row,
    predicate: str,
    rendered: Sequence[RenderedPrompt],
    halves: Halves,
    labels: FeatureLabels,
    own: Sequence[NamePredicate],
) -> float | None:
    """Returns on which share of a confirmed discovery's active tokens its name holds."""
    concept, half = row.hypothesis.concept, halves.confirmation
    if not row.discovery.confirmed or concept is None:
        return None
    prompts = spread(half[row.presence[half]], MOST_ACTIVE)
    wanted = [(i, concept, row.discovery.threshold) for i in prompts]
    active = active_tokens(labels.model, labels.sae, rendered, wanted)
    places = NamePlaces.of(model_tokenizer(labels.model), [rendered[i] for i in prompts], own)
    held = [
        mask[token]
        for mask, tokens in zip(places.where(predicate, whole=True), active)
        for token in tokens
    ]
    return float(np.mean(held)) if held else None


class NamePlaces(NamedTuple):
    """Where the predicates that names are made of hold in some prompts."""

    predicates: Predicates
    starts: "Int64[np.ndarray, ' n+1']"
    """Index of each prompt's first token among all, and their number."""
    prompts: Sequence[RenderedPrompt]

    @classmethod
    def of(
        cls,
        tokenizer: "PreTrainedTokenizerBase",
        prompts: Sequence[RenderedPrompt],
        own: Sequence[NamePredicate] = (),
    ) -> "NamePlaces":
        """Applies the battery of predicates, and names of features' own words, to prompts."""
        from scipy.sparse import csc_matrix, hstack

        starts = np.cumsum([0, *(len(prompt.token_ids) for prompt in prompts)])
        ids = np.array([token for prompt in prompts for token in prompt.token_ids])
        known, tokens = np.unique(ids, return_inverse=True)
        texts = [str(tokenizer.decode([token])) for token in known.tolist()]
        words = token_words(tokens, starts, texts)
        predicates, holds = apply_battery(words)
        places = word_places(words)
        for name in own:
            predicates.append(own_predicate(name.relation, name.words)._replace(id=name.id))
            where = where_own_words([name.words], places, name.relation).astype(bool)
            holds = csc_matrix(hstack([holds, where]))
        return cls(Predicates(predicates, holds), starts, prompts)

    @property
    def ids(self) -> set[str]:
        """Ids of the predicates."""
        return {predicate.id for predicate in self.predicates.predicates}

    def where(self, predicate: str, whole: bool = False) -> "list[Bool[np.ndarray, ' n_tokens']]":
        """Returns, for each prompt, on which tokens a predicate holds.

        Args:
            predicate: Its id.
            whole: Return all tokens of the prompt; else those of its region `READ`.
        """
        masks = np.split(self.predicates.where(predicate), self.starts[1:-1])
        if whole:
            return masks
        return [
            mask[prompt.tokens_in(prompt.regions[READ])]
            for mask, prompt in zip(masks, self.prompts)
        ]
