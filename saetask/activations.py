"""Reading prompts through an SAE: every firing, with the characters it stands on."""

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from saetask.engines.engine import Engine
from saetask.engines.local import LocalEngine
from saetask.hooks import read_hook, right_padded
from saetask.models import context_size, model_tokenizer
from saetask.prompts import Prompt, RenderedPrompt, Span, render
from saetask.sae_encoding import encode, input_hook, ordinary_tokens, reads_bos, sae_view

if TYPE_CHECKING:
    from sae_lens import SAE
    from scipy.sparse import csr_matrix

    from saetask.models import Model

TOKENS_PER_BATCH = 2048


class Firing(NamedTuple):
    """One feature active on one token."""

    item: int
    token: int
    span: Span
    text: str
    feature: int
    value: float


@dataclass(frozen=True)
class FeatureActivations:
    """The feature activations of a batch of prompts, sparse (CSR over all tokens)."""

    prompts: Sequence[RenderedPrompt]
    d_sae: int
    indptr: np.ndarray
    """Where each token's firings begin, `[n_tokens + 1]`, prompts one after another."""
    features: np.ndarray
    """Feature of each firing, `[n_firings]`, int32."""
    values: np.ndarray
    """Activation of each firing, `[n_firings]`, float32; negative only where an SAE's features
    have two directions (AbsTopK)."""

    def __len__(self) -> int:
        return len(self.prompts)

    def __getitem__(self, item: int) -> "FeatureActivations":
        """Returns the activations of one prompt."""
        item = range(len(self))[item]
        first, last = self._first_tokens()[[item, item + 1]]
        low, high = self.indptr[[first, last]]
        return FeatureActivations(
            [self.prompts[item]],
            self.d_sae,
            self.indptr[first : last + 1] - low,
            self.features[low:high],
            self.values[low:high],
        )

    def _first_tokens(self) -> np.ndarray:
        return np.cumsum([0, *(len(p.token_ids) for p in self.prompts)])

    def firings(self) -> Iterator[Firing]:
        """Yields every firing, in the order of items and tokens."""
        position = 0
        for item, prompt in enumerate(self.prompts):
            for token, span in enumerate(prompt.token_spans):
                for i in range(self.indptr[position], self.indptr[position + 1]):
                    text = prompt.text[span.start : span.end]
                    feature, value = int(self.features[i]), float(self.values[i])
                    yield Firing(item, token, span, text, feature, value)
                position += 1

    def top(self, k: int = 10, region: str | None = None) -> list[Firing]:
        """Returns the k strongest firings, each feature of an item once (where it is strongest).

        Args:
            k: How many.
            region: A named region of the prompts, such as `text`; None takes all tokens.
        """
        best: dict[tuple[int, int], Firing] = {}
        for firing in self.firings():
            regions = self.prompts[firing.item].regions
            if region is not None and not firing.span.overlaps(regions[region]):
                continue
            key = (firing.item, firing.feature)
            if key not in best or abs(firing.value) > abs(best[key].value):
                best[key] = firing
        return sorted(best.values(), key=lambda firing: -abs(firing.value))[:k]

    def at(self, span: Span, item: int = 0) -> list[Firing]:
        """Returns an item's firings on the tokens that overlap a range of its rendered text."""
        return [f._replace(item=item) for f in self[item].firings() if f.span.overlaps(span)]

    def pooled(self, region: str | None = None, how: Literal["max", "sum"] = "max") -> "csr_matrix":
        """Pools each item's activations over tokens.

        Args:
            region: A named region of the prompts; None pools over all tokens.
            how: Keep a feature's strongest activation, or their sum.

        Returns:
            `[n_items, d_sae]`, float32.
        """
        from scipy.sparse import csr_matrix

        counts = np.diff(self.indptr)
        token_items = np.repeat(np.arange(len(self)), [len(p.token_ids) for p in self.prompts])
        chosen = np.ones(len(counts), dtype=bool)
        if region is not None:
            chosen[:] = False
            for first, prompt in zip(self._first_tokens(), self.prompts):
                chosen[[first + t for t in prompt.tokens_in(prompt.regions[region])]] = True
        kept = np.repeat(chosen, counts)
        keys = np.repeat(token_items, counts)[kept] * self.d_sae + self.features[kept]
        order = np.argsort(keys, kind="stable")
        unique, starts = np.unique(keys[order], return_index=True)
        values = self.values[kept][order]
        pooled = values
        if len(starts) and how == "sum":
            pooled = np.add.reduceat(values, starts)
        elif len(starts):
            most, least = (f.reduceat(values, starts) for f in (np.maximum, np.minimum))
            pooled = np.where(most >= -least, most, least)
        positions = (unique // self.d_sae, unique % self.d_sae)
        return csr_matrix((pooled, positions), shape=(len(self), self.d_sae))

    def density(self, items: Sequence[int]) -> np.ndarray:
        """Returns on how many tokens of the given items each feature fires, `[d_sae]`."""
        counts = np.zeros(self.d_sae, dtype=np.int64)
        for item in items:
            counts += np.bincount(self[item].features, minlength=self.d_sae)
        return counts

    def _repr_html_(self) -> str:
        """Shows each prompt with its tokens shaded by their strongest activation."""
        peak = float(np.abs(self.values).max(initial=1e-9))
        rows = []
        for item, prompt in enumerate(self.prompts):
            by_token: dict[int, list[Firing]] = {}
            for firing in self[item].firings():
                by_token.setdefault(firing.token, []).append(firing)
            rows.append(_shaded_text(prompt, by_token, peak))
        return "".join(f"<p style='line-height:1.9;font-family:monospace'>{r}</p>" for r in rows)


def _shaded_text(prompt: RenderedPrompt, by_token: dict[int, list[Firing]], peak: float) -> str:
    parts, cursor = [], 0
    for token, span in enumerate(prompt.token_spans):
        if span.end <= cursor:
            continue
        parts.append(html.escape(prompt.text[cursor : span.start]))
        strongest = sorted(by_token.get(token, []), key=lambda f: -abs(f.value))[:5]
        shade = (abs(strongest[0].value) / peak) ** 0.5 if strongest else 0.0
        title = "&#10;".join(f"feature {f.feature}: {f.value:.2f}" for f in strongest)
        word = html.escape(prompt.text[max(span.start, cursor) : span.end]).replace("\n", "↵<br>")
        parts.append(
            f"<span title='{title}' style='background:rgba(255,140,0,{shade:.2f})'>{word}</span>"
        )
        cursor = span.end
    return "".join(parts) + html.escape(prompt.text[cursor:])


class Together(NamedTuple):
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
    return read_together(model, [sae], prompts).features[0]


def read_together(
    model: "Model",
    saes: "Sequence[SAE[Any]]",
    prompts: Sequence[Prompt | str],
    engine: Engine | None = None,
) -> Together:
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

    limit, bos = context_size(model), reads_bos(saes[0])
    rendered = [render(model_tokenizer(model), prompt, limit, bos) for prompt in prompts]
    batches = list(_batches_by_length(rendered))
    shards = [[rendered[i] for i in batch] for batch in batches]
    read = (engine or LocalEngine(model)).map(partial(_read_batch, list(saes)), shards)
    with tqdm(total=len(rendered), unit="prompt", desc="read", disable=len(batches) < 2) as bar:
        found: dict[int, _Read] = {}
        for batch, results in zip(batches, read):
            found |= zip(batch, results)
            bar.update(len(batch))
    features = [
        _gathered(rendered, sae.cfg.d_sae, [found[i].rows[number] for i in range(len(rendered))])
        for number, sae in enumerate(saes)
    ]
    return Together(features, [found[i].means for i in range(len(rendered))])


_TokenRows = list[tuple[np.ndarray, np.ndarray]]
"""Firing features and values of each token of a prompt."""


class _Read(NamedTuple):
    """What one prompt gave."""

    means: dict[str, np.ndarray]
    """Mean raw activation of each region."""
    rows: list[_TokenRows]
    """Of each SAE."""


def _read_batch(
    saes: "Sequence[SAE[Any]]", model: "Model", prompts: Sequence[RenderedPrompt]
) -> list[_Read]:
    """Reads prompts in one forward pass."""
    first, special = saes[0], set(model_tokenizer(model).all_special_ids)
    tokens = right_padded([prompt.token_ids for prompt in prompts])
    activations = read_hook(model, tokens, input_hook(first))
    found = []
    for number, prompt in enumerate(prompts):
        length = len(prompt.token_ids)
        inputs = sae_view(first, activations[number, :length], first.cfg.d_in)
        kept = ordinary_tokens(tokens[number, :length], inputs, first, special)
        rows = [_encode(sae, inputs, kept) for sae in saes]
        found.append(_Read(_means(prompt, inputs, kept), rows))
    return found


def _gathered(
    prompts: list[RenderedPrompt], d_sae: int, rows: list[_TokenRows]
) -> FeatureActivations:
    token_rows = [row for item in rows for row in item]
    counts = [len(features) for features, _ in token_rows]
    empty = (np.empty(0, np.int32), np.empty(0, np.float32))
    features, values = (np.concatenate(parts) for parts in zip(empty, *token_rows))
    return FeatureActivations(prompts, d_sae, np.cumsum([0, *counts]), features, values)


def _means(prompt: RenderedPrompt, inputs: Any, kept: Any) -> dict[str, np.ndarray]:
    """Returns the mean input over the kept tokens of each region; zeros where there are none."""
    values = inputs.float().cpu().numpy()
    found = {}
    for name, region in prompt.regions.items():
        tokens = [token for token in prompt.tokens_in(region) if kept[token]]
        found[name] = values[tokens].mean(0) if tokens else np.zeros_like(values[0])
    return found


def _batches_by_length(prompts: Sequence[RenderedPrompt]) -> Iterator[list[int]]:
    """Yields indices of prompts of similar length, `TOKENS_PER_BATCH` padded tokens at most."""
    batch: list[int] = []
    for i in sorted(range(len(prompts)), key=lambda i: len(prompts[i].token_ids)):
        if batch and (len(batch) + 1) * len(prompts[i].token_ids) > TOKENS_PER_BATCH:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def _encode(sae: "SAE[Any]", activations: Any, kept: Any) -> _TokenRows:
    """Encodes one prompt's activations."""
    import torch

    with torch.inference_mode():
        encoded = encode(sae, activations, kept)
    acts = torch.zeros(len(kept), sae.cfg.d_sae)
    acts[kept] = encoded.float().cpu()
    rows = []
    for row in acts.numpy():
        (firing,) = row.nonzero()
        rows.append((firing.astype(np.int32), row[firing]))
    return rows
