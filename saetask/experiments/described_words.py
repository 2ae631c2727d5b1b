"""Share of the evidence that lies on words which the concepts' names describe."""

from collections.abc import Sequence

import numpy as np

from saetask.detection.base import ConceptEvidence, Misunderstanding
from saetask.report.explanation import Faithfulness
from saetask.saes.described_words import describes

SHUFFLES = 200
"""Number of times that names are exchanged among the listed concepts."""


def measure_described(findings: Sequence[Misunderstanding], seed: int) -> Faithfulness | None:
    """Returns the share of the evidence on single words that lies on words of the concept's name.

    Of concepts that fire, each word counts with what it adds. The control exchanges the names of
    all listed concepts, which keeps how often each name occurs.

    Args:
        findings: Misunderstandings with concepts.
        seed: Seed of the exchanges.

    Returns:
        None where no name tells of single words.
    """
    listed = [concept for found in findings for concept in found.concepts if concept.tokens]
    if (share := _share([concept.id for concept in listed], listed)) is None:
        return None
    generator = np.random.default_rng(seed)
    ids = np.array([concept.id for concept in listed])
    exchanged = [
        _share(generator.permutation(ids).tolist(), listed) or 0.0 for _ in range(SHUFFLES)
    ]
    reached = sum(each >= share for each in exchanged)
    return Faithfulness(
        effect=share, random=float(np.mean(exchanged)), p=(1 + reached) / (1 + SHUFFLES)
    )


def _share(ids: Sequence[str], concepts: Sequence[ConceptEvidence]) -> float | None:
    """Returns the share with these ids in the concepts' places; None where none tells of words."""
    described = told = 0.0
    for concept_id, concept in zip(ids, concepts):
        for token in concept.tokens:
            if (fits := describes(concept_id, token.word)) is not None:
                told += abs(token.adds)
                described += abs(token.adds) * fits
    return described / told if told else None
