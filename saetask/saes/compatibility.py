"""Checks by reconstruction of a probe text that an SAE belongs to a model, layer and processing."""

import math
import sys
from collections.abc import Callable
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
    measure_reconstruction,
    read_reconstruction_inputs,
    reconstruction_inputs,
)

if TYPE_CHECKING:
    import torch
    from sae_lens import SAE

    from saetask.models.loading import Model

MAX_FVU = 0.6
"""Maximum fraction of variance unexplained of an SAE that fits."""
MIN_RECOVERED = 0.5
"""Minimum share of the loss recovered by an SAE that fits."""
MIN_DAMAGE = 0.5
"""Minimum loss of zero-ablation, in nats, for the share of the loss recovered to be judged; below
it the share is noise."""
CLEARLY_BETTER = 0.8
"""An alternative fits clearly better only if its FVU is below this share of the SAE's own. One
layer away the default SAE has 1.7 times its own FVU; its own layer has 0.6 of that."""
MIN_GAIN = 0.02
"""An alternative fits clearly better only if its FVU is lower by more than this; the difference
between two almost exact reconstructions has no meaning."""
COMPARED_TOKENS = 40
"""Approximate number of tokens on which alternatives are compared."""
OUTLIER_NORMS = 10
"""Activations longer than this many times the median norm (attention sinks) are not measured: one
of them holds most of a text's variance."""
SCALES = (1 / 16, 1 / 4, 1 / 2, 2 / 3, 3 / 2, 2, 4, 16)
"""Factors by which the SAE's input is multiplied in search of a better fit."""
PROBE_TEXT = (
    "The harbour was quiet when the ferry came in. Anna counted twelve crates on the quay, wrote "
    "the number down, and asked the captain how long the crossing had taken. He shrugged: with "
    "the wind behind them, two hours; against it, nobody could say. Prices in the town had "
    "doubled since spring, and most of the shops along the water now opened only at noon."
)


class SAEFigures(NamedTuple):
    """Figures of an SAE on the probe text."""

    fvu: float
    """Fraction of variance unexplained."""
    l0: float
    """Mean number of features active on a token."""
    cross_entropy_recovered: float
    """Share of the model's loss recovered by the reconstruction, against zero-ablation."""

    def __str__(self) -> str:
        return (
            f"fraction of variance unexplained {self.fvu:.2f}, L0 {self.l0:.0f}, "
            f"cross-entropy recovered {self.cross_entropy_recovered:.2f}"
        )


class AlternativeFit(NamedTuple):
    """Reconstruction by the SAE when it is used otherwise than its metadata specifies."""

    description: str
    """The other way, as it ends a sentence."""
    fvu: float
    """Fraction of variance unexplained."""
    l0: float
    """Mean number of features active on a token."""


def check_sae(model: "Model", sae: "SAE[Any]", allow_mismatch: bool = False) -> SAEFigures:
    """Checks that an SAE belongs to this model, layer and processing.

    A probe text is reconstructed as the SAE's metadata says and, for comparison, at the other
    layers, with the input rescaled or centred, and with BOS handled the other way.

    Args:
        model: The model to run.
        sae: The SAE to check.
        allow_mismatch: Accept an SAE whose figures say that it does not fit, with a warning on
            stderr.

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
    outputs = run_with_hook_outputs(model, right_padded([row]), list(names), to_the_end=True)
    inputs = reconstruction_inputs(model, sae, row, outputs.activations, hooks)
    _check_widths(sae, inputs)
    inputs = _without_outliers(inputs)
    quality = measure_reconstruction(sae, iter([inputs]))
    losses = losses_with_edit(model, sae, row, inputs, _clean_loss(outputs.logits, row))
    figures = SAEFigures(quality.fvu, quality.l0, losses.recovered)

    compared = _thinned(inputs)
    own = measure_reconstruction(sae, iter([compared]))
    alternatives = [*_rescaled(sae, compared, own.l0), *_bos_swapped(model, sae, compared)]
    for layer, layer_hooks in layers.items():
        if layer_hooks != hooks and all(name in outputs.activations for name in layer_hooks):
            other = reconstruction_inputs(model, sae, row, outputs.activations, layer_hooks)
            alternatives += _at_layer(sae, compared, other, layer, layer_hooks[0])
    clearly_better = [fit for fit in alternatives if _clearly_better(fit, own)]
    better = min(clearly_better, key=lambda fit: fit.fvu, default=None)
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


def _check_widths(sae: "SAE[Any]", inputs: ReconstructionInputs) -> None:
    for name, width, activations, hook_name in (
        ("d_in", sae.cfg.d_in, inputs.inputs, input_hook(sae)),
        ("d_out", sae.W_dec.shape[1], inputs.targets, output_hook(sae)),
    ):
        if activations.shape[1] != width:
            raise UserError(
                f"The SAE's {name} is {width}, but the activation at {hook_name} has width "
                f"{activations.shape[1]}; the SAE was made for {_made_for(sae)}."
            )


def _without_outliers(inputs: ReconstructionInputs) -> ReconstructionInputs:
    kept = inputs.kept.clone()
    for activations in (inputs.inputs, inputs.targets):
        norms = activations.norm(dim=-1).cpu()
        if inputs.kept.any():
            kept &= norms <= OUTLIER_NORMS * norms[inputs.kept].median()
    return inputs._replace(kept=kept)


def _thinned(inputs: ReconstructionInputs) -> ReconstructionInputs:
    """Keeps every n-th of the kept positions: comparing needs fewer tokens than measuring."""
    import torch

    positions = inputs.kept.nonzero()[:, 0]
    kept = torch.zeros_like(inputs.kept)
    kept[positions[:: max(1, len(positions) // COMPARED_TOKENS)]] = True
    return inputs._replace(kept=kept)


def _clean_loss(logits: "torch.Tensor | None", row: list[int]) -> float:
    import torch

    assert logits is not None
    following = torch.tensor(row[1:], device=logits.device)
    return torch.nn.functional.cross_entropy(logits[0, :-1].float(), following).item()


def _alternative(
    sae: "SAE[Any]", inputs: ReconstructionInputs, description: str
) -> list[AlternativeFit]:
    """Measures an alternative; returns an empty list if fewer than two positions are kept."""
    if inputs.kept.sum() < 2:
        return []
    quality = measure_reconstruction(sae, iter([inputs]))
    return [AlternativeFit(description, quality.fvu, quality.l0)]


def _at_layer(
    sae: "SAE[Any]",
    compared: ReconstructionInputs,
    other: ReconstructionInputs,
    layer: int,
    hook_name: str,
) -> list[AlternativeFit]:
    if other.inputs.shape != compared.inputs.shape or other.targets.shape != compared.targets.shape:
        return []
    description = f"at layer {layer} ({hook_name})"
    return _alternative(sae, _without_outliers(other._replace(kept=compared.kept)), description)


def _rescaled(
    sae: "SAE[Any]", compared: ReconstructionInputs, own_l0: float
) -> list[AlternativeFit]:
    """Measures the SAE under the usual normalisations of its input."""
    inputs, targets, kept = compared
    norms = inputs.norm(dim=-1, keepdim=True)
    root = sae.cfg.d_in**0.5
    usual = root / norms[kept.to(norms.device)].mean().item()
    fits: list[AlternativeFit] = []

    def add(transform: "Callable[[torch.Tensor], torch.Tensor]", description: str) -> None:
        changed = ReconstructionInputs(transform(inputs), transform(targets), kept)
        fits.extend(_alternative(sae, changed, description))

    for scale in (usual, 1 / usual, *SCALES):
        description = f"normalisation: with its input multiplied by {scale:.3g}"
        add(lambda a, factor=scale: a * factor, description)
    add(lambda a: a * root / norms, "normalisation: with each input scaled to norm sqrt(d_in)")
    add(
        lambda a: (a - a.mean(-1, keepdim=True)) / a.std(-1, keepdim=True),
        "normalisation: with layer-normalised input",
    )
    if (own := sae.cfg.normalize_activations) != "none":
        with unnormalised(sae):
            add(lambda a: a, f"normalisation: without the {own} that its cfg.json names")
    add(
        lambda a: a - a.mean(-1, keepdim=True),
        "processing: with its input centred (as a model with centred writing weights has it)",
    )
    # With an input too large, a ReLU activates more features and may reconstruct better.
    return [fit for fit in fits if fit.l0 <= 1.1 * max(own_l0, 1) or own_l0 < 1]


def _bos_swapped(
    model: "Model", sae: "SAE[Any]", compared: ReconstructionInputs
) -> list[AlternativeFit]:
    """Measures the SAE with BOS if it is used without, and without if it is used with."""
    bos = not reads_bos(sae)
    row = _probe_row(model, sae, bos)
    shift = len(row) - len(compared.kept)
    if not shift:  # the tokenizer has no BOS token, or the text fills the context
        return []
    import torch

    other = read_reconstruction_inputs(model, sae, row)
    same = torch.nn.functional.pad(compared.kept, (shift, 0))[-len(row) :]
    description = f"{'with' if bos else 'without'} BOS (metadata.prepend_bos: {str(bos).lower()})"
    kept = same & other.kept
    return _alternative(sae, _without_outliers(other._replace(kept=kept)), description)


def _clearly_better(alternative: AlternativeFit, own: Reconstruction) -> bool:
    unexplained = float("inf") if math.isnan(own.fvu) else own.fvu
    gain = unexplained - alternative.fvu
    return alternative.fvu < CLEARLY_BETTER * unexplained and gain > MIN_GAIN


def _implausible(sae: "SAE[Any]", figures: SAEFigures, losses: Losses) -> bool:
    """Returns whether the figures by themselves show that the SAE does not fit."""
    damaging = losses.zero - losses.clean >= MIN_DAMAGE
    return (
        not figures.fvu < MAX_FVU
        or not 0 < figures.l0 <= sae.cfg.d_sae / 2
        or (damaging and not figures.cross_entropy_recovered > MIN_RECOVERED)
    )


def _refuse(
    model: "Model",
    sae: "SAE[Any]",
    figures: SAEFigures,
    better: AlternativeFit | None,
    allow_mismatch: bool,
) -> None:
    message = (
        f"The SAE (made for {_made_for(sae)} at {input_hook(sae)}) does not fit "
        f"{model_name(model)}: {figures}"
    )
    if better and better.fvu < MAX_FVU:
        message += f"; it leaves {better.fvu:.2f} {better.description}"
    else:
        message += "; it belongs to another model, layer or processing"
    if allow_mismatch:
        print(f"saetask: warning: {message}. Going on, as told.", file=sys.stderr)
        return
    raise UserError(
        f"{message}. Choose a matching --sae, mend its cfg.json, or give --allow-sae-mismatch."
    )
