"""A dictionary of an SAE's features: look them up, search their labels, show their contexts."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from saetask.dictionary.concept_table import read_concepts
from saetask.dictionary.feature_card import FeatureCard
from saetask.dictionary.manifest import Manifest
from saetask.dictionary.named_features import named_features
from saetask.dictionary.queries import Contrast, contrast_features, similarities, words_fired_on
from saetask.dictionary.store import (
    CONTEXTS,
    FEATURES,
    MANIFEST,
    check_fingerprints,
    read_manifest,
    read_parquet,
)
from saetask.errors import UserError
from saetask.saes.concepts import Concept
from saetask.saes.loading import DEFAULT_SAE, assets_folder, shipped_saes
from saetask.utils.files import content_hash, file_sha256

if TYPE_CHECKING:
    from datasets import Dataset

    from saetask.models.loading import Model
    from saetask.saes.activations import FeatureActivations
    from saetask.saes.loading import SAE


class Dictionary:
    """Features with labels, verdicts and contexts, as `build` and `validate` wrote them.

    Attributes:
        folder: The dictionary's folder.
        manifest: What it was built from, and how its labels did.
        labels: The label of each feature.
        verdicts: The verdict on each label.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder, self.manifest = folder, manifest
        self._features = read_parquet(folder / FEATURES)
        self._contexts = read_parquet(folder / CONTEXTS)
        self._owners = np.asarray(self._contexts["feature"])
        self.labels: list[str] = self._features["label"].to_pylist()
        self.verdicts = ["not validated"] * len(self.labels)
        if "verdict" in self._features.column_names:
            self.verdicts = self._features["verdict"].to_pylist()

    @classmethod
    def load(cls, folder: Path | str = DEFAULT_SAE) -> "Dictionary":
        """Opens a dictionary folder, or the shipped dictionary of a shipped SAE, by its alias.

        Raises:
            UserError: The folder holds no dictionary, or a damaged one.
        """
        path = Path(folder).expanduser()
        shipped = dictionary_folder(str(folder))
        folder = shipped if len(path.parts) == 1 and shipped.is_dir() else path
        return cls(folder, read_manifest(folder))

    def check(self, model: "Model", sae: "SAE[Any]") -> None:
        """Refuses a model or an SAE that the dictionary was not built with.

        Raises:
            UserError: The fingerprints differ.
        """
        check_fingerprints(self.manifest, model, sae, self.folder)

    def content_hash(self) -> str:
        """Returns a hash of the manifest and of all tables."""
        paths = [self.folder / MANIFEST, *sorted(self.folder.glob("*.parquet"))]
        return content_hash([[path.name, file_sha256(path)] for path in paths])

    def __len__(self) -> int:
        return len(self.labels)

    def feature(self, feature: int) -> FeatureCard:
        """Returns the card of a feature.

        Raises:
            UserError: No such feature.
        """
        row = self._features.slice(self._check_number(feature), 1).to_pylist()[0]
        return FeatureCard(row, self.contexts(feature))

    def rows(self, features: Sequence[int], columns: Sequence[str]) -> list[dict[str, Any]]:
        """Returns rows of the features table, with those of some columns that it has."""
        if not features:  # of which pyarrow would not know the type
            return []
        known = [name for name in columns if name in self._features.column_names]
        return self._features.select(known).take(list(features)).to_pylist()

    def contexts(self, feature: int) -> list[dict[str, Any]]:
        """Returns a feature's contexts, the strongest first, then one of each decile."""
        low, high = np.searchsorted(self._owners, [self._check_number(feature), feature + 1])
        return self._contexts.slice(low, high - low).to_pylist()

    def top_documents(self, feature: int) -> dict[str, str]:
        """Returns the documents in which a feature fires most strongly, the strongest first.

        Returns:
            By the document's id (its source and its number there), the excerpt of it that the
            dictionary holds. The corpus is no part of a dictionary; `manifest.corpus.sources`
            names its sources.
        """
        excerpts: dict[str, str] = {}
        for row in self.contexts(feature):
            if row["kind"] == "top":
                excerpts.setdefault(row["document"], "".join(row["tokens"]))
        return excerpts

    def neighbours(self, feature: int, by: str = "direction") -> list[int]:
        """Returns the nearest features, nearest first.

        Args:
            feature: The feature.
            by: `direction` (cosine of decoder directions) or `firing` (coactivation).

        Raises:
            UserError: No such feature, or another `by`.
        """
        if by not in ("direction", "firing"):
            raise UserError(f"Neighbours are by 'direction' or by 'firing', not by {by!r}.")
        return self._features[f"near_by_{by}"][self._check_number(feature)].as_py()

    def search(self, text: str, limit: int = 10) -> list[int]:
        """Returns the features that are most similar to a text.

        Similarity is the cosine of TF-IDF vectors of words. Features whose labels, names or
        promoted tokens have a word of the text come first; then those that fire on such a word in
        their contexts.

        Args:
            text: One or more words.
            limit: Maximum number of features.

        Raises:
            UserError: The text is empty.
        """
        if not text.strip():
            raise UserError("Nothing to search for; give a word.")
        promoted = self._features["promoted"].to_pylist()
        texts = [
            f"{label} {name} {' '.join(words)}"
            for label, name, words in zip(self.labels, self._names, promoted)
        ]
        found = _ranked(similarities(texts, text))
        if len(found) < limit:
            known = set(found)
            found += [f for f in _ranked(similarities(self._words, text)) if f not in known]
        return found[:limit]

    @property
    def _names(self) -> list[str]:
        """The name of each feature with its telling words; "" where it has none."""
        if "name" not in self._features.column_names:
            return [""] * len(self)
        columns = (self._features[column].to_pylist() for column in ("name", "name_words"))
        return [" ".join([name, *words]) if name else "" for name, words in zip(*columns)]

    @cached_property
    def _words(self) -> list[str]:
        """The words that each feature fires on in its contexts."""
        words: list[list[str]] = [[] for _ in self.labels]
        for feature, word in zip(self._owners.tolist(), words_fired_on(self._contexts)):
            words[feature].append(word)
        return [" ".join(each) for each in words]

    def contrast(
        self, first: "FeatureActivations", second: "FeatureActivations", limit: int = 10
    ) -> list[Contrast]:
        """Returns the features that fire in a larger share of the first prompts than of the second.

        Args:
            first: Feature activations of some prompts.
            second: Feature activations of others.
            limit: Maximum number of features.

        Returns:
            The features with their labels, shares and significance, the largest difference first;
            of equal ones the more significant, then the more strongly firing.

        Raises:
            UserError: One of the two is empty, or they are of another SAE.
        """
        return contrast_features(first, second, self.labels, limit)

    def rarity(self) -> np.ndarray:
        """Returns −log of the share of tokens that each feature fires on, `[n_features]`.

        0 for a feature that fires nowhere.
        """
        density = np.asarray(self._features["density"], dtype=float)
        return np.where(density > 0, -np.log(np.maximum(density, 1e-12)), 0.0)

    def expected_activations(self) -> np.ndarray:
        """Returns the mean of log(1 + activation) of each feature over the corpus, `[n_features]`.

        To first order: the share of tokens it fires on, times log(1 + its mean activation there).
        """
        density, mean = (
            np.nan_to_num(np.asarray(self._features[name], dtype=float))
            for name in ("density", "mean")
        )
        return density * np.log1p(mean)

    def concepts(self) -> list[Concept]:
        """Returns the named groups of features, with the verdict on each.

        The list is empty where the features of the dictionary were not named.

        Raises:
            UserError: The table of concepts is damaged.
        """
        return list(self._concepts)

    @cached_property
    def _concepts(self) -> list[Concept]:
        return read_concepts(self.folder, len(self))

    def named_features(self) -> list[Concept]:
        """Returns the features that have a name as concepts of one feature, of id `feature:12`.

        The list is empty where the features of the dictionary were not named.
        """
        return list(self._named_features)

    @cached_property
    def _named_features(self) -> list[Concept]:
        return list(named_features(self._features, self._contexts))

    def mean_activations(self) -> np.ndarray:
        """Returns each feature's mean activation where it fires in the corpus, `[d_sae]`."""
        return np.asarray(self._features["mean"], dtype=float)

    def names(self) -> dict[int, str]:
        """Returns the labels by feature; the verdict follows a label that is not validated."""
        pairs = zip(self.labels, self.verdicts)
        return {
            feature: label if verdict == "validated" else f"{label} ({verdict})"
            for feature, (label, verdict) in enumerate(pairs)
        }

    def concept_names(self) -> dict[int, str]:
        """Returns the names of the features that have one, with telling words.

        The verdict follows a name that is not validated.
        """
        columns = ("feature", "name", "name_words", "name_verdict")
        if "name" not in self._features.column_names:
            return {}
        names = {}
        for row in self._features.select(columns).to_pylist():
            if row["name"] is None:
                continue
            words = f" ({', '.join(row['name_words'])})" if row["name_words"] else ""
            verdict = "" if row["name_verdict"] == "validated" else f"; {row['name_verdict']}"
            names[row["feature"]] = f"{row['name']}{words}{verdict}"
        return names

    def to_datasets(self) -> "Dataset":
        """Returns the features table as a `datasets.Dataset`."""
        from datasets import Dataset

        return Dataset(self._features)

    def _check_number(self, feature: int) -> int:
        if not 0 <= feature < len(self):
            raise UserError(f"There is no feature {feature}; it is 0 to {len(self) - 1}.")
        return feature


def _ranked(scores: np.ndarray) -> list[int]:
    """Returns the places of the positive scores, the highest first."""
    return [int(i) for i in np.argsort(-scores, kind="stable") if scores[i] > 0]


def dictionary_folder(alias: str) -> Path:
    """Returns the folder of the dictionary that saetask ships for one of its SAEs."""
    return assets_folder() / "dictionaries" / Path(alias).name


def shipped_dictionaries() -> Iterator[Dictionary]:
    """Yields the dictionaries that saetask ships."""
    for alias in shipped_saes():
        if dictionary_folder(alias).is_dir():
            yield Dictionary.load(alias)
