"""Reconstruction quality of an SAE: error, sparsity, and the loss of the model run with it."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from saetask.data.rendering import render
from saetask.errors import UserError
from saetask.models.forward import right_padded
from saetask.models.hooks import log_probabilities_with_edit, run_with_hook_outputs
from saetask.models.loading import model_name, model_tokenizer
from saetask.saes.encoding import (
    encode_and_decode,
    input_hook,
    ordinary_tokens,
    output_hook,
    reads_bos,
    sae_view,
)

if TYPE_CHECKING:
    import torch
    from jaxtyping import Bool, Float
    from sae_lens import SAE

    from saetask.models.loading import Model


class Reconstruction(NamedTuple):
    """Reconstruction quality over all ordinary tokens (no special tokens, no norm outliers)."""

    normalised_mse: float
    """Squared error over squared norm, both summed over tokens."""
    fvu: float
    """Squared error over variance: the fraction of variance unexplained."""
    l0: float
    """Mean number of features active on a token."""
    alive_share: float
    """Share of features that fired at least once on these tokens."""
    n_tokens: int


class ReconstructionInputs(NamedTuple):
    """Input of an SAE for one row, and the activation that it should reconstruct."""

    inputs: "Float[torch.Tensor, 'pos d_in']"
    targets: "Float[torch.Tensor, 'pos d_out']"
    """Equal to `inputs`, except for a transcoder."""
    kept: "Bool[torch.Tensor, 'pos']"
    """Mask of the positions to measure."""


def reconstruction(model: "Model", sae: "SAE[Any]", texts: Sequence[str]) -> Reconstruction:
    """Measures an SAE's reconstruction on running texts."""
    tokenizer = model_tokenizer(model)
    rows = [render(tokenizer, text, bos=reads_bos(sae)).token_ids for text in texts]
    return measure_reconstruction(
        sae, (read_reconstruction_inputs(model, sae, row) for row in rows)
    )


def read_reconstruction_inputs(
    model: "Model", sae: "SAE[Any]", token_ids: list[int]
) -> ReconstructionInputs:
    """Runs the model on one row of tokens and returns an SAE's input and target.

    Raises:
        UserError: The model has no such hook point, or never reaches it.
    """
    hooks = (input_hook(sae), output_hook(sae))
    activations = run_with_hook_outputs(model, right_padded([token_ids]), hooks).activations
    return reconstruction_inputs(model, sae, token_ids, activations, hooks)


def reconstruction_inputs(
    model: "Model",
    sae: "SAE[Any]",
    token_ids: list[int],
    activations: "dict[str, Float[torch.Tensor, 'batch pos width']]",
    hooks: tuple[str, ...],
) -> ReconstructionInputs:
    """Selects an SAE's input and target from the activations at its two hook points.

    Args:
        model: The model that was run.
        sae: The SAE.
        token_ids: The row of tokens.
        activations: By hook point; row 0 of each is used.
        hooks: Hook points of the input and the target.

    Raises:
        UserError: One of the hook points was never reached.
    """
    import torch

    missing = [name for name in hooks if name not in activations]
    if missing:
        raise UserError(f"Running {model_name(model)} never reached hook point '{missing[0]}'.")
    inputs = sae_view(sae, activations[hooks[0]][0], sae.cfg.d_in).float()
    targets = sae_view(sae, activations[hooks[1]][0], sae.W_dec.shape[1]).float()
    special = set(model_tokenizer(model).all_special_ids)
    return ReconstructionInputs(
        inputs, targets, ordinary_tokens(torch.tensor(token_ids), inputs, sae, special)
    )


def measure(sae: "SAE[Any]", batches: "Iterator[Float[torch.Tensor, 'n d_in']]") -> Reconstruction:
    """Measures an SAE that reconstructs its own input on batches of activations."""
    import torch

    return measure_reconstruction(
        sae, (ReconstructionInputs(b, b, torch.ones(len(b), dtype=torch.bool)) for b in batches)
    )


def measure_reconstruction(sae: "SAE[Any]", rows: Iterator[ReconstructionInputs]) -> Reconstruction:
    """Measures an SAE's reconstruction over rows.

    Raises:
        UserError: No position is kept.
    """
    import torch

    error = power = l0 = 0.0
    n_tokens = 0
    total = torch.zeros(sae.W_dec.shape[1], dtype=torch.float64)
    fired = torch.zeros(sae.cfg.d_sae, dtype=torch.bool)
    with torch.inference_mode():
        for row in rows:
            features, output = encode_and_decode(sae, row.inputs, row.kept)
            targets = row.targets[row.kept.to(row.targets.device)].to(output)
            error += (output - targets).double().pow(2).sum().item()
            power += targets.double().pow(2).sum().item()
            total += targets.double().sum(0).cpu()
            l0 += (features != 0).sum().item()
            fired |= (features != 0).any(0).cpu()
            n_tokens += len(targets)
    if not n_tokens:
        raise UserError("No token is left to measure: all are special or beyond the norm_limit.")
    variance = power - (total.pow(2).sum() / n_tokens).item()
    return Reconstruction(
        error / power, error / variance, l0 / n_tokens, fired.float().mean().item(), n_tokens
    )


class Losses(NamedTuple):
    """The model's mean next-token cross-entropy, in nats."""

    clean: float
    reconstructed: float
    """With the SAE's output in place of the activation that it reconstructs."""
    zero: float
    """With zeros in its place."""

    @property
    def recovered(self) -> float:
        """Share of the loss recovered by the reconstruction, against zero-ablation."""
        return (self.zero - self.reconstructed) / (self.zero - self.clean)


def losses_with_edit(
    model: "Model", sae: "SAE[Any]", rows: list[list[int]], inputs: list[ReconstructionInputs]
) -> Losses:
    """Returns the model's loss with the activations of the kept positions replaced.

    The unedited rows, those with the SAE's output and those with zeros are one batch.

    Args:
        model: The model.
        sae: The SAE; its output replaces the activation at the hook point it reconstructs.
        rows: Token ids, in rows of equal length.
        inputs: What `read_reconstruction_inputs` returns for each row.

    Raises:
        UserError: Running the model never reached the hook point.
    """
    import torch
    from einops import rearrange, reduce

    with torch.inference_mode():
        outputs = [encode_and_decode(sae, row.inputs, row.kept)[1] for row in inputs]
    zeros = [torch.zeros_like(output) for output in outputs]
    width, n = sae.W_dec.shape[1], len(rows)

    def edited(activation: "torch.Tensor") -> "torch.Tensor":
        changed = activation.clone(memory_format=torch.contiguous_format)
        for text, row, new in zip(changed[n:], inputs * 2, outputs + zeros):
            view = sae_view(sae, rearrange(text, "pos ... -> pos (...)"), width)
            view[row.kept.to(view.device)] = new.to(view)
        return changed

    found = log_probabilities_with_edit(model, rows * 3, output_hook(sae), edited)
    return Losses(*reduce(-found, "(edit row) pos -> edit", "mean", edit=3).tolist())


def cross_entropy_recovered(model: "Model", sae: "SAE[Any]", rows: list[list[int]]) -> float:
    """Returns the share of the model's loss recovered by the reconstruction.

    `(loss with zeros - loss with reconstruction) / (loss with zeros - loss)`, of the mean losses
    over rows. Positions that an SAE was not trained for keep their own activation in both.
    """
    losses = [
        losses_with_edit(model, sae, [row], [read_reconstruction_inputs(model, sae, row)])
        for row in rows
    ]
    return Losses(*(sum(column) for column in zip(*losses))).recovered
