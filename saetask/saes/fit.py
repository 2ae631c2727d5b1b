"""How well an SAE fits a model: its reconstruction of probe texts, as it is used and otherwise."""

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from saetask.errors import UserError
from saetask.models.forward import right_padded
from saetask.models.hooks import hook_names_by_layer, run_with_hook_outputs
from saetask.saes.alternatives import Alternative, at_layer, bos_swapped, rescaled, shuffled
from saetask.saes.encoding import input_hook, output_hook, reads_bos
from saetask.saes.metrics import (
    Losses,
    ReconstructionInputs,
    losses_with_edit,
    reconstruction_inputs,
)
from saetask.saes.probe_text import probe_rows
from saetask.saes.usage import (
    Comparison,
    TokenErrors,
    Usage,
    compare,
    constant,
    token_errors,
    without_outliers,
)

if TYPE_CHECKING:
    import torch
    from sae_lens import SAE

    from saetask.models.loading import Model

N_ERRORS = 2.0
"""A difference counts if it exceeds this many standard errors."""
BETTER = math.log(0.97)
"""Another use fits better if its log ratio (`usage.Comparison`) is below this, beyond the spread
over the probe texts."""
LEARNT = math.log(1.1)
"""Another use counts only if the log ratio of the mean activation to it is above this: what
reconstructs hardly more than the mean is no use at all."""
EXACT_FVU = 0.3
"""Below it, an SAE is not compared with shuffled dimensions: one that decodes every activation,
such as one of axes, decodes those as well."""
BETTER_THAN_SHUFFLED = math.log(1.25)
"""The SAE belongs to the model's activations only if, with their dimensions shuffled, the log ratio
is above this."""
WEAK_FVU = 0.6
"""An SAE that fits best as it is used, but leaves more than this unexplained, is warned about."""
WEAK_RECOVERED = 0.5
"""An SAE that recovers less than this share of the loss is warned about."""
MIN_DAMAGE = 0.5
"""Minimum loss of zero-ablation, in nats, for the share of the loss recovered to be judged; below
it the share is noise."""
SCREENED_TOKENS = 24
"""Approximate number of tokens on which all other uses are tried."""
PROMISING = 0.1
"""Another use is compared on all tokens only if its log ratio on the screened ones is below it."""
N_CANDIDATES = 3
"""Number of other uses, those that fit best on the screened tokens, compared on all tokens."""
LOSS_ROWS = 2
"""Number of probe texts on which the model's loss is measured."""


class SAEFigures(NamedTuple):
    """Figures of an SAE on the probe texts."""

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


class SAEFit(NamedTuple):
    """How well an SAE fits a model."""

    figures: SAEFigures
    misfit: str = ""
    """What fits better, or what the SAE belongs to instead, as a clause; empty if it fits."""
    weak: bool = False
    """Whether it reconstructs little, although nothing else fits better."""


def measure_fit(model: "Model", sae: "SAE[Any]", search: bool = True) -> SAEFit:
    """Measures an SAE on the probe texts.

    Args:
        model: The model to run.
        sae: The SAE; the model has its hook points.
        search: Look for another use of the SAE that fits better.

    Raises:
        UserError: A width does not match, or a reconstruction is not a number.
    """
    hooks = (input_hook(sae), output_hook(sae))
    layers = hook_names_by_layer(model, hooks) if search else {}
    names = [*hooks, *(name for pair in layers.values() for name in pair)]
    rows = probe_rows(model, reads_bos(sae))
    activations = _activations(model, rows, names)
    usage = _usage(model, sae, rows, activations, hooks)
    _check_widths(sae, usage)
    usage = without_outliers(usage)
    if usage.kept.sum() < 2:
        raise UserError(
            "No token of the probe texts is left to measure the SAE on: all are special tokens, or "
            "beyond the norm_limit or outside the seqpos_slice of its cfg.json."
        )
    own = token_errors(sae, usage)
    losses = _losses(model, sae, rows, usage)
    figures = SAEFigures(own.fvu, own.l0, losses.recovered)
    if not math.isfinite(own.fvu):
        raise UserError(
            f"The SAE's reconstruction at {input_hook(sae)} is not finite ({figures}); its weights "
            "are damaged, or its training diverged. Choose another --sae."
        )
    misfit = _implausible(sae, own, token_errors(sae, shuffled(usage)))
    if search:
        others = [*rescaled(sae, usage), *_bos_swapped(model, sae, len(rows[0]))]
        for layer, pair in layers.items():
            if pair != hooks and all(name in activations for name in pair):
                other = _usage(model, sae, rows, activations, pair)
                other = other._replace(kept=other.kept & usage.kept)
                others += at_layer(usage, other, layer, pair[0])
        misfit = _better(sae, own, others) or misfit
    damaging = losses.zero - losses.clean >= MIN_DAMAGE
    recovers = not damaging or figures.cross_entropy_recovered >= WEAK_RECOVERED
    return SAEFit(figures, misfit, weak=figures.fvu > WEAK_FVU or not recovers)


def made_for(sae: "SAE[Any]") -> str:
    """Returns the name of the model that an SAE's metadata names."""
    return sae.cfg.metadata.model_name or "an unnamed model"


def _activations(
    model: "Model", rows: list[list[int]], names: list[str]
) -> "dict[str, torch.Tensor]":
    return run_with_hook_outputs(model, right_padded(rows), list(dict.fromkeys(names))).activations


def _usage(
    model: "Model",
    sae: "SAE[Any]",
    rows: list[list[int]],
    activations: "dict[str, torch.Tensor]",
    hooks: tuple[str, ...],
) -> Usage:
    """Returns the use of an SAE at two hook points of the probe texts."""
    import torch

    parts = [
        reconstruction_inputs(
            model, sae, row, {name: activations[name][i : i + 1] for name in activations}, hooks
        )
        for i, row in enumerate(rows)
    ]
    return Usage(*(torch.stack(list(column)) for column in zip(*parts)))


def _check_widths(sae: "SAE[Any]", usage: Usage) -> None:
    for name, width, activations, hook_name in (
        ("d_in", sae.cfg.d_in, usage.inputs, input_hook(sae)),
        ("d_out", sae.W_dec.shape[1], usage.targets, output_hook(sae)),
    ):
        if activations.shape[-1] != width:
            raise UserError(
                f"The SAE's {name} is {width}, but the activation at {hook_name} has width "
                f"{activations.shape[-1]}; the SAE was made for {made_for(sae)}."
            )


def _losses(model: "Model", sae: "SAE[Any]", rows: list[list[int]], usage: Usage) -> Losses:
    """Returns the model's loss on the first probe texts, with their activations replaced."""
    inputs = [ReconstructionInputs(*parts) for parts in zip(*usage)]
    return losses_with_edit(model, sae, rows[:LOSS_ROWS], inputs[:LOSS_ROWS])


def _bos_swapped(model: "Model", sae: "SAE[Any]", n_tokens: int) -> list[Alternative]:
    rows = probe_rows(model, not reads_bos(sae))
    if len(rows[0]) == n_tokens:  # the tokenizer has no BOS token
        return []
    hooks = (input_hook(sae), output_hook(sae))
    return [bos_swapped(sae, _usage(model, sae, rows, _activations(model, rows, [*hooks]), hooks))]


def _better(sae: "SAE[Any]", own: TokenErrors, others: list[Alternative]) -> str:
    """Returns which other use fits better beyond the spread over the texts; empty if none does.

    One that reconstructs hardly better than the mean activation is none.
    """
    screened: list[tuple[float, Alternative]] = []
    for other in others:
        if (trial := other.against(sae, own, SCREENED_TOKENS)) is not None:
            screened.append((trial.fit.log_ratio, other))
    screened.sort(key=lambda pair: pair[0])
    found: list[tuple[Comparison, str]] = []
    for log_ratio, other in screened[:N_CANDIDATES]:
        if log_ratio < PROMISING and (trial := other.against(sae, own)) is not None:
            errors, fit = trial
            learnt = compare(errors, constant(errors)).above(LEARNT, N_ERRORS)
            if learnt and fit.below(BETTER, N_ERRORS):
                found.append((fit, f"it leaves {errors.fvu:.2f} {other.description}"))
    return min(found, default=(None, ""), key=lambda pair: pair[0].log_ratio)[1]


def _implausible(sae: "SAE[Any]", own: TokenErrors, shuffled_errors: TokenErrors) -> str:
    """Returns what the SAE's own errors say against it, as a clause; empty if nothing."""
    elsewhere = "so it belongs to another model, layer or processing"
    if not 0 < own.l0 <= sae.cfg.d_sae / 2:
        return f"of its {sae.cfg.d_sae} features {own.l0:.0f} are active on a token, {elsewhere}"
    if compare(own, constant(own)).below(0, N_ERRORS):
        return f"the mean activation alone leaves less (1.00), {elsewhere}"
    against = compare(own, shuffled_errors)
    if not against.above(BETTER_THAN_SHUFFLED, N_ERRORS) and own.fvu > EXACT_FVU:
        return (
            f"it leaves no more ({shuffled_errors.fvu:.2f}) with the activation's dimensions "
            f"shuffled, {elsewhere}"
        )
    return ""
