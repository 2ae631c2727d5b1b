"""A dictionary that is nothing but concepts, in the place of a built one."""

from pathlib import Path

from saetask.dictionary.feature_labels import FeatureLabels


class NamedFeatures:
    """A dictionary of concepts; every label is its feature's number."""

    folder = Path("named")

    def __init__(self, concepts, d_sae):
        self._concepts = list(concepts)
        self.labels = [f"label {feature}" for feature in range(d_sae)]
        self.verdicts = ["validated"] * d_sae

    def concepts(self):
        return list(self._concepts)

    def names(self):
        return dict(enumerate(self.labels))

    def content_hash(self):
        return str(self._concepts)


def named_labels(concepts, model=None, sae=None, d_sae=64, unvalidated=False):
    """Returns labels with a dictionary of some concepts."""
    dictionary = NamedFeatures(concepts, d_sae)
    return FeatureLabels(model, sae, dictionary, unvalidated)  # pyright: ignore
