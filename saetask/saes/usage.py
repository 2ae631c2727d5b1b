"""Ways of using an SAE on the probe texts, and the comparison of two of them token by token.

An SAE that is used as it was trained reconstructs better than at another layer, at another scale
or with BOS handled the other way. How much better differs from token to token and from text to
text, so two ways are compared on the same tokens, and the difference is judged by its spread over
the texts.
"""

import math
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from saetask.saes.encoding import attends, decoded_change, encode_and_decode

if TYPE_CHECKING:
    import torch
    from jaxtyping import Bool, Float
    from sae_lens import SAE

FLOOR = 0.02
"""Added to a token's share of unexplained variance before its logarithm is taken: the difference
between two almost exact reconstructions has no meaning."""
OUTLIER_NORMS = 10
"""Activations longer than this many times the median norm (attention sinks) are not measured: one
of them holds most of a text's variance."""


class Usage(NamedTuple):
    """Activations of the probe texts, as an SAE is given them."""

    inputs: "Float[torch.Tensor, 'row pos d_in']"
    targets: "Float[torch.Tensor, 'row pos d_out']"
    """Equal to `inputs`, except for a transcoder."""
    kept: "Bool[torch.Tensor, 'row pos']"
    """Mask of the positions to measure."""


class TokenErrors(NamedTuple):
    """Errors of an SAE's reconstruction; positions that are not kept have NaN."""

    error: "Float[torch.Tensor, 'row pos']"
    """Squared error."""
    deviation: "Float[torch.Tensor, 'row pos']"
    """Squared distance of the target from the mean target."""
    active: "Float[torch.Tensor, 'row pos']"
    """Number of active features."""

    @property
    def fvu(self) -> float:
        """Fraction of variance unexplained; NaN if an error is."""
        kept = ~self.deviation.isnan()
        return (self.error[kept].sum() / self.deviation[kept].sum()).item()

    @property
    def l0(self) -> float:
        """Mean number of features active on a token."""
        return self.active.nanmean().item()


def token_errors(
    sae: "SAE[Any]", usage: Usage, most: "Float[torch.Tensor, 'row pos'] | None" = None
) -> TokenErrors:
    """Reconstructs the kept positions of the probe texts.

    Args:
        sae: The SAE.
        usage: How it is used.
        most: Number of features, the strongest, that reconstruct each kept position; None takes
            all that are active.
    """
    import torch

    parts = []
    columns = [*usage, usage.kept if most is None else most]
    # All rows in one product; an SAE that attends to earlier positions takes one at a time.
    rows = zip(*columns) if attends(sae) else [tuple(part.flatten(0, 1) for part in columns)]
    with torch.inference_mode():
        for inputs, targets, kept, counts in rows:
            features, output = encode_and_decode(sae, inputs, kept)
            if most is not None:
                edit = partial(_strongest, sae, counts if attends(sae) else counts[kept.cpu()])
                change = decoded_change(sae, inputs, kept, edit)
                output = output + change[kept.to(change.device)]
            wanted = targets[kept.to(targets.device)].to(output)
            error = (output - wanted).double().pow(2).sum(-1)
            parts.append((error.cpu(), wanted.double().cpu(), (features != 0).sum(-1).cpu()))
        error, wanted, active = (torch.cat(column) for column in zip(*parts))
        deviation = (wanted - wanted.mean(0)).pow(2).sum(-1)
        return TokenErrors(*(_placed(v, usage.kept) for v in (error, deviation, active.double())))


def _strongest(
    sae: "SAE[Any]",
    counts: "Float[torch.Tensor, ' pos']",
    features: "Float[torch.Tensor, '1 pos d_sae']",
) -> "Float[torch.Tensor, '1 pos d_sae']":
    """Keeps so many features of each position, those that add most, and sets the others to 0."""
    strengths = features.abs() * sae.W_dec.norm(dim=-1)
    ordered = strengths.topk(max(int((features != 0).sum(-1).max()), 1)).values
    counts = counts.to(features.device).nan_to_num(math.inf).clamp(max=ordered.shape[-1])
    places = (counts.long() - 1).clamp(min=0)[None, :, None]
    kept = (strengths >= ordered.gather(-1, places)) & (counts > 0)[None, :, None]
    return features * kept


def _placed(values: "torch.Tensor", kept: "torch.Tensor") -> "torch.Tensor":
    """Puts values of the kept positions at their places; the others get NaN."""
    placed = values.new_full(kept.shape, math.nan)
    placed[kept.cpu()] = values
    return placed


def without_outliers(usage: Usage) -> Usage:
    """Leaves out the positions whose norm is many times the median."""
    kept = usage.kept.clone()
    for activations in (usage.inputs, usage.targets):
        norms = activations.norm(dim=-1).cpu()
        if usage.kept.any():
            kept &= norms <= OUTLIER_NORMS * norms[usage.kept].median()
    return usage._replace(kept=kept)


def thinned(usage: Usage, n_tokens: int) -> Usage:
    """Keeps about `n_tokens` of the kept positions, every n-th of them."""
    import torch

    positions = usage.kept.nonzero()
    chosen = positions[:: max(1, len(positions) // n_tokens)]
    kept = torch.zeros_like(usage.kept)
    kept[chosen[:, 0], chosen[:, 1]] = True
    return usage._replace(kept=kept)


class Comparison(NamedTuple):
    """Difference between two ways of using an SAE, on the tokens that both have."""

    log_ratio: float
    """Mean over texts of the mean over tokens of log((other + FLOOR) / (own + FLOOR)), where own
    and other are a token's shares of unexplained variance; negative if the other way is better."""
    standard_error: float
    """Of `log_ratio`, by its spread over the texts; infinite with fewer than three texts."""

    def below(self, limit: float, n_errors: float) -> bool:
        """Returns whether the log ratio is below a limit by more than some standard errors."""
        return self.log_ratio + n_errors * self.standard_error < limit

    def above(self, limit: float, n_errors: float) -> bool:
        """Returns whether the log ratio is above a limit by more than some standard errors."""
        return self.log_ratio - n_errors * self.standard_error > limit


def compare(own: TokenErrors, other: TokenErrors) -> Comparison:
    """Compares two ways of using an SAE; the last positions of their rows are the same tokens."""
    n = min(own.error.shape[1], other.error.shape[1])
    shares = [
        (errors.error[:, -n:] / errors.deviation[:, -n:]).clamp(max=1e6) + FLOOR
        for errors in (own, other)
    ]
    ratios = (shares[1].log() - shares[0].log()).nanmean(1)
    ratios = ratios[~ratios.isnan()]
    if len(ratios) < 3:
        return Comparison(ratios.mean().item(), math.inf)
    return Comparison(ratios.mean().item(), (ratios.std() / len(ratios) ** 0.5).item())


def constant(own: TokenErrors) -> TokenErrors:
    """Returns the errors of the mean activation, as if it were the reconstruction."""
    return own._replace(error=own.deviation)
