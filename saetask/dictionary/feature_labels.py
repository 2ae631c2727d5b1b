"""Labels of features: from a dictionary where there is one, else from the logit lens."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saetask.dictionary.dictionary import Dictionary, shipped_dictionaries
from saetask.models.loading import model_fingerprint
from saetask.saes.loading import sae_fingerprint
from saetask.saes.logit_lens import logit_lens_labels

if TYPE_CHECKING:
    from saetask.models.loading import Model
    from saetask.saes.loading import SAE


@dataclass(frozen=True)
class FeatureLabels:
    """The labels of an SAE's features."""

    model: "Model"
    sae: "SAE[Any]"
    dictionary: Dictionary | None = None
    unvalidated: bool = False
    """Whether annotations may use labels that were not validated."""

    def for_display(self, features: Sequence[int]) -> dict[int, str]:
        """Returns labels to show to people; the verdict follows a label that is not validated."""
        if self.dictionary is None:
            return logit_lens_labels(self.model, self.sae, features)
        names = self.dictionary.names()
        return {feature: names[feature] for feature in features}

    def for_annotation(self, features: Sequence[int]) -> dict[int, str]:
        """Returns labels that an annotation may use; of a dictionary, only validated ones."""
        if self.dictionary is None:
            return logit_lens_labels(self.model, self.sae, features)
        labels, verdicts = self.dictionary.labels, self.dictionary.verdicts
        return {f: labels[f] for f in features if self.unvalidated or verdicts[f] == "validated"}


def find_feature_labels(
    model: "Model", sae: "SAE[Any]", folder: Path | None = None, unvalidated: bool = False
) -> FeatureLabels:
    """Returns the labels of a dictionary, or of the shipped one if it is of this model and SAE.

    Args:
        model: The model.
        sae: The SAE.
        folder: A dictionary folder; None takes the shipped dictionary that fits, if any.
        unvalidated: Whether annotations may use labels that were not validated.

    Raises:
        UserError: The folder holds no dictionary, or one of another model or SAE.
    """
    if folder is not None:
        dictionary = Dictionary.load(folder)
        dictionary.check(model, sae)
        return FeatureLabels(model, sae, dictionary, unvalidated)
    fingerprints = (model_fingerprint(model), sae_fingerprint(sae))
    for dictionary in shipped_dictionaries():
        manifest = dictionary.manifest
        if (manifest.model.fingerprint, manifest.sae.fingerprint) == fingerprints:
            return FeatureLabels(model, sae, dictionary, unvalidated)
    return FeatureLabels(model, sae, None, unvalidated)
