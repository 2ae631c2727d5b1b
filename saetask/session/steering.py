"""One prompt, answered with and without an edit, and with random pushes as the control."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from saetask.data.prompts import Prompt
from saetask.inference.client import answer_requests
from saetask.inference.likelihood import supports_token_trees
from saetask.inference.requests import (
    GenerateRequest,
    RankRequest,
    TokenisedRequest,
    tokenise,
)
from saetask.saes.encoding import decoded_change
from saetask.saes.feature_edits import FeatureEdit, features_edited
from saetask.saes.interventions import random_directions
from saetask.saes.metrics import read_reconstruction_inputs

if TYPE_CHECKING:
    from saetask.models.loading import Model
    from saetask.saes.loading import SAE

N_RANDOM = 3
"""Number of random directions that stand beside an edit."""


class PromptAnswers(NamedTuple):
    """What a model answers to a prompt."""

    text: str
    """Generated greedily."""
    log_likelihoods: dict[str, float]
    """Of each candidate answer, in nats; empty without candidates."""


class SteeredPrompt(NamedTuple):
    """A prompt's answers before and after an edit, and after random pushes."""

    before: PromptAnswers
    after: PromptAnswers
    random: list[PromptAnswers]
    """Each along another random direction, on every token as far as the edit moves it."""
    relative_norm: float
    """Mean norm of the change, as a share of the activation's, over the prompt's tokens that the
    edit reaches; 0 without any."""


def steer_prompt(
    model: "Model",
    sae: "SAE",
    prompt: Prompt,
    candidates: Sequence[str],
    edit: FeatureEdit,
    max_new_tokens: int,
    seed: int = 0,
) -> SteeredPrompt:
    """Answers a prompt before and after an edit of features, and after random pushes.

    Args:
        model: The model.
        sae: An SAE that fits it.
        prompt: The prompt.
        candidates: Candidate answers to rank; none where there are none.
        edit: The edit, at every token that the SAE was trained on, of prompt and answer.
        max_new_tokens: Maximum length of the generated text.
        seed: Seed of the random directions.

    Raises:
        UserError: The prompt is too long, or the edit can not be made.
    """
    requests: list[GenerateRequest | RankRequest] = [GenerateRequest(prompt, max_new_tokens)]
    if candidates:
        requests.append(RankRequest(prompt, tuple(candidates)))
    checked = [TokenisedRequest(each, tokenise(model, each)) for each in requests]
    supports_token_trees(model)  # which is tested once, and not under a hook

    def answer(within: AbstractContextManager[None]) -> PromptAnswers:
        with within:
            text, *ranked = answer_requests(model, checked)
        scores = [score for values in ranked for score in values if isinstance(score, float)]
        return PromptAnswers(str(text), dict(zip(candidates, scores)))

    directions = random_directions(sae.W_dec.shape[1], [seed], N_RANDOM)
    return SteeredPrompt(
        answer(nullcontext()),
        answer(features_edited(model, sae, edit)),
        [answer(features_edited(model, sae, edit, along)) for along in directions],
        _relative_norm(model, sae, checked[0].tokens.prompt_ids, edit),
    )


def _relative_norm(
    model: "Model", sae: "SAE", token_ids: Sequence[int], edit: FeatureEdit
) -> float:
    row = read_reconstruction_inputs(model, sae, list(token_ids))
    moved = decoded_change(sae, row.inputs, row.kept, edit).norm(dim=-1)[row.kept]
    norms = row.targets.norm(dim=-1)[row.kept].to(moved)
    reached = moved > 0
    shares = (moved[reached] / norms[reached]).cpu().numpy()
    return float(np.mean(shares)) if len(shares) else 0.0
