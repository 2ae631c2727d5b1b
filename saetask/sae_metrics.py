"""How well an SAE reconstructs a model's activations on given texts."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from saetask.errors import UserError
from saetask.models import model_tokenizer, read_hook, right_padded, spliced_loss
from saetask.prompts import render

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float
    from sae_lens import SAE

    from saetask.models import Model


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


def reconstruction(
    model: "Model", sae: "SAE[Any]", texts: Sequence[str], check_width: bool = False
) -> Reconstruction:
    """Measures an SAE on running texts.

    Raises:
        UserError: With `check_width`, the SAE's `d_in` differs from the activation's width.
    """
    tokenizer = model_tokenizer(model)
    rows = [render(tokenizer, text).token_ids for text in texts]
    batches = _activation_batches(model, sae, rows, set(tokenizer.all_special_ids), check_width)
    return measure(sae, batches)


def measure(sae: "SAE[Any]", batches: "Iterator[Float[torch.Tensor, 'n d_in']]") -> Reconstruction:
    """Measures an SAE on batches of activations."""
    import torch

    error = power = l0 = 0.0
    n_tokens = 0
    total = torch.zeros(sae.cfg.d_in, dtype=torch.float64)
    fired = torch.zeros(sae.cfg.d_sae, dtype=torch.bool)
    with torch.inference_mode():
        for batch in batches:
            inputs = batch.to(sae.W_dec.device, sae.W_dec.dtype)
            features = sae.encode(inputs)
            difference = (sae.decode(features) - inputs).double()
            error += difference.pow(2).sum().item()
            power += batch.double().pow(2).sum().item()
            total += batch.double().sum(0).cpu()
            l0 += (features > 0).sum().item()
            fired |= (features > 0).any(0).cpu()
            n_tokens += len(batch)
    if not n_tokens:
        raise UserError("No token is left to measure: all are special or beyond the norm_limit.")
    variance = power - (total.pow(2).sum() / n_tokens).item()
    return Reconstruction(
        error / power, error / variance, l0 / n_tokens, fired.float().mean().item(), n_tokens
    )


def _activation_batches(
    model: "Model", sae: "SAE[Any]", rows: list[list[int]], special: set[int], check_width: bool
) -> "Iterator[Float[torch.Tensor, 'n d_in']]":
    import torch

    for row in rows:
        activations = read_hook(model, right_padded([row]), sae.cfg.metadata.hook_name)[0]
        if check_width and activations.shape[1] != sae.cfg.d_in:
            raise UserError(
                f"The SAE's d_in is {sae.cfg.d_in}, but the activation at "
                f"{sae.cfg.metadata.hook_name} has width {activations.shape[1]}; the SAE was made "
                f"for {sae.cfg.metadata.model_name or 'another model'}."
            )
        kept = ordinary_tokens(torch.tensor(row), activations, sae, special)
        yield activations[kept].float()


def ordinary_tokens(
    token_ids: "torch.Tensor", activations: "torch.Tensor", sae: "SAE[Any]", special: set[int]
) -> "torch.Tensor":
    """Returns which positions an SAE is meant for: no special tokens, no norm outliers.

    Args:
        token_ids: `[pos]`.
        activations: `[pos, d_in]`.
        sae: Its metadata may hold the `norm_limit` that it was trained under.
        special: Ids of special tokens.
    """
    import torch

    kept = ~torch.isin(token_ids, torch.tensor(sorted(special)))
    limit = sae.cfg.metadata.get("norm_limit")
    if limit is not None:
        kept &= activations.float().norm(dim=-1).cpu() <= limit
    return kept


def cross_entropy_recovered(model: "Model", sae: "SAE[Any]", rows: list[list[int]]) -> float:
    """Returns the share of the model's loss that reconstruction keeps against zero-ablation.

    `(loss with zeros - loss with reconstruction) / (loss with zeros - loss)`, mean over rows; the
    positions an SAE is not meant for keep their own activation in both.
    """
    import torch

    special = set(model_tokenizer(model).all_special_ids)

    def replaced(how: str, row: list[int], activations: "torch.Tensor") -> "torch.Tensor":
        kept = ordinary_tokens(torch.tensor(row), activations[0], sae, special)
        new = activations.clone()
        if how == "reconstruct":
            inputs = activations[0, kept].to(sae.W_dec.dtype)
            new[0, kept] = sae.decode(sae.encode(inputs)).to(activations.dtype)
        else:
            new[0, kept] = 0
        return new

    totals = {"clean": 0.0, "reconstruct": 0.0, "zero": 0.0}
    for row in rows:
        for how in totals:
            edit = None if how == "clean" else (lambda a, how=how, row=row: replaced(how, row, a))
            totals[how] += spliced_loss(model, row, sae.cfg.metadata.hook_name, edit)
    return (totals["zero"] - totals["reconstruct"]) / (totals["zero"] - totals["clean"])
