"""All searches in one log: with the SAE, and with what stands in its place."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from saetask.dictionary.feature_labels import FeatureLabels
from saetask.discovery.config import DiscoveryConfig
from saetask.discovery.controls import permuted_logs, word_families
from saetask.discovery.documents import ControlFound, Controls, PermutedFound
from saetask.discovery.hypotheses import Family
from saetask.discovery.log_reading import LogReading
from saetask.discovery.search import Found, Log, chosen_hypotheses, search
from saetask.discovery.word_class_control import word_class_family
from saetask.discovery.words import WordPresence
from saetask.utils.progress import stage


class FamilySearch(NamedTuple):
    """Families of hypotheses, and what was found with them."""

    families: Sequence[Family]
    found: Found

    def document(self, q: float) -> ControlFound:
        """Returns what was found as a part of the summary."""
        confirmed = np.flatnonzero(self.found.confirmed(q))
        choices = [self.found.choices[i] for i in confirmed]
        return ControlFound(
            n_confirmed=len(choices),
            n_tested=len(self.found.choices),
            confirmed=[each.name for each in chosen_hypotheses(self.families, choices)],
        )


class Searches(NamedTuple):
    """What was found in a log, and what the same search finds by other means."""

    sae: FamilySearch
    permuted: list[Found]
    """With concepts and features, in permuted failures."""
    words: FamilySearch
    word_presence: WordPresence
    """The words and n-grams that were searched."""
    classes: FamilySearch
    random: FamilySearch

    def controls(self, q: float) -> Controls:
        """Returns the controls as a part of the summary."""
        return Controls(
            words=self.words.document(q),
            permuted=permuted_found(self.permuted, q),
            **{"word-classes": self.classes.document(q), "random-sae": self.random.document(q)},
        )


def search_all(
    reading: LogReading, log: Log, labels: FeatureLabels, config: DiscoveryConfig
) -> Searches:
    """Makes the search with the SAE, in the log and in permuted ones, and with each control."""
    with stage("search", 4, unit="step") as advance:
        families = reading.sae.families(labels)
        logs = [log, *permuted_logs(log, config.n_permuted, config.seed)]
        found, *permuted = search(families, logs, config.seed)
        advance(1)

        def by(families: Sequence[Family]) -> FamilySearch:
            (of_control,) = search(families, [log], config.seed)
            advance(1)
            return FamilySearch(families, of_control)

        words = word_families(reading.texts)
        return Searches(
            FamilySearch(families, found),
            permuted,
            by(words.families),
            words.all,
            by([word_class_family(reading.texts)]),
            by(reading.random.families(None)),
        )


def permuted_found(found: Sequence[Found], q: float) -> PermutedFound:
    """Returns how much was confirmed in permuted failures."""
    counts = [int(each.confirmed(q).sum()) for each in found]
    return PermutedFound(
        mean_confirmed=float(np.mean(counts)) if counts else 0.0,
        share_with_any=float(np.mean(np.array(counts) > 0)) if counts else 0.0,
        n_permutations=len(counts),
    )
