"""The dictionary: what each feature of an SAE is about, tried on unseen text."""

from saetask.dictionary.dictionary import Card, Dictionary
from saetask.dictionary.labels import FeatureEvidence, Label, Labeler
from saetask.dictionary.rules import Atom, Rule, Vocabulary

__all__ = [
    "Atom",
    "Card",
    "Dictionary",
    "FeatureEvidence",
    "Label",
    "Labeler",
    "Rule",
    "Vocabulary",
]
