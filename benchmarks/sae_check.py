"""False alarms and misses of the check that an SAE belongs to a model.

    python -m benchmarks.sae_check [--models MODEL ...] [--saes SAE_FOLDER ...] [--out FILE]

SAEs that `saetask train` made are checked as they are, and in ways in which they do not fit: at the
next layers, on another model of the same width, with their input rescaled or centred, and with BOS
handled the other way. The record of their training is taken away, so that the figures alone decide.

Without arguments, a small language model of each usual architecture is trained for a minute on the
embedded word problems, and SAEs on it under two budgets. With `--models` and `--saes`, as many of
one as of the other, folders are taken instead. `docs/sae_check.json` holds both, merged by subject.
"""

import argparse
import copy
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from sae_lens import SAE

from benchmarks.pages import ROOT
from benchmarks.speed.texts import documents, write_corpus
from saetask.errors import UserError
from saetask.models.hooks import hook_names_by_layer
from saetask.models.loading import load_model
from saetask.saes.encoding import input_hook, output_hook
from saetask.saes.fit import measure_fit
from saetask.saes.loading import load_sae
from saetask.saes.training_origin import KEY
from saetask.training import HarvestConfig, TrainConfig, train
from saetask.utils.files import write_json

if TYPE_CHECKING:
    from saetask.models.loading import Model

WIDTH, LAYERS, CONTEXT = 64, 6, 64
SHAPE = {
    "hidden_size": WIDTH,
    "intermediate_size": 4 * WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": SHAPE,
    "gpt2": {"n_embd": WIDTH, "n_layer": LAYERS, "n_head": 4, "n_positions": 256},
    "gpt_neox": {k: v for k, v in SHAPE.items() if k != "num_key_value_heads"},
    "gemma3_text": {**SHAPE, "head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": 32},
    "qwen2": SHAPE,
    "qwen3": {**SHAPE, "head_dim": 16},
}
"""Settings of the small language models, by transformers' name of the architecture."""
LM_STEPS, LM_ROWS, LM_RATE = 120, 16, 5e-3
BUDGETS = {"short": 2, "long": 16}
"""Passes of an SAE's training over its activations, by name."""


class Kind(NamedTuple):
    """What an SAE is trained on, and of which architecture."""

    hook: str
    """Hook point in its block."""
    architecture: str
    options: dict[str, Any]
    passes: str
    """Which of `BUDGETS`."""

    def __str__(self) -> str:
        return f"{self.hook}, {self.architecture}, {self.passes}"


TOPK = [Kind("hook_resid_post", "topk", {"k": 12}, passes) for passes in BUDGETS]
"""SAEs that are trained on every model."""
OTHERS = {
    "llama": Kind("hook_resid_post", "standard", {"l1_coefficient": 2.0}, "long"),
    "gpt2": Kind("hook_mlp_out", "topk", {"k": 12}, "long"),
    "gpt_neox": Kind("hook_attn_out", "batchtopk", {"k": 12}, "long"),
    "gemma3_text": Kind("hook_resid_pre", "jumprelu", {"l0_coefficient": 2.0}, "long"),
    "qwen2": Kind("hook_resid_post", "gated", {"l1_coefficient": 2.0}, "long"),
    "qwen3": Kind(
        "hook_resid_post",
        "matryoshka_batchtopk",
        {"k": 12, "matryoshka_widths": [64, 256, 512]},
        "long",
    ),
}
"""One more SAE of each model."""
HOOK_LAYER = 2
"""Block that SAEs of the small models read."""


class Trial(NamedTuple):
    """One check of an SAE."""

    subject: str
    """Model, hook point and budget of the SAE."""
    kind: str
    """How the SAE is used."""
    fits: bool
    """Whether it was trained for that."""
    refused: bool
    """Whether the check refuses it, without the record of its training."""
    fvu: float | None
    """None where it could not be measured, because a hook point or a width is another."""
    said: str
    """What the check says against it."""


def checked(subject: str, kind: str, fits: bool, model: "Model", sae: "SAE[Any]") -> Trial:
    """Checks an SAE as one of which nothing is known but its cfg.json."""
    try:
        fit = measure_fit(model, sae)
    except UserError as error:
        return Trial(subject, kind, fits, True, None, str(error))
    return Trial(subject, kind, fits, bool(fit.misfit), round(fit.figures.fvu, 4), fit.misfit)


def trials(
    subject: str, model: "Model", sae: "SAE[Any]", others: "Sequence[Model]" = ()
) -> Iterator[Trial]:
    """Yields the checks of an SAE: as it was trained, and in the ways in which it does not fit."""
    yield checked(subject, "as trained", True, model, sae)
    hooks = (input_hook(sae), output_hook(sae))
    layers = hook_names_by_layer(model, hooks)
    own = next(layer for layer, names in layers.items() if names == hooks)
    for away in (-2, -1, 1, 2):
        if own + away in layers:
            moved = changed(sae)
            moved.cfg.metadata.hook_name, moved.cfg.metadata.hook_name_out = layers[own + away]
            yield checked(
                subject, f"{abs(away)} layer{'s' * (abs(away) > 1)} away", False, model, moved
            )
    for other in others:
        yield checked(subject, "another model", False, other, sae)
    factors = {"x 2": 2.0, "x 1/2": 0.5, "x 1.5": 1.5, "x sqrt(d)/norm": usual_scale(sae)}
    for name, factor in factors.items():
        if 0.75 < factor < 1.33:  # the usual scale is nearly the SAE's own
            continue
        scaled = changed(sae)
        scaled.fold_activation_norm_scaling_factor(factor)
        yield checked(subject, f"input {name}", False, model, scaled)
    with torch.no_grad():
        centred = changed(sae)
        centred.W_dec -= centred.W_dec.mean(-1, keepdim=True)
        centred.b_dec -= centred.b_dec.mean()
    yield checked(subject, "trained on centred activations", False, model, centred)
    swapped = changed(sae)
    swapped.cfg.metadata.prepend_bos = False
    yield checked(subject, "BOS left out", False, model, swapped)


def changed(sae: "SAE[Any]") -> "SAE[Any]":
    """Returns a copy to change."""
    return copy.deepcopy(sae)


def usual_scale(sae: "SAE[Any]") -> float:
    """Returns sqrt(d_in) over the norm of the activations, about that of the decoder's bias."""
    return sae.cfg.d_in**0.5 / sae.b_dec.norm().item()


def summary(found: Sequence[Trial]) -> list[dict[str, Any]]:
    """Returns of each kind of use how many checks there were, and how many refused."""
    kinds = dict.fromkeys((trial.kind, trial.fits) for trial in found)
    rows = []
    for kind, fits in kinds:
        own = [trial for trial in found if trial.kind == kind]
        refused = sum(trial.refused for trial in own)
        rows.append({"use": kind, "fits": fits, "checks": len(own), "refused": refused})
    return rows


# Small models


def small_model(name: str, tokenizer: Any, folder: Path, steps: int = LM_STEPS) -> Path:
    """Trains a small language model of an architecture and saves it; returns its folder."""
    import transformers

    config = transformers.AutoConfig.for_model(
        name,
        **ARCHITECTURES[name],
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(sorted(ARCHITECTURES).index(name))
    model: Any = transformers.AutoModelForCausalLM.from_config(config)
    ids = tokenizer(documents(), add_special_tokens=False)["input_ids"]
    tokens = torch.tensor([token for document in ids for token in document])
    optimizer = torch.optim.AdamW(model.parameters(), lr=LM_RATE)
    start = torch.full((LM_ROWS, 1), tokenizer.bos_token_id)
    for _ in range(steps):
        first = torch.randint(len(tokens) - CONTEXT, (LM_ROWS, 1))
        rows = torch.cat([start, tokens[first + torch.arange(CONTEXT - 1)]], dim=1)
        loss = model(input_ids=rows, labels=rows).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval().save_pretrained(folder / name)
    tokenizer.save_pretrained(folder / name)
    return folder / name


def recipe(model: Path, kind: Kind, folder: Path) -> TrainConfig:
    """Returns the recipe of an SAE on a small model, whose texts are written to a folder."""
    corpus = replace(write_corpus(folder, CONTEXT), selection_share=0.0)
    harvest = HarvestConfig(f"blocks.{HOOK_LAYER}.{kind.hook}", tokens=20_000, corpus=corpus)
    return TrainConfig(
        harvest,
        model=str(model),
        d_sae=512,
        architecture=kind.architecture,
        options=kind.options,
        samples=20_000 * BUDGETS[kind.passes],
        batch_size=512,
        lr=3e-3,
        dead_after_samples=20_000,
        test_tokens=2_000,
    )


def small_trials(
    names: Sequence[str] = tuple(ARCHITECTURES),
    kinds: Sequence[Kind] | None = None,
    steps: int = LM_STEPS,
) -> Iterator[Trial]:
    """Trains small models and SAEs on them, and yields their checks.

    Args:
        names: Architectures of the models.
        kinds: SAEs of each model; None takes `TOPK` and the one of `OTHERS`.
        steps: Steps of a model's training.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(ROOT / "tests" / "helpers" / "tokenizer")
    tokenizer.chat_template = None
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        folders = {name: small_model(name, tokenizer, folder, steps) for name in names}
        models = {name: load_model(path) for name, path in folders.items()}
        for name, model in models.items():
            others = [other for key, other in models.items() if key != name]
            for kind in kinds or [*TOPK, OTHERS[name]]:
                subject = f"{name}, {kind}"
                out = folder / subject
                train(recipe(folders[name], kind, folder), out, folder)
                yield from trials(subject, model, unrecorded(out), others)


def unrecorded(folder: Path | str) -> "SAE[Any]":
    """Loads an SAE without the record of its training."""
    sae = load_sae(folder)
    sae.cfg.metadata.__dict__.pop(KEY, None)
    return sae


def main(given: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sae_check", description=__doc__)
    parser.add_argument("--models", nargs="*", default=[])
    parser.add_argument("--saes", nargs="*", default=[])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "sae_check.json")
    arguments = parser.parse_args(given)
    pairs = list(zip(arguments.models, arguments.saes, strict=True))
    loaded = {spec: load_model(spec) for spec in dict.fromkeys(arguments.models)}
    found: list[Trial] = []
    if pairs:
        for spec, folder in pairs:
            subject = f"{Path(spec).name}, {Path(folder).name}"
            found += trials(subject, loaded[spec], unrecorded(folder))
    else:
        found += small_trials()
    known = json.loads(arguments.out.read_text())["trials"] if arguments.out.is_file() else []
    subjects = {trial.subject for trial in found}
    kept = [Trial(**row) for row in known if row["subject"] not in subjects]
    together = [*kept, *found]
    document = {"summary": summary(together), "trials": [t._asdict() for t in together]}
    write_json(arguments.out, document)
    for row in summary(together):
        print(row)
    return 0


if __name__ == "__main__":
    sys.exit(main())
