"""A log as it was read: by the SAE, by a random dictionary, and what may explain failures."""

from collections.abc import Sequence
from typing import NamedTuple

from saetask.compute.executor import Executor
from saetask.data.evaluated_items import EvaluatedItem
from saetask.data.rendering import RenderedPrompt
from saetask.dictionary.feature_labels import FeatureLabels
from saetask.discovery.config import DiscoveryConfig
from saetask.discovery.confounders import Confounders, confounders
from saetask.discovery.hypotheses import Family, concept_family, feature_family
from saetask.discovery.prompt_text import content_of, own_texts
from saetask.discovery.random_dictionary import random_reader
from saetask.discovery.reading import Reader, Readings, read_log, render_log
from saetask.experiments.known_concepts import find_known_concepts
from saetask.models.loading import model_fingerprint
from saetask.saes.loading import sae_fingerprint


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


class LogReading(NamedTuple):
    """The prompts of a log, as they were read."""

    texts: list[str]
    """What is read of each prompt."""
    rendered: list[RenderedPrompt]
    sae: ReadFamilies
    random: ReadFamilies
    """A random dictionary, with random groups in place of concepts."""
    confounders: Confounders


def read_items(
    items: Sequence[EvaluatedItem],
    labels: FeatureLabels,
    config: DiscoveryConfig,
    executor: Executor | None,
) -> LogReading:
    """Reads the prompts of items through an SAE and through a random dictionary.

    Args:
        items: The items.
        labels: The model, the SAE, and the labels of its features.
        config: Options of the discovery.
        executor: Runs the batches of prompts; None runs them in this process.

    Raises:
        UserError: A prompt is empty or too long.
    """
    model, sae = labels.model, labels.sae
    prompts = [item.prompt for item in items]
    spans = own_texts(prompts)
    rendered = render_log(model, sae, [item.id for item in items], prompts, spans)
    reader = Reader(sae, find_known_concepts(labels).concepts)
    control = random_reader(model, reader, rendered, config.seed)
    concepts = [[c.id, c.features, c.weights] for c in reader.concepts]
    identity = [model_fingerprint(model), sae_fingerprint(sae), concepts, config.seed]
    read = read_log(model, [reader, control], rendered, config.cache, identity, executor)
    texts = [content_of(p)[s.start : s.end] for p, s in zip(prompts, spans)]
    of_sae, of_random = read.readings
    return LogReading(
        texts,
        rendered,
        ReadFamilies(reader, of_sae),
        ReadFamilies(control, of_random),
        confounders(items, texts, read.n_tokens),
    )
