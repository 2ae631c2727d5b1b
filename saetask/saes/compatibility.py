"""Does an SAE belong to this model, layer and processing? Found out by using it on a probe text."""

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from saetask.data.prompts import render
from saetask.errors import UserError
from saetask.models.forward import right_padded
from saetask.models.hooks import hook_names_by_layer, resolve_hook_name, run_with_hook_outputs
from saetask.models.loading import context_size, model_name, model_tokenizer
from saetask.saes.encoding import input_hook, output_hook, reads_bos, unnormalised
from saetask.saes.metrics import (
    Losses,
    Reconstruction,
    ReconstructionInputs,
    losses_with_edit,
    measure_pairs,
    pair_of,
    read_reconstruction_inputs,
)

if TYPE_CHECKING:
    import torch
    from sae_lens import SAE

    from saetask.models.loading import Model

WORST_FVU = 0.6
"""A fraction of variance unexplained above this means that the SAE was made for something else."""
WORST_RECOVERED = 0.5
"""So does a smaller share of the loss recovered..."""
LEAST_DAMAGE = 0.5
"""...where leaving the activation out costs so many nats at least (else the share is noise)."""
CLEARLY_BETTER = 0.8
"""Something else fits clearly better if it leaves less than this share of the FVU. The default
SAE leaves 1.7 times its own FVU one layer away; its own layer leaves 0.6 of that FVU."""
LEAST_GAIN = 0.02
"""...and if that is so much less; what two almost exact reconstructions differ by says nothing."""
COMPARED_TOKENS = 40
OUTLIER_NORMS = 10
"""Activations of more than so many times the median norm (attention sinks) are not measured: one
of them holds most of a text's variance."""
SCALES = (1 / 16, 1 / 4, 1 / 2, 2 / 3, 3 / 2, 2, 4, 16)
PROBE_TEXT = (
    "The harbour was quiet when the ferry came in. Anna counted twelve crates on the quay, wrote "
    "the number down, and asked the captain how long the crossing had taken. He shrugged: with "
    "the wind behind them, two hours; against it, nobody could say. Prices in the town had "
    "doubled since spring, and most of the shops along the water now opened only at noon."
)


class SAEFigures(NamedTuple):
    """How an SAE does on the probe text."""

    fvu: float
    """Fraction of variance unexplained."""
    l0: float
    """Features active on a token, on average."""
    cross_entropy_recovered: float
    """Share of the model's loss that reconstruction keeps against zero-ablation."""

    def __str__(self) -> str:
        return (
            f"fraction of variance unexplained {self.fvu:.2f}, L0 {self.l0:.0f}, "
            f"cross-entropy recovered {self.cross_entropy_recovered:.2f}"
        )


class AlternativeFit(NamedTuple):
    """Another way of using the SAE, and how well it reconstructs then."""

    says: str
    fvu: float
    l0: float


def check_sae(model: "Model", sae: "SAE[Any]", allow_mismatch: bool = False) -> SAEFigures:
    """Checks that an SAE belongs to this model, layer and processing, by using it.

    A probe text is reconstructed as the SAE's metadata says, and for comparison at the other
    layers, with the input rescaled or centred, and with BOS handled the other way.

    Args:
        model: The model to read.
        sae: The SAE to read it with.
        allow_mismatch: Warn on stderr, instead of refusing an SAE for its figures.

    Returns:
        The figures measured.

    Raises:
        UserError: The SAE names no hook point or one the model lacks, its `d_in` is not the
            activation's width, or its figures say that it was made for something else.
    """
    hooks = _hook_points(model, sae)
    row = _probe_row(model, sae, reads_bos(sae))
    layers = {} if len(row) < 2 else hook_names_by_layer(model, hooks)
    names = dict.fromkeys([*hooks, *(name for pair in layers.values() for name in pair)])
    caught, logits = run_with_hook_outputs(model, right_padded([row]), list(names), to_the_end=True)
    pair = pair_of(model, sae, row, caught, hooks)
    _check_widths(sae, pair)
    pair = _without_outliers(pair)
    found = measure_pairs(sae, iter([pair]))
    losses = losses_with_edit(model, sae, row, pair, _clean_loss(logits, row))
    figures = SAEFigures(found.fvu, found.l0, losses.recovered)

    compared = _thinned(pair)
    own = measure_pairs(sae, iter([compared]))
    rivals = [*_rescaled(sae, compared, own.l0), *_bos_swapped(model, sae, compared)]
    for layer, layer_hooks in layers.items():
        if layer_hooks != hooks and all(name in caught for name in layer_hooks):
            other = pair_of(model, sae, row, caught, layer_hooks)
            rivals += _at_layer(sae, compared, other, layer, layer_hooks[0])
    better = min((r for r in rivals if _clearly_better(r, own)), key=lambda r: r.fvu, default=None)
    if better or _implausible(sae, figures, losses):
        _refuse(model, sae, figures, better, allow_mismatch)
    return figures


def _hook_points(model: "Model", sae: "SAE[Any]") -> tuple[str, str]:
    if not input_hook(sae):
        raise UserError("The SAE's cfg.json names no hook point (metadata.hook_name); add it.")
    hooks = (input_hook(sae), output_hook(sae))
    for name in hooks:
        try:
            resolve_hook_name(model, name)
        except UserError as error:
            raise UserError(f"{error} The SAE was made for {_made_for(sae)}.") from error
    return hooks


def _made_for(sae: "SAE[Any]") -> str:
    return sae.cfg.metadata.model_name or "an unnamed model"


def _probe_row(model: "Model", sae: "SAE[Any]", bos: bool) -> list[int]:
    return render(model_tokenizer(model), PROBE_TEXT, bos=bos).token_ids[: context_size(model)]


def _check_widths(sae: "SAE[Any]", pair: ReconstructionInputs) -> None:
    sides = (
        ("d_in", sae.cfg.d_in, pair.inputs, input_hook(sae)),
        ("d_out", sae.W_dec.shape[1], pair.targets, output_hook(sae)),
    )
    for name, width, activations, hook_name in sides:
        if activations.shape[1] != width:
            raise UserError(
                f"The SAE's {name} is {width}, but the activation at {hook_name} has width "
                f"{activations.shape[1]}; the SAE was made for {_made_for(sae)}."
            )


def _without_outliers(pair: ReconstructionInputs) -> ReconstructionInputs:
    kept = pair.kept.clone()
    for activations in (pair.inputs, pair.targets):
        norms = activations.norm(dim=-1).cpu()
        if pair.kept.any():
            kept &= norms <= OUTLIER_NORMS * norms[pair.kept].median()
    return pair._replace(kept=kept)


def _thinned(pair: ReconstructionInputs) -> ReconstructionInputs:
    """Keeps every n-th of the kept positions: comparing needs fewer tokens than measuring."""
    import torch

    positions = pair.kept.nonzero()[:, 0]
    kept = torch.zeros_like(pair.kept)
    kept[positions[:: max(1, len(positions) // COMPARED_TOKENS)]] = True
    return pair._replace(kept=kept)


def _clean_loss(logits: "torch.Tensor | None", row: list[int]) -> float:
    import torch

    assert logits is not None
    following = torch.tensor(row[1:], device=logits.device)
    return torch.nn.functional.cross_entropy(logits[0, :-1].float(), following).item()


def _rival(sae: "SAE[Any]", pair: ReconstructionInputs, says: str) -> list[AlternativeFit]:
    """Measures a rival; nothing where no position is left."""
    if pair.kept.sum() < 2:
        return []
    found = measure_pairs(sae, iter([pair]))
    return [AlternativeFit(says, found.fvu, found.l0)]


def _at_layer(
    sae: "SAE[Any]",
    compared: ReconstructionInputs,
    other: ReconstructionInputs,
    layer: int,
    hook_name: str,
) -> list[AlternativeFit]:
    if other.inputs.shape != compared.inputs.shape or other.targets.shape != compared.targets.shape:
        return []
    says = f"at layer {layer} ({hook_name})"
    return _rival(sae, _without_outliers(other._replace(kept=compared.kept)), says)


def _rescaled(
    sae: "SAE[Any]", compared: ReconstructionInputs, own_l0: float
) -> list[AlternativeFit]:
    """Tries the usual normalisations of the input, which the SAE's weights may stand for."""
    inputs, targets, kept = compared
    norms = inputs.norm(dim=-1, keepdim=True)
    root = sae.cfg.d_in**0.5
    usual = root / norms[kept.to(norms.device)].mean().item()
    rivals: list[AlternativeFit] = []
    for scale in (usual, 1 / usual, *SCALES):
        pair = ReconstructionInputs(inputs * scale, targets * scale, kept)
        rivals += _rival(sae, pair, f"normalisation: with its input multiplied by {scale:.3g}")
    each = ReconstructionInputs(inputs * root / norms, targets * root / norms, kept)
    rivals += _rival(sae, each, "normalisation: with each input scaled to norm sqrt(d_in)")
    normed, aims = ((a - a.mean(-1, keepdim=True)) / a.std(-1, keepdim=True) for a in compared[:2])
    rivals += _rival(
        sae, ReconstructionInputs(normed, aims, kept), "normalisation: with layer-normalised input"
    )
    if sae.cfg.normalize_activations != "none":
        says = f"normalisation: without the {sae.cfg.normalize_activations} that its cfg.json names"
        with unnormalised(sae):
            rivals += _rival(sae, compared, says)
    centred, aims = (a - a.mean(-1, keepdim=True) for a in (inputs, targets))
    says = "processing: with its input centred (as a model with centred writing weights has it)"
    rivals += _rival(sae, ReconstructionInputs(centred, aims, kept), says)
    # Fed too much, a ReLU fires more features and may reconstruct better: no sign of its scale.
    return [rival for rival in rivals if rival.l0 <= 1.1 * max(own_l0, 1) or own_l0 < 1]


def _bos_swapped(
    model: "Model", sae: "SAE[Any]", compared: ReconstructionInputs
) -> list[AlternativeFit]:
    """Reads the probe text with BOS if the SAE is read without, and the other way round."""
    bos = not reads_bos(sae)
    row = _probe_row(model, sae, bos)
    shift = len(row) - len(compared.kept)
    if not shift:  # the tokenizer has no BOS token, or the text fills the context
        return []
    import torch

    other = read_reconstruction_inputs(model, sae, row)
    same = torch.nn.functional.pad(compared.kept, (shift, 0))[-len(row) :]
    says = f"{'with' if bos else 'without'} BOS (metadata.prepend_bos: {str(bos).lower()})"
    return _rival(sae, _without_outliers(other._replace(kept=same & other.kept)), says)


def _clearly_better(rival: AlternativeFit, own: Reconstruction) -> bool:
    unexplained = own.fvu if own.fvu == own.fvu else float("inf")
    return rival.fvu < CLEARLY_BETTER * unexplained and unexplained - rival.fvu > LEAST_GAIN


def _implausible(sae: "SAE[Any]", figures: SAEFigures, losses: Losses) -> bool:
    """Tells whether the figures by themselves say that the SAE is used for something else."""
    damaging = losses.zero - losses.clean >= LEAST_DAMAGE
    return (
        not figures.fvu < WORST_FVU
        or not 0 < figures.l0 <= sae.cfg.d_sae / 2
        or (damaging and not figures.cross_entropy_recovered > WORST_RECOVERED)
    )


def _refuse(
    model: "Model",
    sae: "SAE[Any]",
    figures: SAEFigures,
    better: AlternativeFit | None,
    allow_mismatch: bool,
) -> None:
    says = (
        f"The SAE (made for {_made_for(sae)} at {input_hook(sae)}) does not fit "
        f"{model_name(model)}: {figures}"
    )
    if better and better.fvu < WORST_FVU:
        says += f"; it leaves {better.fvu:.2f} {better.says}"
    else:
        says += "; it belongs to another model, layer or processing"
    if allow_mismatch:
        print(f"saetask: warning: {says}. Going on, as told.", file=sys.stderr)
        return
    raise UserError(
        f"{says}. Choose a matching --sae, mend its cfg.json, or give --allow-sae-mismatch."
    )
