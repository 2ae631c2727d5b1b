"""Feature activations of prompts."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from saetask.compute.executor import Executor, LocalExecutor
from saetask.data.prompts import Prompt, as_prompt
from saetask.data.rendering import RenderedPrompt, render
from saetask.errors import UserError
from saetask.models.forward import batches_by_length, right_padded
from saetask.models.hooks import capture, read_hook
from saetask.models.loading import context_size, model_tokenizer
from saetask.saes.activations import FeatureActivations
from saetask.saes.encoding import (
    SparseFeatures,
    encode_rows,
    input_hook,
    ordinary_tokens,
    reads_bos,
    sae_view,
)
from saetask.utils.progress import stage

if TYPE_CHECKING:
    import torch
    from jaxtyping import Bool, Float
    from sae_lens import SAE

    from saetask.models.loading import Model

TOKENS_PER_BATCH = 2048


class ExtractedFeatures(NamedTuple):
    """Activations of prompts, by several SAEs at one hook point."""

    features: list[FeatureActivations]
    """Of each SAE."""
    raw: list[dict[str, np.ndarray]]
    """Of each prompt: the mean raw activation of each region, `[d_in]`, float32."""


def read_features(
    model: "Model",
    sae: "SAE[Any]",
    prompts: Prompt | str | Sequence[Prompt | str],
    chat: bool = False,
) -> FeatureActivations:
    """Extracts an SAE's feature activations on prompts.

    Special tokens have no activations, nor tokens whose norm or position (`seqpos_slice`) is
    beyond what the SAE was trained on. Running text begins with BOS if the SAE's did. A transcoder
    needs its input hook point only. Neither batching nor the tokenizer's padding side changes the
    result.

    Args:
        model: The model to run.
        sae: An SAE that fits it (see `check_sae`).
        prompts: One prompt or several: chats, or strings.
        chat: Take strings as the user's message of a chat, in the model's chat template, as
            `Session.read` does. The default takes them as running text, without a template: the
            same sentence then has other tokens before it, and other activations.

    Returns:
        The activations; item 0 is the prompt if one was given.

    Raises:
        UserError: A prompt is empty or longer than the model's context, or something is no prompt.
    """
    several = prompt_list(prompts)
    if chat:
        several = [as_prompt(p) if isinstance(p, str) else p for p in several]
    return extract_features(model, [sae], several).features[0]


def prompt_list(prompts: object) -> list[Prompt | str]:
    """Returns one prompt or several as a list.

    Raises:
        UserError: Something is no prompt: a message, for example, whose keys would be read.
    """
    wanted = "give a string, a saetask.data.Prompt, or a list of them"
    if isinstance(prompts, str | Prompt):
        return [prompts]
    if isinstance(prompts, Mapping | Set | bytes | bytearray) or not isinstance(prompts, Iterable):
        raise UserError(f"A {type(prompts).__name__} is no prompt; {wanted}.")
    checked: list[Prompt | str] = []
    for place, prompt in enumerate(prompts, 1):
        if not isinstance(prompt, str | Prompt):
            raise UserError(f"Prompt {place} is a {type(prompt).__name__}; {wanted}.")
        checked.append(prompt)
    return checked


def extract_features(
    model: "Model",
    saes: "Sequence[SAE[Any]]",
    prompts: Sequence[Prompt | str],
    executor: Executor | None = None,
) -> ExtractedFeatures:
    """Extracts the activations of SAEs that share a hook point, one forward pass for all.

    Args:
        model: The model to run.
        saes: One or more, all for the same inputs (a trained SAE and its controls).
        prompts: Chats, or strings, which are taken as running text.
        executor: Runs the batches of prompts; None runs them in this process.

    Raises:
        UserError: A prompt is empty or longer than the model's context.
    """
    rendered = rendered_prompts(model, saes[0], prompts)
    by_prompt: dict[int, _PromptFeatures] = {}
    with stage("read prompts", len(rendered)) as advance:
        for batch, results in _read_batches(
            model, saes, rendered, executor, prompt_batches(rendered)
        ):
            by_prompt |= zip(batch, results)
            advance(len(batch))
    return _by_sae(saes, rendered, [by_prompt[i] for i in range(len(rendered))])


class FeatureBatch(NamedTuple):
    """Activations of some of many prompts."""

    prompts: list[int]
    """Index of each."""
    features: list[FeatureActivations]
    """Of each SAE."""


def extract_in_batches(
    model: "Model",
    saes: "Sequence[SAE[Any]]",
    rendered: Sequence[RenderedPrompt],
    executor: Executor | None = None,
    batches: Sequence[list[int]] | None = None,
) -> Iterator[FeatureBatch]:
    """Yields the activations of batches of prompts, one batch after the other.

    As `extract_features`, for more prompts than whose activations have room in memory.

    Args:
        model: The model to run.
        saes: One or more, all for the same inputs.
        rendered: The prompts.
        executor: Runs the batches; None runs them in this process.
        batches: Indices of the prompts of each batch; None reads all, as `prompt_batches` orders
            them.
    """
    batches = prompt_batches(rendered) if batches is None else batches
    for batch, results in _read_batches(model, saes, rendered, executor, batches):
        yield FeatureBatch(batch, _by_sae(saes, [rendered[i] for i in batch], results).features)


def prompt_batches(rendered: Sequence[RenderedPrompt]) -> list[list[int]]:
    """Returns batches of prompts of similar length, as indices, short prompts first."""
    lengths = [len(prompt.token_ids) for prompt in rendered]
    return list(batches_by_length(lengths, max_tokens=TOKENS_PER_BATCH))


def _read_batches(
    model: "Model",
    saes: "Sequence[SAE[Any]]",
    rendered: Sequence[RenderedPrompt],
    executor: Executor | None,
    batches: Sequence[list[int]],
) -> "Iterator[tuple[list[int], list[_PromptFeatures]]]":
    shards = [[rendered[i] for i in batch] for batch in batches]
    results = (executor or LocalExecutor(model)).map(partial(_read_batch, list(saes)), shards)
    yield from zip(batches, results)


def extract_features_from_passes(
    ask: Callable[[], None], model: "Model", saes: "Sequence[SAE[Any]]", prompt: Prompt
) -> ExtractedFeatures:
    """Extracts a prompt's activations from the forward passes that `ask` makes.

    Args:
        ask: Asks the model about this prompt and no other. Where it makes no pass, because the
            answer is known already, the prompt gets a pass of its own.
        model: The model that is asked.
        saes: As `extract_features` takes them.
        prompt: The prompt.

    Raises:
        UserError: The prompt is empty or longer than the model's context.
    """
    (rendered,) = rendered_prompts(model, saes[0], [prompt])
    length = len(rendered.token_ids)
    with capture(model, input_hook(saes[0])) as passes:
        ask()
    # Passes begin with the prompt's tokens, except those for further tokens of a generated answer.
    whole = [activations[0] for activations in passes if activations.shape[1] >= length]
    if not whole:
        return extract_features(model, saes, [prompt])
    return _by_sae(saes, [rendered], _encode_prompts(saes, model, [rendered], whole[-1:]))


def rendered_prompts(
    model: "Model", sae: "SAE[Any]", prompts: Sequence[Prompt | str]
) -> list[RenderedPrompt]:
    """Returns prompts as text and tokens, as an SAE reads them.

    Raises:
        UserError: A prompt is empty or longer than the model's context.
    """
    limit, bos = context_size(model), reads_bos(sae)
    return [render(model_tokenizer(model), prompt, limit, bos) for prompt in prompts]


class _PromptFeatures(NamedTuple):
    """Activations of one prompt."""

    region_means: dict[str, np.ndarray]
    """Mean raw activation of each region, `[d_in]`, float32."""
    features: list[SparseFeatures]
    """Of each SAE."""


def _read_batch(
    saes: "Sequence[SAE[Any]]", model: "Model", prompts: Sequence[RenderedPrompt]
) -> list[_PromptFeatures]:
    """Runs prompts in one forward pass and encodes them."""
    tokens = right_padded([prompt.token_ids for prompt in prompts])
    activations = read_hook(model, tokens, input_hook(saes[0]))
    return _encode_prompts(saes, model, prompts, activations)


def _encode_prompts(
    saes: "Sequence[SAE[Any]]",
    model: "Model",
    prompts: Sequence[RenderedPrompt],
    activations: "Iterable[Float[torch.Tensor, 'pos width']]",
) -> list[_PromptFeatures]:
    """Encodes the activations of rows that begin with the prompts' tokens."""
    import torch

    first, special = saes[0], set(model_tokenizer(model).all_special_ids)
    inputs = [
        sae_view(first, row[: len(prompt.token_ids)], first.cfg.d_in)
        for prompt, row in zip(prompts, activations)
    ]
    kept = [
        ordinary_tokens(torch.tensor(prompt.token_ids), row, first, special)
        for prompt, row in zip(prompts, inputs)
    ]
    encoded = [encode_rows(sae, inputs, kept) for sae in saes]
    means = map(_region_means, prompts, inputs, kept)
    return [_PromptFeatures(mean, list(features)) for mean, *features in zip(means, *encoded)]


def _region_means(
    prompt: RenderedPrompt,
    inputs: "Float[torch.Tensor, 'pos d_in']",
    kept: "Bool[torch.Tensor, 'pos']",
) -> dict[str, np.ndarray]:
    """Returns the mean input over the kept tokens of each region; zeros where there are none."""
    values = inputs.float().cpu().numpy()
    means = {}
    for name, region in prompt.regions.items():
        tokens = [token for token in prompt.tokens_in(region) if kept[token]]
        means[name] = values[tokens].mean(0) if tokens else np.zeros_like(values[0])
    return means


def _by_sae(
    saes: "Sequence[SAE[Any]]", prompts: list[RenderedPrompt], results: Sequence[_PromptFeatures]
) -> ExtractedFeatures:
    """Regroups the activations of each prompt by SAE."""
    features = [
        _concatenated(prompts, [result.features[number] for result in results], sae.cfg.d_sae)
        for number, sae in enumerate(saes)
    ]
    return ExtractedFeatures(features, [result.region_means for result in results])


def _concatenated(
    prompts: list[RenderedPrompt], sparse: list[SparseFeatures], d_sae: int
) -> FeatureActivations:
    """Joins one SAE's activations on all prompts into one CSR structure over their tokens."""
    counts = [
        np.bincount(row.positions, minlength=len(prompt.token_ids))
        for prompt, row in zip(prompts, sparse)
    ]
    indptr = np.concatenate([[0], *counts]).cumsum()
    features = np.concatenate([np.empty(0, np.int32), *(row.features for row in sparse)])
    values = np.concatenate([np.empty(0, np.float32), *(row.values for row in sparse)])
    return FeatureActivations(prompts, d_sae, indptr, features, values)
