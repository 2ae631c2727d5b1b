"""Reading prompts through an SAE."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from saetask.compute.executor import Executor, LocalExecutor
from saetask.data.corpus import TokenRow
from saetask.data.prompts import Prompt, RenderedPrompt, render
from saetask.models.forward import batches_by_length, right_padded
from saetask.models.hooks import capture, read_hook
from saetask.models.loading import context_size, model_tokenizer
from saetask.saes.activations import FeatureActivations, TokenActivations
from saetask.saes.encoding import (
    SparseFeatures,
    encode_rows,
    input_hook,
    ordinary_tokens,
    reads_bos,
    sae_view,
)

if TYPE_CHECKING:
    import torch
    from sae_lens import SAE

    from saetask.models.loading import Model

TOKENS_PER_BATCH = 2048


class ExtractedFeatures(NamedTuple):
    """What prompts gave to several SAEs at one hook point."""

    features: list[FeatureActivations]
    """Of each SAE."""
    raw: list[dict[str, np.ndarray]]
    """Of each prompt: the mean raw activation of each region, `[d_in]`, float32."""


def read_features(
    model: "Model", sae: "SAE[Any]", prompts: Sequence[Prompt | str]
) -> FeatureActivations:
    """Reads prompts through an SAE.

    Special tokens have no firings, nor tokens whose norm or position (`seqpos_slice`) is beyond
    what the SAE was trained on. Running text begins with BOS if the SAE's did. A transcoder needs
    its input hook point only. Neither batching nor the tokenizer's padding side changes a reading.

    Args:
        model: The model to read.
        sae: An SAE that fits it (see `check_sae`).
        prompts: Chats, or strings, which are read as running text.

    Raises:
        UserError: A prompt is empty or longer than the model's context.
    """
    return extract_features(model, [sae], prompts).features[0]


def extract_features(
    model: "Model",
    saes: "Sequence[SAE[Any]]",
    prompts: Sequence[Prompt | str],
    engine: Executor | None = None,
) -> ExtractedFeatures:
    """Reads prompts through SAEs that share a hook point, with one forward pass for all.

    Args:
        model: The model to read.
        saes: One or more, all for the same inputs (a trained SAE and its controls).
        prompts: As `read_features` takes them.
        engine: Where batches of prompts are read; None reads them here.

    Raises:
        UserError: A prompt is empty or longer than the model's context.
    """
    from tqdm import tqdm

    rendered = _rendered(model, saes, prompts)
    lengths = [len(prompt.token_ids) for prompt in rendered]
    batches = list(batches_by_length(lengths, most_tokens=TOKENS_PER_BATCH))
    shards = [[rendered[i] for i in batch] for batch in batches]
    read = (engine or LocalExecutor(model)).map(partial(_read_batch, list(saes)), shards)
    with tqdm(total=len(rendered), unit="prompt", desc="read", disable=len(batches) < 2) as bar:
        found: dict[int, _Read] = {}
        for batch, results in zip(batches, read):
            found |= zip(batch, results)
            bar.update(len(batch))
    return _together(saes, rendered, [found[i] for i in range(len(rendered))])


def extract_features_from_passes(
    ask: Callable[[], None], model: "Model", saes: "Sequence[SAE[Any]]", prompt: Prompt
) -> ExtractedFeatures:
    """Reads a prompt in the forward pass that asks about it, if there is one.

    Args:
        ask: Asks the model about this prompt and no other; where the answer is known already, and
            no pass is made, the prompt is read by one of its own.
        model: The model that is asked.
        saes: As `extract_features` takes them.
        prompt: The prompt.

    Raises:
        UserError: The prompt is empty or longer than the model's context.
    """
    (rendered,) = _rendered(model, saes, [prompt])
    length = len(rendered.token_ids)
    with capture(model, input_hook(saes[0])) as passes:
        ask()
    # Each pass begins with the prompt's tokens, but for those of a generated answer's further ones.
    whole = [activations[0] for activations in passes if activations.shape[1] >= length]
    if not whole:
        return extract_features(model, saes, [prompt])
    return _together(saes, [rendered], _read_rows(saes, model, [rendered], whole[-1:]))


def _rendered(
    model: "Model", saes: "Sequence[SAE[Any]]", prompts: Sequence[Prompt | str]
) -> list[RenderedPrompt]:
    limit, bos = context_size(model), reads_bos(saes[0])
    return [render(model_tokenizer(model), prompt, limit, bos) for prompt in prompts]


class _Read(NamedTuple):
    """What one prompt gave."""

    means: dict[str, np.ndarray]
    """Mean raw activation of each region."""
    features: list[SparseFeatures]
    """Of each SAE."""


def _read_batch(
    saes: "Sequence[SAE[Any]]", model: "Model", prompts: Sequence[RenderedPrompt]
) -> list[_Read]:
    """Reads prompts in one forward pass."""
    tokens = right_padded([prompt.token_ids for prompt in prompts])
    activations = read_hook(model, tokens, input_hook(saes[0]))
    return _read_rows(saes, model, prompts, activations)


def _read_rows(
    saes: "Sequence[SAE[Any]]",
    model: "Model",
    prompts: Sequence[RenderedPrompt],
    activations: "Iterable[torch.Tensor]",
) -> list[_Read]:
    """Encodes what rows that begin with the prompts' tokens gave, each `[pos, width]`."""
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
    means = map(_means, prompts, inputs, kept)
    return [_Read(mean, list(features)) for mean, *features in zip(means, *encoded)]


def _together(
    saes: "Sequence[SAE[Any]]", prompts: list[RenderedPrompt], found: Sequence[_Read]
) -> ExtractedFeatures:
    features = [
        _gathered(prompts, sae.cfg.d_sae, [read.features[number] for read in found])
        for number, sae in enumerate(saes)
    ]
    return ExtractedFeatures(features, [read.means for read in found])


def _gathered(
    prompts: list[RenderedPrompt], d_sae: int, found: list[SparseFeatures]
) -> FeatureActivations:
    counts = [
        np.bincount(one.positions, minlength=len(prompt.token_ids))
        for prompt, one in zip(prompts, found)
    ]
    starts = np.concatenate([[0], *counts]).cumsum()
    features = np.concatenate([np.empty(0, np.int32), *(one.features for one in found)])
    values = np.concatenate([np.empty(0, np.float32), *(one.values for one in found)])
    return FeatureActivations(prompts, d_sae, starts, features, values)


def _means(prompt: RenderedPrompt, inputs: Any, kept: Any) -> dict[str, np.ndarray]:
    """Returns the mean input over the kept tokens of each region; zeros where there are none."""
    values = inputs.float().cpu().numpy()
    found = {}
    for name, region in prompt.regions.items():
        tokens = [token for token in prompt.tokens_in(region) if kept[token]]
        found[name] = values[tokens].mean(0) if tokens else np.zeros_like(values[0])
    return found


ROWS_PER_BLOCK, ROWS_PER_BATCH = 64, 16
"""Rows are batched by length within blocks; fixed, since a row read in other company differs in the
last bits of its activations."""


def document_hash(document: str) -> int:
    """Returns 64 bits of a document id's SHA-256."""
    return int.from_bytes(hashlib.sha256(document.encode()).digest()[:8])


def extract_token_activations(
    model: "Model", saes: "Sequence[SAE[Any]]", rows: Sequence[TokenRow]
) -> list[TokenActivations]:
    """Reads rows through SAEs that share a hook point, with one forward pass for all.

    Special tokens and norm outliers have no firings.

    Args:
        model: The model to read.
        saes: Any number of SAEs at the same hook point.
        rows: Token rows of one or more documents.

    Returns:
        The firings of each SAE.
    """
    special = set(model_tokenizer(model).all_special_ids)
    found: list[list[Any]] = [[None] * len(rows) for _ in saes]
    for batch in read_inputs(model, saes[0], rows):
        for sae, sparse in zip(saes, found):
            for inputs, firings in zip(batch, _encode(sae, batch, special)):
                sparse[inputs.row] = firings
    token_ids = np.concatenate([np.array(row.token_ids, np.int32) for row in rows])
    starts = np.cumsum([0, *(len(row.token_ids) for row in rows)])
    documents = np.array([document_hash(row.document) for row in rows], np.uint64)
    return [
        TokenActivations(
            token_ids,
            starts,
            documents,
            np.cumsum(np.concatenate([[0], *(counts for counts, _, _ in sparse)])),
            np.concatenate([features for _, features, _ in sparse]),
            np.concatenate([values for _, _, values in sparse]),
            sae.cfg.d_sae,
        )
        for sae, sparse in zip(saes, found)
    ]


class RowInputs(NamedTuple):
    """What an SAE is given for one row."""

    row: int
    token_ids: "torch.Tensor"
    """`[pos]`."""
    activations: "torch.Tensor"
    """`[pos, d_in]`, at the SAE's hook point."""


def read_inputs(
    model: "Model", sae: "SAE[Any]", rows: Sequence[TokenRow]
) -> Iterator[list[RowInputs]]:
    """Yields the inputs of an SAE for each row, in batches of rows of similar length."""
    lengths = [len(row.token_ids) for row in rows]
    for batch in batches(lengths):
        tokens = right_padded([rows[i].token_ids for i in batch])
        activations = read_hook(model, tokens, input_hook(sae))
        yield [
            RowInputs(i, own[: lengths[i]], sae_view(sae, given[: lengths[i]], sae.cfg.d_in))
            for i, own, given in zip(batch, tokens, activations)
        ]


def batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yields batches of rows of similar length, by index."""
    for first in range(0, len(lengths), ROWS_PER_BLOCK):
        block = range(first, min(first + ROWS_PER_BLOCK, len(lengths)))
        order = sorted(block, key=lengths.__getitem__)
        for start in range(0, len(order), ROWS_PER_BATCH):
            yield order[start : start + ROWS_PER_BATCH]


def _encode(
    sae: "SAE[Any]", batch: Sequence[RowInputs], special: set[int]
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yields, for each row, how many features fire on each token, which, and how strongly."""
    kept = [ordinary_tokens(row.token_ids, row.activations, sae, special) for row in batch]
    encoded = encode_rows(sae, [row.activations for row in batch], kept)
    for row, (positions, features, values) in zip(batch, encoded):
        fires = values > 0
        counts = np.bincount(positions[fires], minlength=len(row.token_ids))
        yield counts, features[fires], values[fires]
