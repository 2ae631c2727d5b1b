"""A prompt's feature activations as a JSON document: where concepts and features fire in its text.

The strength of a concept on a token is its activation there (`saetask.saes.Concept.weights`). A
concept of many features is a little active everywhere, and one of frequent words is often strong:
so concepts are ordered by how far their strongest token stands out from their median token,
relative to what the corpus leads to expect of any token.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from saetask.saes.activations import FeatureActivations
from saetask.saes.concepts import Concept, concept_weights, feature_of

if TYPE_CHECKING:
    from jaxtyping import Float
    from scipy.sparse import csr_matrix

    from saetask.dictionary.dictionary import Dictionary

CONCEPTS, FEATURES = 24, 48
"""Maximum number of concepts and of features in a document, besides those that are asked for."""
NEAREST = 3
"""Neighbours of a concept or feature that are named."""
PLACES = 3
"""Decimals of activations."""


COLUMNS = (
    "feature",
    "label",
    "verdict",
    "name",
    "name_verdict",
    "maximum",
    "density",
    "near_by_direction",
    "near_by_firing",
)
"""Columns of the features table that a row of a document is made of."""


class Piece(NamedTuple):
    """A piece of the text: one token, or several that are parts of one character."""

    text: str
    tokens: list[int]
    """Their indices in the prompt."""


def reading_document(
    activations: FeatureActivations,
    dictionary: "Dictionary | None",
    also: Collection[str] = (),
) -> dict[str, Any]:
    """Returns where concepts and features fire in the text of one prompt.

    Args:
        activations: Of one prompt.
        dictionary: The dictionary of the SAE; None where there is none, and features have no names.
        also: Ids of concepts, and of features as `feature:12`, that are listed in any case.

    Returns:
        `text`; `pieces` (the text cut into tokens); `concepts` and `features`, those that stand out
        most first, each with its id, name, verdict, `strength` on each piece and the ids of its
        nearest neighbours.
    """
    pieces = list(text_pieces(activations))
    strengths = _piece_strengths(activations, pieces)
    features = _features(strengths, dictionary, also)
    concepts = _concepts(strengths, dictionary, also) if dictionary else []
    return {
        "text": "".join(piece.text for piece in pieces),
        "pieces": [piece.text for piece in pieces],
        "concepts": concepts,
        "features": features,
    }


def text_pieces(activations: FeatureActivations) -> Iterator[Piece]:
    """Yields the tokens of one prompt's text; together they are the text, with nothing left out."""
    prompt = activations.prompts[0]
    region, cursor = prompt.regions["text"], prompt.regions["text"].start
    held: list[int] = []
    for token in prompt.tokens_in(region):
        span = prompt.token_spans[token]
        end = min(span.end, region.end)
        held.append(token)
        if end > cursor:
            yield Piece(prompt.text[cursor:end], held)
            cursor, held = end, []
        elif end == cursor:  # a further token of the same character
            held = []
    if cursor < region.end:
        yield Piece(prompt.text[cursor : region.end], [])


def _piece_strengths(activations: FeatureActivations, pieces: Sequence[Piece]) -> "csr_matrix":
    """Returns log(1 + activation) by piece, the strongest of its tokens', `[piece, d_sae]`."""
    from scipy.sparse import csr_matrix, vstack

    n_tokens = len(activations.prompts[0].token_ids)
    values = np.log1p(np.abs(activations.values))
    shape = (n_tokens, activations.d_sae)
    tokens: Any = csr_matrix((values, activations.features, activations.indptr), shape=shape)
    rows = [
        tokens[piece.tokens].max(axis=0).tocsr() if piece.tokens else csr_matrix((1, shape[1]))
        for piece in pieces
    ]
    return csr_matrix(vstack(rows)) if rows else csr_matrix((0, shape[1]))


def _concepts(
    strengths: Any, dictionary: "Dictionary", also: Collection[str]
) -> list[dict[str, Any]]:
    concepts = dictionary.concepts()
    if not concepts or not strengths.shape[0]:
        return []
    weights = concept_weights(concepts, strengths.shape[1])
    matrix = (strengths @ weights).toarray()
    expected = np.maximum(dictionary.expected_activations() @ weights, 0)
    # A concept of which next to nothing is expected would lead by next to nothing.
    standing_out = matrix.max(axis=0) - np.median(matrix, axis=0)
    standing_out = standing_out / (expected + np.median(expected) + 1e-12)
    order = np.argsort(-standing_out, kind="stable")
    chosen = [i for i in order if standing_out[i] > 0][:CONCEPTS]
    chosen += [i for i in order if concepts[i].id in also and i not in chosen]
    nearest = nearest_concepts(concepts, strengths.shape[1])
    return [
        {
            "id": concepts[i].id,
            "name": concepts[i].name,
            "words": list(concepts[i].words),
            "verdict": concepts[i].verdict,
            "n_features": len(concepts[i].features),
            "strength": np.round(matrix[:, i], PLACES).tolist(),
            "near": [concepts[near].id for near in nearest[i]],
        }
        for i in map(int, chosen)
    ]


def nearest_concepts(concepts: Sequence[Concept], d_sae: int) -> list[list[int]]:
    """Returns the concepts that share most features with each, by their Jaccard index.

    Args:
        concepts: The concepts.
        d_sae: Number of features of the SAE.
    """
    member: Any = concept_weights(concepts, d_sae).astype(bool).astype(float)
    shared = (member.T @ member).toarray()
    sizes = np.diag(shared)
    jaccard = shared / np.maximum(sizes[:, None] + sizes - shared, 1)
    np.fill_diagonal(jaccard, 0)
    order = np.argsort(-jaccard, axis=1, kind="stable")[:, :NEAREST]
    return [[int(j) for j in row if jaccard[i, j] > 0] for i, row in enumerate(order)]


def _features(
    strengths: Any, dictionary: "Dictionary | None", also: Collection[str]
) -> list[dict[str, Any]]:
    """Returns the features that stand out: strong here, and rarely active in the corpus."""
    if not strengths.shape[0]:
        return []
    peaks = strengths.max(axis=0).toarray().ravel()
    weight = np.ones_like(peaks) if dictionary is None else dictionary.rarity()
    scores = peaks * weight
    order = np.argsort(-scores, kind="stable")[:FEATURES]
    wanted = [int(i) for i in order if scores[i] > 0]
    asked = {feature for name in also if (feature := feature_of(name)) is not None}
    wanted += sorted(i for i in asked - set(wanted) if i < strengths.shape[1])
    columns = strengths.tocsc()
    return [
        {**row, "strength": _rounded(columns[:, feature])}
        for feature, row in zip(wanted, feature_rows(wanted, dictionary))
    ]


def _rounded(column: Any) -> list[float]:
    values: Float[np.ndarray, " piece"] = np.expm1(column.toarray().ravel())
    return np.round(values, PLACES).tolist()


def feature_rows(features: Sequence[int], dictionary: "Dictionary | None") -> list[dict[str, Any]]:
    """Returns what a dictionary says of some features, in short."""
    if dictionary is None:
        nothing = {"name": None, "label": "", "verdict": "", "near": []}
        return [{"id": f"feature:{feature}", **nothing} for feature in features]
    return [_feature_row(row) for row in dictionary.rows(features, COLUMNS)]


def _feature_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a feature with its nearest features, by direction first."""
    near = dict.fromkeys([*row["near_by_direction"][:2], *row["near_by_firing"]])
    return {
        "id": f"feature:{row['feature']}",
        "name": row.get("name"),
        "label": row["label"],
        "verdict": row.get("name_verdict") or row.get("verdict") or "not validated",
        "maximum": row["maximum"],
        "density": row["density"],
        "near": [f"feature:{other}" for other in list(near)[:NEAREST]],
    }
