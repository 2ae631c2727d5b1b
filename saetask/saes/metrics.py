"""How well an SAE reconstructs a model's activations on given texts."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from saetask.data.prompts import render
from saetask.errors import UserError
from saetask.models.forward import right_padded
from saetask.models.hooks import loss_with_edit, run_with_hook_outputs
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
    from jaxtyping import Float
    from sae_lens import SAE

    from saetask.models.loading import Model


class Reconstruction(NamedTuple):
    """Figures over all ordinary tokens (special tokens and norm outliers left out)."""

    normalised_mse: float
    """Squared error over squared norm, both summed over tokens."""
    fvu: float
    """Squared error over variance: the fraction of variance unexplained."""
    l0: float
    """Features active on a token, on average."""
    alive_share: float
    """Share of features that fired at least once on these tokens."""
    n_tokens: int


class ReconstructionInputs(NamedTuple):
    """What an SAE reads and what it should give, `[pos, d_in]` and `[pos, d_out]`."""

    inputs: "torch.Tensor"
    targets: "torch.Tensor"
    kept: "torch.Tensor"
    """The positions to measure, `[pos]`."""


def reconstruction(model: "Model", sae: "SAE[Any]", texts: Sequence[str]) -> Reconstruction:
    """Measures an SAE on running texts."""
    tokenizer = model_tokenizer(model)
    rows = [render(tokenizer, text, bos=reads_bos(sae)).token_ids for text in texts]
    return measure_pairs(sae, (read_reconstruction_inputs(model, sae, row) for row in rows))


def read_reconstruction_inputs(
    model: "Model", sae: "SAE[Any]", token_ids: list[int]
) -> ReconstructionInputs:
    """Reads what an SAE is about in one row of tokens.

    Raises:
        UserError: The model has no such hook point, or never reaches it.
    """
    hooks = (input_hook(sae), output_hook(sae))
    caught = run_with_hook_outputs(model, right_padded([token_ids]), hooks).activations
    return pair_of(model, sae, token_ids, caught, hooks)


def pair_of(
    model: "Model",
    sae: "SAE[Any]",
    token_ids: list[int],
    caught: "dict[str, torch.Tensor]",
    hooks: tuple[str, ...],
) -> ReconstructionInputs:
    """Finds an SAE's input and output in what was caught at two hook points."""
    import torch

    missing = [name for name in hooks if name not in caught]
    if missing:
        raise UserError(f"Running {model_name(model)} never reached hook point '{missing[0]}'.")
    inputs = sae_view(sae, caught[hooks[0]][0], sae.cfg.d_in).float()
    targets = sae_view(sae, caught[hooks[1]][0], sae.W_dec.shape[1]).float()
    special = set(model_tokenizer(model).all_special_ids)
    return ReconstructionInputs(
        inputs, targets, ordinary_tokens(torch.tensor(token_ids), inputs, sae, special)
    )


def measure(sae: "SAE[Any]", batches: "Iterator[Float[torch.Tensor, 'n d_in']]") -> Reconstruction:
    """Measures an SAE on batches of activations, each to be reconstructed from itself."""
    import torch

    return measure_pairs(
        sae, (ReconstructionInputs(b, b, torch.ones(len(b), dtype=torch.bool)) for b in batches)
    )


def measure_pairs(sae: "SAE[Any]", pairs: Iterator[ReconstructionInputs]) -> Reconstruction:
    """Measures an SAE on what it reads and what it should give."""
    import torch

    error = power = l0 = 0.0
    n_tokens = 0
    total = torch.zeros(sae.W_dec.shape[1], dtype=torch.float64)
    fired = torch.zeros(sae.cfg.d_sae, dtype=torch.bool)
    with torch.inference_mode():
        for pair in pairs:
            features, output = encode_and_decode(sae, pair.inputs, pair.kept)
            targets = pair.targets[pair.kept.to(pair.targets.device)].to(output)
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
    """With the SAE's output in place of what it reconstructs."""
    zero: float
    """With zeros there."""

    @property
    def recovered(self) -> float:
        """The share of the loss that reconstruction keeps against zero-ablation."""
        return (self.zero - self.reconstructed) / (self.zero - self.clean)


def losses_with_edit(
    model: "Model",
    sae: "SAE[Any]",
    token_ids: list[int],
    pair: ReconstructionInputs,
    clean: float | None = None,
) -> Losses:
    """Measures what replacing the activations of the kept positions does to the model's loss.

    Args:
        model: The model.
        sae: The SAE; its output replaces the activation at the hook point it reconstructs.
        token_ids: One row.
        pair: As `read_reconstruction_inputs` gives it for this row.
        clean: The loss without any replacement, if it is known.
    """
    import torch

    with torch.inference_mode():
        output = encode_and_decode(sae, pair.inputs, pair.kept)[1]

    def replaced(activation: "torch.Tensor", new: "torch.Tensor") -> "torch.Tensor":
        edited = activation.clone(memory_format=torch.contiguous_format)
        view = sae_view(sae, edited[0].flatten(1), sae.W_dec.shape[1])
        view[pair.kept.to(view.device)] = new.to(view)
        return edited

    def loss(new: "torch.Tensor | None") -> float:
        edit = None if new is None else (lambda activation: replaced(activation, new))
        return loss_with_edit(model, token_ids, output_hook(sae), edit)

    clean = loss(None) if clean is None else clean
    return Losses(clean, loss(output), loss(torch.zeros_like(output)))


def cross_entropy_recovered(model: "Model", sae: "SAE[Any]", rows: list[list[int]]) -> float:
    """Returns the share of the model's loss that reconstruction keeps against zero-ablation.

    `(loss with zeros - loss with reconstruction) / (loss with zeros - loss)`, mean over rows; the
    positions an SAE is not meant for keep their own activation in both.
    """
    found = [
        losses_with_edit(model, sae, row, read_reconstruction_inputs(model, sae, row))
        for row in rows
    ]
    return Losses(*(sum(column) for column in zip(*found))).recovered
