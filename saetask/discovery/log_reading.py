"""A log as it was read: by the SAE, by a random dictionary, and what may explain failures."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from saetask.compute.executor import Executor
from saetask.data.evaluated_items import EvaluatedItem
from saetask.data.prompts import Span
from saetask.data.rendering import RenderedPrompt
from saetask.dictionary.feature_labels import FeatureLabels
from saetask.discovery.config import DiscoveryConfig
from saetask.discovery.confounders import Confounders, confounders
from saetask.discovery.failures import ScoredItems
from saetask.discovery.hypotheses import Family, concept_family, feature_family
from saetask.discovery.prompt_text import ShownText, content_of, own_texts, whole_sentences
from saetask.discovery.random_dictionary import random_reader
from saetask.discovery.reading import Reader, Readings, read_log, render_log
from saetask.experiments.known_concepts import find_known_concepts
from saetask.models.loading import model_fingerprint
from saetask.saes.loading import sae_fingerprint

if TYPE_CHECKING:
    from saetask.models.loading import Model
    from saetask.saes.loading import SAE


class ReadFamilies(NamedTuple):
    """What an SAE, or a dictionary in its place, reads of all prompts."""

    reader: Reader
    readings: Readings

    def families(self, labels: FeatureLabels | None) -> list[Family]:
        """Returns concepts, then features, as hypotheses.

        Args:
            labels: Labels of the features; None where they have none.
        """
        return [
            concept_family(self.readings.concepts, self.reader.concepts),
            feature_family(self.readings.features, labels),
        ]


class RenderedLog(NamedTuple):
    """The prompts of a log that fit the model's context."""

    kept: list[int]
    """Index of each among the items."""
    texts: list[str]
    """What is read of each prompt."""
    spans: list[Span]
    """Where that is in the prompt's content."""
    shown: list[ShownText]
    """The same in whole sentences, for a person."""
    rendered: list[RenderedPrompt]


class LogReading(NamedTuple):
    """The prompts of a log, as they were read."""

    texts: list[str]
    """What is read of each prompt."""
    spans: list[Span]
    """Where that is in the prompt's content."""
    shown: list[ShownText]
    """The same in whole sentences, for a person."""
    rendered: list[RenderedPrompt]
    sae: ReadFamilies
    random: ReadFamilies
    """A random dictionary, with random groups in place of concepts."""
    confounders: Confounders


def render_items(items: Sequence[EvaluatedItem], model: "Model", sae: "SAE[Any]") -> RenderedLog:
    """Returns the prompts of items as text and tokens, less those that are too long.

    Args:
        items: The items.
        model: The model that reads them.
        sae: An SAE of that model.

    Raises:
        UserError: A prompt is empty, or all of them are longer than the model's context.
    """
    prompts = [item.prompt for item in items]
    spans = own_texts(prompts)
    rendered = render_log(model, sae, [item.id for item in items], prompts, spans)
    kept = [i for i, each in enumerate(rendered) if each is not None]
    contents = [content_of(prompts[i]) for i in kept]
    return RenderedLog(
        kept,
        [text[spans[i].start : spans[i].end] for i, text in zip(kept, contents)],
        [spans[i] for i in kept],
        [whole_sentences(text, spans[i]) for i, text in zip(kept, contents)],
        [each for each in rendered if each is not None],
    )


def read_items(
    scored: ScoredItems,
    log: RenderedLog,
    labels: FeatureLabels,
    config: DiscoveryConfig,
    executor: Executor | None,
) -> LogReading:
    """Reads the prompts of items through an SAE and through a random dictionary.

    Args:
        scored: The items whose prompts fit the model's context, with their failures.
        log: Their prompts.
        labels: The model, the SAE, and the labels of its features.
        config: Options of the discovery.
        executor: Runs the batches of prompts; None runs them in this process.
    """
    model, sae = labels.model, labels.sae
    reader = Reader(sae, find_known_concepts(labels).concepts)
    control = random_reader(model, reader, log.rendered, config.seed)
    concepts = [[c.id, c.features, c.weights] for c in reader.concepts]
    identity = [model_fingerprint(model), sae_fingerprint(sae), concepts, config.seed]
    read = read_log(model, [reader, control], log.rendered, config.cache, identity, executor)
    of_sae, of_random = read.readings
    return LogReading(
        log.texts,
        log.spans,
        log.shown,
        log.rendered,
        ReadFamilies(reader, of_sae),
        ReadFamilies(control, of_random),
        confounders(scored.items, scored.failures, log.texts, read.n_tokens),
    )
