"""How well a task's readings are told from k inputs alone: SAE features, neurons, random features.

    python -m benchmarks.sparse_probing TASK [--data ITEMS.jsonl] [--limit N] [--saes FOLDER ...]
        [--hooks HOOK ...] [--ks 1 2 4 8 16] [--out FILE]

k-sparse probing (Gurnee et al. 2023, arXiv 2305.01610; as in SAEBench, Karvonen et al. 2025, arXiv
2503.09532). In each of five folds that share no group, each reading is told from the rest: of all
inputs, the k are taken whose class means differ most, in standard deviations within the classes,
on the training part; a logistic regression on these k is fitted there, too. Inputs are, of each
part of the prompt that the task names (`target` and `text`, say) side by side,

- of an SAE, log(1 + largest activation over its tokens) of every feature, and the same of a frozen
  random SAE (`saetask.saes.random_sae`) that is as sparse;
- of a hook point (that of each SAE, and those of `--hooks`), the mean over its tokens of every
  dimension: the neurons.

Prints JSON: the area under the curve (mean over the readings; scores are ranks within their fold;
`--repeats` ways of splitting are taken together), and its difference from that of the neurons at
the same hook point, with intervals over resampled groups. `all` stands for a probe on all inputs.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from saetask.data.corpus import TokenRow
from saetask.data.folds import stratified_splits
from saetask.data.rendering import render
from saetask.data.samples import Sample, draw, make_samples
from saetask.errors import UserError
from saetask.models.forward import batches_by_length, right_padded
from saetask.models.hooks import read_hooks
from saetask.models.loading import load_model, model_tokenizer
from saetask.plugins import PluginRegistry
from saetask.saes.encoding import encode_rows, input_hook, ordinary_tokens, sae_view
from saetask.saes.loading import load_sae
from saetask.saes.random_sae import CALIBRATION_ROWS, random_sae
from saetask.utils.files import write_json
from saetask.utils.progress import stage
from saetask.utils.statistics import Auroc, macro_auroc, macro_auroc_difference

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float
    from sae_lens import SAE
    from scipy.sparse import csr_matrix

    from saetask.data.rendering import RenderedPrompt
    from saetask.models.loading import Model

    Inputs = Any
    """Inputs of probes, `[item, input]`: an `np.ndarray` of neurons, a `csr_matrix` of features."""

KS = (1, 2, 4, 8, 16)
N_FOLDS, REPEATS = 5, 3
TOKENS_PER_BATCH = 2048
DENSE_NORM = 10.0
"""Mean squared norm of an item's inputs in the probe on all of them, whose penalty it sets."""
N_RESAMPLES = 500


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


# Inputs


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


# Probes


def probe_scores(
    inputs: "Inputs",
    labels: Sequence[str],
    groups: Sequence[str],
    ks: Sequence[int | None],
    repeats: int = REPEATS,
) -> dict[int | None, dict[str, np.ndarray]]:
    """Returns held-out scores of probes on k inputs, for each class against the rest.

    Args:
        inputs: `[item, input]`.
        labels: Class of each item.
        groups: Group of each item; no group is on both sides of a split.
        ks: Numbers of inputs, chosen on each fold's training part; None takes all.
        repeats: Number of ways of splitting.

    Returns:
        By k and class, ranks within the fold from 0 to 1, `[repeats * item]`.
    """
    from scipy.stats import rankdata

    names = np.asarray(labels)
    classes = sorted(set(labels))
    scores = {k: {name: np.zeros((repeats, len(names))) for name in classes} for k in ks}
    for seed in range(repeats):
        for fit, held_out in stratified_splits(labels, groups, N_FOLDS, seed):
            for name in classes:
                decided = _decide(inputs[fit], names[fit] == name, inputs[held_out], ks)
                for k, values in zip(ks, decided):
                    scores[k][name][seed, held_out] = rankdata(values) / len(held_out)
    return {k: {name: r.reshape(-1) for name, r in own.items()} for k, own in scores.items()}


def _decide(
    fit: "Inputs", positive: np.ndarray, held_out: "Inputs", ks: Sequence[int | None]
) -> Iterator[np.ndarray]:
    """Fits a probe on k inputs for each k; yields decision values on what is held out."""
    from sklearn.linear_model import LogisticRegression

    if positive.all() or not positive.any():
        yield from (np.zeros(held_out.shape[0]) for _ in ks)
        return
    mean, deviation, contrast = _class_contrast(fit, positive)
    order = np.argsort(-np.abs(contrast), kind="stable")
    for k in ks:
        probe = LogisticRegression(max_iter=500)
        parts = fit, held_out
        if k is not None:
            own = order[:k]
            parts = [(_dense(part[:, own]) - mean[own]) / deviation[own] for part in parts]
        elif isinstance(fit, np.ndarray):
            parts = [(part - mean) / deviation for part in parts]
            probe.C = DENSE_NORM / fit.shape[1]
        else:  # rare features would weigh as much as the others, if they were standardised
            probe.C = DENSE_NORM / float(fit.multiply(fit).sum(1).mean())
        yield probe.fit(parts[0], positive).decision_function(parts[1])


class _Contrast(NamedTuple):
    mean: np.ndarray
    """Of each input, `[input]`."""
    deviation: np.ndarray
    """Standard deviation of each input within the classes, `[input]`, above 0."""
    contrast: np.ndarray
    """Difference of the class means in standard deviations, `[input]`."""


def _class_contrast(inputs: "Inputs", positive: np.ndarray) -> _Contrast:
    """Compares the classes' means, input by input."""
    squares = inputs**2 if isinstance(inputs, np.ndarray) else inputs.multiply(inputs).tocsr()
    shares = np.stack([positive / positive.sum(), ~positive / (~positive).sum()])
    means = np.asarray(shares @ inputs)
    variances = np.maximum(np.asarray(shares @ squares) - means**2, 0)
    share = positive.mean()
    deviation = np.sqrt(share * variances[0] + (1 - share) * variances[1])
    # An input that is constant in each class, or nearly, would have an endless contrast.
    deviation = np.maximum(deviation, 1e-3 * np.abs(means).max(0) + 1e-12)
    mean = share * means[0] + (1 - share) * means[1]
    return _Contrast(mean, deviation, (means[0] - means[1]) / deviation)


def _dense(inputs: "Inputs") -> np.ndarray:
    return inputs if isinstance(inputs, np.ndarray) else inputs.toarray()


# The document


def probe_all(
    model: "Model",
    data: LabelledPrompts,
    saes: "Mapping[str, SAE[Any]]",
    hooks: Sequence[str] = (),
    ks: Sequence[int | None] = (*KS, None),
    repeats: int = REPEATS,
) -> dict[str, Any]:
    """Returns the areas of SAEs, their random controls and the neurons, by k.

    Args:
        model: The model to run.
        data: The prompts.
        saes: SAEs by name.
        hooks: Further hook points whose neurons are probed.
        ks: Numbers of inputs; None stands for all of them.
        repeats: Number of ways of splitting into folds.
    """
    hooks = list(dict.fromkeys([*hooks, *map(input_hook, saes.values())]))
    controls = {f"random {name}": c for name, c in random_controls(model, data, saes).items()}
    inputs = read_inputs(model, data, hooks, {**saes, **controls})
    labels, groups = data.readings * repeats, data.groups * repeats
    scores = {}
    with stage("probe", len(inputs)) as advance:
        for name, own in inputs.items():
            scores[name] = probe_scores(own, data.readings, data.groups, ks, repeats)
            advance(1)

    def areas(name: str, minus: str | None = None) -> dict[str, Any]:
        by_k = {}
        for k in ks:
            if minus is None:
                area = macro_auroc(labels, scores[name][k], groups, 0, N_RESAMPLES)
            else:
                pair = scores[name][k], scores[minus][k]
                area = macro_auroc_difference(labels, *pair, groups, 0, N_RESAMPLES)
            by_k["all" if k is None else str(k)] = _rounded(area)
        return by_k

    document: dict[str, Any] = {"n": len(data.readings), "groups": len(set(data.groups))}
    document["neurons"] = {hook: areas(hook) for hook in hooks}
    document["saes"] = {}
    for name, sae in saes.items():
        hook = input_hook(sae)
        document["saes"][name] = {
            "hook_name": hook,
            "auroc": areas(name),
            "minus_neurons": areas(name, hook),
            "random": areas(f"random {name}"),
            "minus_random": areas(name, f"random {name}"),
        }
    return document


def _rounded(area: Auroc | None) -> dict[str, Any] | None:
    if area is None:
        return None
    interval = None if area.ci95 is None else [round(end, 4) for end in area.ci95]
    return {"value": round(area.value, 4), "ci95": interval}


def main(given: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sparse_probing",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("task")
    parser.add_argument("--data", type=Path, help="items; without it, the task's built-in ones")
    parser.add_argument("--limit", type=int, help="number of items to draw")
    parser.add_argument("--saes", nargs="*", default=[], help="SAE folders or aliases")
    parser.add_argument("--hooks", nargs="*", default=[], help="further hook points")
    parser.add_argument("--ks", nargs="*", type=int, default=list(KS))
    parser.add_argument("--repeats", type=int, default=REPEATS, help="ways of splitting (3)")
    parser.add_argument("--out", type=Path, help="write the document there, too")
    options = parser.parse_args(given)
    try:
        model = load_model()
        data = labelled_prompts(options.task, model_tokenizer(model), options.data, options.limit)
        saes = {Path(folder).name: load_sae(folder) for folder in options.saes}
        ks = [*options.ks, None]
        found = probe_all(model, data, saes, options.hooks, ks, options.repeats)
        document = {"task": options.task, "data": options.data and options.data.name, **found}
        if options.out:
            write_json(options.out, document)
    except UserError as error:
        print(f"sparse_probing: {error}", file=sys.stderr)
        return 2
    print(json.dumps(document, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
