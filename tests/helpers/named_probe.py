"""A detector of the task `touch` whose findings have planted concepts."""

from saetask.detection.base import ConceptEvidence
from tests.helpers.probe_choices import QuickProbe

SAID = {"warm": "fire", "cold": "ice"}
OTHER = {"warm": "cold", "cold": "warm"}


class NamedProbe(QuickProbe):
    """The failure probe with planted concepts: the thing for the reading, and one against it."""

    verdict = "validated"

    def explain(self, detector_input, reading):
        found = super().explain(detector_input, reading)
        thing = detector_input.content.split()[1]
        concepts = [
            self.concept(f"{SAID[reading]} {thing}", 1.0, reading),
            self.concept(SAID[OTHER[reading]], -0.5, OTHER[reading]),
        ]
        return found._replace(concepts=concepts, log_odds=0.5, rest=0.0)

    def concept(self, name, added, reading):
        return ConceptEvidence(f"on:{name}", name, added, self.verdict, reading, [], [1], [])
