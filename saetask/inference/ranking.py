"""Ranking of candidate answers by their log-likelihoods, plain or normalised."""

import itertools
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float

from saetask.data.prompts import Prompt
from saetask.utils.files import content_hash

Ranking = Literal["likelihood", "per-token", "per-character", "per-byte", "pmi"]
"""What candidates are compared by.

- `likelihood`: the log-likelihood of the whole candidate (`acc` of lm-evaluation-harness). A
  candidate that begins another one can not lose against it.
- `per-token`: that divided by the candidate's number of tokens (Brown et al. 2020, arXiv
  2005.14165, section 2.4).
- `per-character`: divided by its number of characters (`acc_norm` of lm-evaluation-harness).
- `per-byte`: divided by its number of bytes in UTF-8 (`acc_bytes` of lm-evaluation-harness).
- `pmi`: minus its log-likelihood after a premise that says nothing of the item: domain-conditional
  pointwise mutual information (Holtzman et al. 2021, "Surface Form Competition", arXiv
  2104.08315); lm-evaluation-harness has the same with an empty premise as `acc_mutual_info`.

Blanks around a candidate are not counted as characters or bytes, because the harness's choices have
none.
"""

NEUTRAL_PREMISE = "Answer."
"""The user's message, the only one, in the premise of `pmi`; the answer prefix follows it."""


def neutral_prompt(prompt: Prompt) -> Prompt:
    """Returns the premise of `pmi` for a prompt: the same answer prefix after `NEUTRAL_PREMISE`.

    It is the same for all prompts with that prefix, with or without notes, so that it removes what
    makes a candidate likely anywhere and nothing that a note does.
    """
    return Prompt([{"role": "user", "content": NEUTRAL_PREMISE}], prompt.answer_prefix)


def normalised(
    ranking: Ranking,
    log_likelihoods: Float[np.ndarray, " candidate"],
    candidates: Sequence[str],
    n_tokens: Sequence[int],
    neutral: Float[np.ndarray, " candidate"] | None = None,
) -> Float[np.ndarray, " candidate"]:
    """Returns the scores that candidates are ranked by, in nats (a token, character or byte).

    Args:
        ranking: The kind of score.
        log_likelihoods: Of each candidate after its prompt, in nats.
        candidates: Their texts.
        n_tokens: Number of tokens of each.
        neutral: Log-likelihood of each after the neutral premise; for `pmi`.
    """
    if ranking == "likelihood":
        return log_likelihoods
    if ranking == "pmi":
        assert neutral is not None
        return log_likelihoods - neutral
    texts = [candidate.strip() or candidate for candidate in candidates]
    if ranking == "per-token":
        lengths = list(n_tokens)
    elif ranking == "per-character":
        lengths = [len(text) for text in texts]
    else:
        lengths = [len(text.encode()) for text in texts]
    return log_likelihoods / np.array(lengths, dtype=float)


def begins_another(rows: Sequence[Sequence[int]]) -> bool:
    """Returns whether a candidate's tokens are the first tokens of another one."""
    ordered = sorted(map(list, rows))  # a row stands right before those that it begins
    return any(after[: len(row)] == row for row, after in itertools.pairwise(ordered))


def likeliest(scores: Iterable[float], texts: Sequence[str], item: str) -> int:
    """Returns the number of the best candidate.

    Candidates of exactly the same score are told apart by a hash of their text and the item, so
    that neither their order nor what they say decides.

    Args:
        scores: Of each candidate.
        texts: Their texts.
        item: Text or id of the item.
    """
    scores = list(scores)
    best = max(scores)
    tied = [i for i, score in enumerate(scores) if score == best] or [0]
    return min(tied, key=lambda i: content_hash([item, texts[i]])) if len(tied) > 1 else tied[0]


def is_tied(scores: Sequence[float]) -> bool:
    """Returns whether the best two scores are exactly the same."""
    best = sorted(scores)[-2:]
    return len(best) == 2 and best[0] == best[1]
