"""Prompts that are shown with a discovery, with the tokens on which its concept is active."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from saetask.data.rendering import RenderedPrompt
from saetask.discovery.documents import FiringToken
from saetask.discovery.reading import READ, concepts_on_tokens
from saetask.saes.concepts import Concept
from saetask.saes.extraction import extract_in_batches

if TYPE_CHECKING:
    from jaxtyping import Bool, Float64, Int64

    from saetask.models.loading import Model
    from saetask.saes.loading import SAE

MOST_SHOWN = 10


class Shown(NamedTuple):
    """Prompts to show with a discovery, as indices, the strongest presence first."""

    examples: list[int]
    """Present and failed."""
    near_misses: list[int]
    """Present and did not fail."""


def prompts_to_show(
    scores: "Float64[np.ndarray, ' n']",
    presence: "Bool[np.ndarray, ' n']",
    failures: "Float64[np.ndarray, ' n']",
    half: "Int64[np.ndarray, ' n_half']",
) -> Shown:
    """Returns the prompts of a half to show with a hypothesis.

    Args:
        scores: How strongly it is present in each prompt.
        presence: Whether it is.
        failures: Failure of each prompt; one that is above the mean counts as failed.
        half: Prompts to choose from.
    """
    present = half[presence[half]]
    ordered = present[np.argsort(-scores[present], kind="stable")]
    failed = failures[ordered] > failures.mean()
    return Shown(ordered[failed][:MOST_SHOWN].tolist(), ordered[~failed][:MOST_SHOWN].tolist())


def firing_tokens(
    model: "Model",
    sae: "SAE[Any]",
    rendered: Sequence[RenderedPrompt],
    wanted: Sequence[tuple[int, Concept, float]],
) -> list[list[FiringToken]]:
    """Returns the tokens on which concepts are active above a threshold, in characters of `READ`.

    Args:
        model: The model.
        sae: The SAE of the concepts.
        rendered: The prompts of the log.
        wanted: Index of a prompt, a concept and a threshold, for each result.
    """
    active = active_tokens(model, sae, rendered, wanted)
    return [_tokens(rendered[index], found) for (index, _, _), found in zip(wanted, active)]


def active_tokens(
    model: "Model",
    sae: "SAE[Any]",
    rendered: Sequence[RenderedPrompt],
    wanted: Sequence[tuple[int, Concept, float]],
) -> list[dict[int, float]]:
    """Returns the activations of concepts that are above a threshold, by index of the token.

    Only tokens of the region `READ` are taken.

    Args:
        model: The model.
        sae: The SAE of the concepts.
        rendered: The prompts of the log.
        wanted: Index of a prompt, a concept and a threshold, for each result.
    """
    places = sorted({index for index, _, _ in wanted})
    by_prompt: dict[int, list[int]] = {}
    for number, (index, _, _) in enumerate(wanted):
        by_prompt.setdefault(index, []).append(number)
    results: list[dict[int, float]] = [{} for _ in wanted]
    for batch in extract_in_batches(model, [sae], [rendered[i] for i in places]):
        for position, place in enumerate(batch.prompts):
            activations = batch.features[0][position]
            for number in by_prompt[places[place]]:
                _, concept, threshold = wanted[number]
                (on_tokens,) = concepts_on_tokens(activations, [concept])
                prompt = activations.prompts[0]
                values = zip(prompt.tokens_in(prompt.regions[READ]), on_tokens[:, 0].tolist())
                results[number] = {token: value for token, value in values if value > threshold}
    return results


def _tokens(prompt: RenderedPrompt, active: Mapping[int, float]) -> list[FiringToken]:
    region = prompt.regions[READ]
    tokens = []
    for token, value in active.items():
        span = prompt.token_spans[token]
        start, end = max(span.start, region.start), min(span.end, region.end)
        text = prompt.text[start:end]
        place = {"start": start - region.start, "end": end - region.start}
        tokens.append(FiringToken(**place, text=text, activation=value))
    return tokens
