"""Reading the prompts of a log: how strongly features and concepts are present in each."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from saetask.compute.executor import Executor
from saetask.data.prompts import Prompt, Span
from saetask.data.rendering import PromptTooLongError, RenderedPrompt
from saetask.discovery.prompt_text import READ, with_span
from saetask.errors import UserError
from saetask.saes.activations import FeatureActivations
from saetask.saes.concepts import Concept, concept_weights
from saetask.saes.extraction import extract_in_batches, prompt_batches, rendered_prompts
from saetask.utils.files import atomic_path, content_hash
from saetask.utils.progress import Advance, stage

if TYPE_CHECKING:
    from jaxtyping import Float32, Int64
    from scipy.sparse import csr_matrix

    from saetask.models.loading import Model
    from saetask.saes.loading import SAE

BATCHES_PER_PART = 4
"""Batches, of at most `TOKENS_PER_BATCH` tokens, that are kept in one file, and read again after a
killed process."""


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

    def of(self, places: "Int64[np.ndarray, ' m']") -> "Readings":
        """Returns the readings of some of the prompts."""
        features: Any = self.features
        return Readings(self.concepts[places], features[places])


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
) -> list[RenderedPrompt | None]:
    """Returns the prompts as text and tokens, each with a region `READ`.

    Returns:
        Of each prompt; None where it is longer than the model's context.

    Raises:
        UserError: A prompt is empty, or all of them are too long; the line names one.
    """
    rendered: list[RenderedPrompt | None] = []
    too_long = None
    for name, prompt, span in zip(ids, prompts, spans):
        try:
            (one,) = rendered_prompts(model, sae, [with_span(prompt, span)])
        except PromptTooLongError as error:
            too_long = too_long or f"Item '{name}': {error}"
            rendered.append(None)
            continue
        except UserError as error:
            raise UserError(f"Item '{name}': {error}") from error
        regions = {**one.regions, READ: span} if isinstance(prompt, str) else one.regions
        rendered.append(replace(one, regions=regions))
    if too_long and not any(rendered):
        raise UserError(
            f"All {len(rendered)} prompts are longer than the model's context. {too_long}"
        )
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
    batches = prompt_batches(rendered)
    parts = [batches[i : i + BATCHES_PER_PART] for i in range(0, len(batches), BATCHES_PER_PART)]
    paths = [_path(folder, [rendered[i] for b in part for i in b], identity) for part in parts]
    kept = [_load(path, readers) for path in paths]
    pending = [b for part, found in zip(parts, kept) if found is None for b in part]
    read: list[list[Readings]] = []
    with stage("read prompts", sum(map(len, pending))) as advance:
        # One map over all batches: workers do not wait for the end of a part.
        pooled = _pooled(model, readers, rendered, executor, pending, advance)
        for part, path, found in zip(parts, paths, kept):
            read.append(found or _joined(list(islice(pooled, len(part)))))
            if found is None:
                _save(path, read[-1])
    joined = _joined(read)
    back = np.argsort([i for batch in batches for i in batch])
    n_tokens = [len(prompt.tokens_in(prompt.regions[READ])) for prompt in rendered]
    return ReadLog([each.of(back) for each in joined], np.array(n_tokens))


def _pooled(
    model: "Model",
    readers: Sequence[Reader],
    rendered: Sequence[RenderedPrompt],
    executor: Executor | None,
    batches: Sequence[list[int]],
    advance: Advance,
) -> Iterator[list[Readings]]:
    """Yields what each reader reads of each batch of prompts."""
    saes = [reader.sae for reader in readers]
    for batch in extract_in_batches(model, saes, rendered, executor, batches):
        read = [pool(found, reader.concepts) for found, reader in zip(batch.features, readers)]
        advance(len(batch.prompts))  # before the yield: nobody comes back after the last batch
        yield read


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


def _joined(parts: Sequence[Sequence[Readings]]) -> list[Readings]:
    """Returns the readings of all parts, one below the other, by reader."""
    from scipy.sparse import vstack

    joined = []
    for of_reader in zip(*parts):
        features: Any = vstack([each.features for each in of_reader], format="csr")
        joined.append(Readings(np.concatenate([each.concepts for each in of_reader]), features))
    return joined


def _path(folder: Path | None, prompts: Sequence[RenderedPrompt], identity: object) -> Path | None:
    if folder is None:
        return None
    read = [[prompt.token_ids, prompt.regions[READ]] for prompt in prompts]
    return folder / f"{content_hash([identity, read])}.safetensors"


def _save(path: Path | None, readings: Sequence[Readings]) -> None:
    from safetensors.numpy import save_file

    if path is None:
        return
    arrays = {}
    for number, (concepts, features) in enumerate(readings):
        arrays[f"{number}.concepts"] = np.ascontiguousarray(concepts)
        arrays |= {
            f"{number}.{name}": getattr(features, name) for name in ("data", "indices", "indptr")
        }
    with atomic_path(path) as temporary:
        save_file(arrays, temporary)


def _load(path: Path | None, readers: Sequence[Reader]) -> list[Readings] | None:
    """Returns what was read; None where there is no file, or it is damaged."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file
    from scipy.sparse import csr_matrix

    if path is None or not path.is_file():
        return None
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
