"""Inputs of probes on a task's prompts: neurons of hook points and features of SAEs, by region."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from saetask.data.corpus import TokenRow
from saetask.data.rendering import render
from saetask.data.samples import Sample, draw, make_samples
from saetask.detection.sparse_probes import Inputs
from saetask.models.forward import batches_by_length, right_padded
from saetask.models.hooks import read_hooks
from saetask.models.loading import model_tokenizer
from saetask.plugins import PluginRegistry
from saetask.saes.encoding import encode_rows, input_hook, ordinary_tokens, sae_view
from saetask.saes.random_sae import CALIBRATION_ROWS, random_sae
from saetask.utils.progress import stage

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float
    from sae_lens import SAE
    from scipy.sparse import csr_matrix

    from saetask.data.rendering import RenderedPrompt
    from saetask.models.loading import Model

TOKENS_PER_BATCH = 2048


class LabelledPrompts(NamedTuple):
    """Prompts whose right readings are known."""

    prompts: "list[RenderedPrompt]"
    regions: list[str]
    """Parts of each prompt that are read, side by side."""
    readings: list[str]
    groups: list[str]


def labelled_prompts(
    task_name: str, tokenizer: Any, data: Path | None = None, limit: int | None = None
) -> LabelledPrompts:
    """Returns the prompts of a task's items, of at most `limit` of them drawn at random."""
    task = PluginRegistry().get("task", task_name)
    samples: list[Sample] = [s for s in make_samples(task, task.items(data)) if s.gold_reading]
    samples = draw(samples, limit or len(samples), np.random.default_rng(0))
    return LabelledPrompts(
        [render(tokenizer, sample.prompt) for sample in samples],
        sorted(samples[0].prompt.spans),
        [sample.gold_reading or "" for sample in samples],
        [sample.group for sample in samples],
    )


def read_inputs(
    model: "Model", data: LabelledPrompts, hooks: Sequence[str], saes: "Mapping[str, SAE[Any]]"
) -> "dict[str, Inputs]":
    """Reads neurons and features in one pass over the prompts.

    Args:
        model: The model to run.
        data: The prompts.
        hooks: Hook points whose dimensions are read.
        saes: SAEs by name, at any hook points.

    Returns:
        By hook point and by name of SAE, the inputs of every region side by side.
    """
    from scipy.sparse import csr_matrix, vstack

    special = set(model_tokenizer(model).all_special_ids)
    every_hook = list(dict.fromkeys([*hooks, *map(input_hook, saes.values())]))
    lengths = [len(prompt.token_ids) for prompt in data.prompts]
    by_prompt: dict[str, dict[int, Any]] = {name: {} for name in [*hooks, *saes]}
    with stage("read prompts", len(lengths)) as advance:
        for batch in batches_by_length(lengths, max_tokens=TOKENS_PER_BATCH):
            prompts = [data.prompts[i] for i in batch]
            tokens = right_padded([prompt.token_ids for prompt in prompts])
            activations = read_hooks(model, tokens, every_hook)
            regions = [
                [prompt.tokens_in(prompt.regions[name]) for name in data.regions]
                for prompt in prompts
            ]
            for hook in hooks:
                rows = map(_region_means, activations[hook].float().cpu().numpy(), regions)
                by_prompt[hook].update(zip(batch, rows))
            for name, sae in saes.items():
                inputs = [
                    sae_view(sae, row[: len(prompt.token_ids)], sae.cfg.d_in)
                    for row, prompt in zip(activations[input_hook(sae)], prompts)
                ]
                rows = _region_maxima(sae, prompts, inputs, regions, special)
                by_prompt[name].update(zip(batch, rows))
            advance(len(batch))
    order = range(len(lengths))
    return {
        name: np.stack([rows[i] for i in order])
        if name in hooks
        else csr_matrix(vstack([rows[i] for i in order]))
        for name, rows in by_prompt.items()
    }


def _region_means(activations: np.ndarray, regions: list[list[int]]) -> np.ndarray:
    """Returns the mean activation of each region, side by side, `[regions * d_in]`."""
    return np.concatenate([activations[tokens].mean(0) for tokens in regions])


def _region_maxima(
    sae: "SAE[Any]",
    prompts: "Sequence[RenderedPrompt]",
    inputs: "list[Float[torch.Tensor, 'pos d_in']]",
    regions: list[list[list[int]]],
    special: set[int],
) -> "Iterator[csr_matrix]":
    """Yields each prompt's log(1 + largest activation) in each region, `[1, regions * d_sae]`."""
    import torch
    from scipy.sparse import csr_matrix

    kept = []
    for prompt, row, tokens in zip(prompts, inputs, regions):
        wanted = torch.zeros(len(row), dtype=torch.bool)
        wanted[sorted({token for region in tokens for token in region})] = True
        ids = torch.tensor(prompt.token_ids)
        kept.append(wanted & ordinary_tokens(ids, row, sae, special))
    for encoded, tokens in zip(encode_rows(sae, inputs, kept), regions):
        pooled = np.zeros((len(tokens), sae.cfg.d_sae), dtype=np.float32)
        for own, region in zip(pooled, tokens):
            inside = np.isin(encoded.positions, region)
            np.maximum.at(own, encoded.features[inside], encoded.values[inside])
        yield csr_matrix(np.log1p(pooled).reshape(1, -1))


def random_controls(
    model: "Model", data: LabelledPrompts, saes: "Mapping[str, SAE[Any]]"
) -> "dict[str, SAE[Any]]":
    """Returns a frozen random SAE for each SAE, as sparse as it on the first prompts."""
    rows = [TokenRow("", "", prompt.token_ids) for prompt in data.prompts[:CALIBRATION_ROWS]]
    return {name: random_sae(model, sae, rows) for name, sae in saes.items()}
