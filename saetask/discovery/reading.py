"""Reading the prompts of a log: how strongly features and concepts are present in each."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from saetask.compute.executor import Executor
from saetask.data.prompts import Prompt, Span
from saetask.data.rendering import RenderedPrompt
from saetask.discovery.prompt_text import READ, with_span
from saetask.errors import UserError
from saetask.saes.activations import FeatureActivations
from saetask.saes.concepts import Concept, concept_weights
from saetask.saes.extraction import extract_in_batches, rendered_prompts
from saetask.utils.files import atomic_path, content_hash
from saetask.utils.progress import stage

if TYPE_CHECKING:
    from jaxtyping import Float32, Int64
    from scipy.sparse import csr_matrix

    from saetask.models.loading import Model
    from saetask.saes.loading import SAE

PROMPTS_PER_PART = 500
"""Prompts that are kept in one file; as many are read again after a killed process."""


class Reader(NamedTuple):
    """An SAE, and the groups of its features that are read as concepts."""

    sae: "SAE[Any]"
    concepts: Sequence[Concept]


class Readings(NamedTuple):
    """How strongly the features and concepts of an SAE are present in prompts."""

    concepts: "Float32[np.ndarray, 'n n_concepts']"
    """Largest activation of each concept on a token: the weighted sum of its features' log(1 +
    activation)."""
    features: "csr_matrix"
    """Largest log(1 + activation) of each feature on a token, `[n, d_sae]`, float32."""


class ReadLog(NamedTuple):
    """What was read of the prompts of a log."""

    readings: list[Readings]
    """By each reader."""
    n_tokens: "Int64[np.ndarray, ' n']"
    """Number of tokens that were read of each prompt."""


def render_log(
    model: "Model",
    sae: "SAE[Any]",
    ids: Sequence[str],
    prompts: Sequence[Prompt | str],
    spans: Sequence[Span],
) -> list[RenderedPrompt]:
    """Returns the prompts as text and tokens, each with a region `READ`.

    Raises:
        UserError: A prompt is empty or longer than the model's context; the line names it.
    """
    rendered = []
    for name, prompt, span in zip(ids, prompts, spans):
        try:
            (one,) = rendered_prompts(model, sae, [with_span(prompt, span)])
        except UserError as error:
            raise UserError(f"Item '{name}': {error}") from error
        regions = {**one.regions, READ: span} if isinstance(prompt, str) else one.regions
        rendered.append(replace(one, regions=regions))
    return rendered


def read_log(
    model: "Model",
    readers: Sequence[Reader],
    rendered: Sequence[RenderedPrompt],
    folder: Path | None = None,
    identity: object = None,
    executor: Executor | None = None,
) -> ReadLog:
    """Reads prompts through one or more SAEs, in one forward pass, and pools over their tokens.

    Memory holds the pooled activations and one batch. Where there is a folder, parts that an
    earlier process wrote there are not read again.

    Args:
        model: The model.
        readers: SAEs that share a hook point.
        rendered: The prompts; activations in their region `READ` are pooled.
        folder: Where parts are kept; None keeps none.
        identity: What parts depend on beside their prompts, such as fingerprints, as JSON.
        executor: Runs the batches; None runs them in this process.
    """
    read: list[list[Readings]] = []
    with stage("read prompts", len(rendered)) as advance:
        for first in range(0, len(rendered), PROMPTS_PER_PART):
            prompts = rendered[first : first + PROMPTS_PER_PART]
            path = _path(folder, prompts, identity)
            readings = _load(path, readers) if path and path.is_file() else None
            if readings is None:
                readings = _read_part(model, readers, prompts, executor)
                if path:
                    _save(path, readings)
            read.append(readings)
            advance(len(prompts))
    joined = [_stacked([part[number] for part in read]) for number in range(len(readers))]
    n_tokens = [len(prompt.tokens_in(prompt.regions[READ])) for prompt in rendered]
    return ReadLog(joined, np.array(n_tokens))


def _read_part(
    model: "Model",
    readers: Sequence[Reader],
    rendered: Sequence[RenderedPrompt],
    executor: Executor | None,
) -> list[Readings]:
    pooled: list[list[Readings]] = []
    places: list[int] = []
    batches = extract_in_batches(model, [reader.sae for reader in readers], rendered, executor)
    for batch in batches:
        pairs = zip(batch.features, readers)
        pooled.append([pool(features, reader.concepts) for features, reader in pairs])
        places += batch.prompts
    back = np.argsort(places)
    joined = [_stacked([batch[i] for batch in pooled]) for i in range(len(readers))]
    return [Readings(each.concepts[back], each.features[back]) for each in joined]


def pool(activations: FeatureActivations, concepts: Sequence[Concept]) -> Readings:
    """Returns the largest activation of features and concepts over the tokens that are read."""
    features: Any = activations.pooled(READ)
    features.data = np.log1p(np.maximum(features.data, 0))
    scores = np.zeros((len(activations), len(concepts)), np.float32)
    for item, on_tokens in enumerate(concepts_on_tokens(activations, concepts)):
        scores[item] = on_tokens.max(axis=0, initial=0)
    return Readings(scores, features.astype(np.float32))


def concepts_on_tokens(
    activations: FeatureActivations, concepts: Sequence[Concept]
) -> "list[Float32[np.ndarray, 'n_read n_concepts']]":
    """Returns the activation of each concept on each token that is read, by prompt."""
    from scipy.sparse import csr_matrix

    values = np.log1p(np.maximum(activations.values, 0))
    shape = (len(activations.indptr) - 1, activations.d_sae)
    matrix: Any = csr_matrix((values, activations.features, activations.indptr), shape=shape)
    weights: Any = concept_weights(concepts, activations.d_sae).astype(np.float32)
    dense = (matrix @ weights).toarray()
    first, rows = 0, []
    for prompt in activations.prompts:
        tokens = prompt.tokens_in(prompt.regions[READ])
        rows.append(dense[[first + token for token in tokens]])
        first += len(prompt.token_ids)
    return rows


def _stacked(readings: Sequence[Readings]) -> Readings:
    from scipy.sparse import vstack

    features: Any = vstack([each.features for each in readings], format="csr")
    return Readings(np.concatenate([each.concepts for each in readings]), features)


def _path(folder: Path | None, prompts: Sequence[RenderedPrompt], identity: object) -> Path | None:
    if folder is None:
        return None
    read = [[prompt.token_ids, prompt.regions[READ]] for prompt in prompts]
    return folder / f"{content_hash([identity, read])}.safetensors"


def _save(path: Path, readings: Sequence[Readings]) -> None:
    from safetensors.numpy import save_file

    arrays = {}
    for number, (concepts, features) in enumerate(readings):
        arrays[f"{number}.concepts"] = np.ascontiguousarray(concepts)
        arrays |= {
            f"{number}.{name}": getattr(features, name) for name in ("data", "indices", "indptr")
        }
    with atomic_path(path) as temporary:
        save_file(arrays, temporary)


def _load(path: Path, readers: Sequence[Reader]) -> list[Readings] | None:
    """Returns what was read; None where the file is damaged."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file
    from scipy.sparse import csr_matrix

    readings = []
    try:
        arrays = load_file(path)
        for number, reader in enumerate(readers):
            concepts = arrays[f"{number}.concepts"]
            parts = tuple(arrays[f"{number}.{name}"] for name in ("data", "indices", "indptr"))
            shape = (len(concepts), reader.sae.cfg.d_sae)
            readings.append(Readings(concepts, csr_matrix(parts, shape=shape)))
    except (SafetensorError, KeyError, ValueError):
        return None
    return readings
