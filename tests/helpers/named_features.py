"""A dictionary that is nothing but concepts, in the place of a built one."""

from pathlib import Path
from types import SimpleNamespace

from saetask.dictionary.feature_labels import FeatureLabels


class NamedFeatures:
    """A dictionary of concepts; every label is its feature's number."""

    folder = Path("named")

    def __init__(self, concepts, d_sae, features=()):
        self._concepts, self._features = list(concepts), list(features)
        self.labels = [f"label {feature}" for feature in range(d_sae)]
        self.verdicts = ["validated"] * d_sae

    def concepts(self):
        return list(self._concepts)

    def named_features(self):
        return list(self._features)

    def names(self):
        return dict(enumerate(self.labels))

    def content_hash(self):
        return str(self._concepts)


def named_labels(concepts, model=None, sae=None, d_sae=64, unvalidated=False, features=()):
    """Returns labels with a dictionary of some concepts, and of single features with a name."""
    dictionary = NamedFeatures(concepts, d_sae, features)
    sae = sae or SimpleNamespace(cfg=SimpleNamespace(d_sae=d_sae))
    return FeatureLabels(model, sae, dictionary, unvalidated)  # pyright: ignore
