"""Other ways of using an SAE than its metadata specifies: layer, scale, normalisation, BOS."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

from saetask.saes.encoding import reads_bos
from saetask.saes.usage import (
    Comparison,
    TokenErrors,
    Usage,
    compare,
    thinned,
    token_errors,
    without_outliers,
)

if TYPE_CHECKING:
    import torch
    from sae_lens import SAE

SCALES = (1 / 16, 1 / 4, 1 / 2, 2 / 3, 3 / 2, 2, 4, 16)
"""Factors by which the SAE's input is multiplied in search of a better fit."""
MAX_L0_RATIO = 1.1
"""A rescaled use with more active features than this many times the SAE's own does not count where
features have no thresholds: with an input too large, a ReLU activates more features, and an L1
penalty's shrinkage weighs less, so that it may reconstruct better."""


class Alternative(NamedTuple):
    """One other way of using an SAE."""

    description: str
    """The other way, as it ends a sentence."""
    usage: Usage
    setting: "Callable[[SAE[Any]], AbstractContextManager[Any]]" = lambda sae: nullcontext()
    """Context in which the SAE has another setting."""
    keeps_l0: bool = False
    """Whether it counts only if it does not fit better by activating more features alone."""

    def errors(
        self,
        sae: "SAE[Any]",
        n_tokens: int | None = None,
        most: "torch.Tensor | None" = None,
    ) -> TokenErrors | None:
        """Measures it; None if fewer than two positions are kept.

        Args:
            sae: The SAE.
            n_tokens: On about so many tokens; None takes all.
            most: Number of features that reconstruct each position; None takes all.
        """
        usage = without_outliers(self.usage)
        usage = usage if n_tokens is None else thinned(usage, n_tokens)
        if usage.kept.sum() < 2:
            return None
        with self.setting(sae):
            return token_errors(sae, usage, most)

    def against(
        self, sae: "SAE[Any]", own: TokenErrors, n_tokens: int | None = None
    ) -> "Trial | None":
        """Compares it with the SAE's own use; None if it does not count.

        Fewer than two positions may be kept, or more features be active than count. Thresholds
        silence features where the input is too small, so that the right scale activates more; it
        must reconstruct better with the strongest of them, no more than the own use activates.
        """
        errors = self.errors(sae, n_tokens)
        if errors is None:
            return None
        found = Trial(errors, compare(own, errors))
        if not self.keeps_l0 or errors.l0 <= MAX_L0_RATIO * max(own.l0, 1) or own.l0 < 1:
            return found
        if not has_thresholds(sae):
            return None
        sparse = self.errors(sae, n_tokens, own.active)
        assert sparse is not None  # it has the same positions
        with_as_many = compare(own, sparse)
        return Trial(errors, max(found.fit, with_as_many, key=lambda fit: fit.log_ratio))


class Trial(NamedTuple):
    """Another use, measured."""

    errors: TokenErrors
    fit: Comparison
    """Against the SAE's own use; with all its features or with as many, whichever is worse."""


def has_thresholds(sae: "SAE[Any]") -> bool:
    """Returns whether features are silent below thresholds; plain ReLU features are not."""
    threshold = getattr(sae, "threshold", None)
    return threshold is not None and bool((threshold > 0).any())


def rescaled(sae: "SAE[Any]", own: Usage) -> Iterator[Alternative]:
    """Yields the SAE's use under the usual normalisations of its input."""
    norms = own.inputs.norm(dim=-1, keepdim=True)
    root = sae.cfg.d_in**0.5
    usual = root / norms[own.kept.to(norms.device)].mean().item()

    def changed(
        transform: "Callable[[torch.Tensor], torch.Tensor]", description: str
    ) -> Alternative:
        usage = own._replace(inputs=transform(own.inputs), targets=transform(own.targets))
        return Alternative(description, usage, keeps_l0=True)

    for scale in (usual, 1 / usual, *SCALES):
        description = f"normalisation: with its input multiplied by {scale:.3g}"
        yield changed(lambda a, factor=scale: a * factor, description)
    yield changed(
        lambda a: a * root / norms, "normalisation: with each input scaled to norm sqrt(d_in)"
    )
    yield changed(
        lambda a: (a - a.mean(-1, keepdim=True)) / a.std(-1, keepdim=True),
        "normalisation: with layer-normalised input",
    )
    if (named := sae.cfg.normalize_activations) != "none":
        description = f"normalisation: without the {named} that its cfg.json names"
        yield Alternative(description, own, unnormalised, keeps_l0=True)
    if own.inputs.shape == own.targets.shape and own.inputs.equal(own.targets):  # no transcoder
        swapped = str(not sae.cfg.apply_b_dec_to_input).lower()
        description = f"with apply_b_dec_to_input: {swapped} in its cfg.json"
        yield Alternative(description, own, decoder_bias_swapped)
    yield changed(
        lambda a: a - a.mean(-1, keepdim=True),
        "processing: with its input centred (as a model with centred writing weights has it)",
    )


def at_layer(own: Usage, other: Usage, layer: int, hook_name: str) -> Iterator[Alternative]:
    """Yields the SAE's use at another layer, if activations there have the same shape."""
    if other.inputs.shape == own.inputs.shape and other.targets.shape == own.targets.shape:
        yield Alternative(f"at layer {layer} ({hook_name})", other)


def bos_swapped(sae: "SAE[Any]", other: Usage) -> Alternative:
    """Returns the SAE's use with BOS if it is used without, and without if it is used with."""
    bos = not reads_bos(sae)
    description = f"{'with' if bos else 'without'} BOS (metadata.prepend_bos: {str(bos).lower()})"
    return Alternative(description, other)


def shuffled(own: Usage) -> Usage:
    """Returns a use in which the activation's dimensions are in another order.

    The shuffled activations have the same values, so an SAE of another model, layer or processing
    reconstructs them as well as the true ones.
    """
    import torch

    def permuted(activations: "torch.Tensor") -> "torch.Tensor":
        generator = torch.Generator().manual_seed(0)
        order = torch.randperm(activations.shape[-1], generator=generator)
        return activations[..., order.to(activations.device)]

    return own._replace(inputs=permuted(own.inputs), targets=permuted(own.targets))


@contextmanager
def decoder_bias_swapped(sae: "SAE[Any]") -> Iterator[None]:
    """Subtracts the decoder's bias from the input if the config says not to, and vice versa."""
    before = sae.cfg.apply_b_dec_to_input
    sae.cfg.apply_b_dec_to_input = not before
    try:
        yield
    finally:
        sae.cfg.apply_b_dec_to_input = before


@contextmanager
def unnormalised(sae: "SAE[Any]") -> Iterator[None]:
    """Turns off the normalisation that an SAE applies to its input when encoding."""
    before = sae.run_time_activation_norm_fn_in, sae.run_time_activation_norm_fn_out
    sae.run_time_activation_norm_fn_in = sae.run_time_activation_norm_fn_out = lambda x: x
    try:
        yield
    finally:
        sae.run_time_activation_norm_fn_in, sae.run_time_activation_norm_fn_out = before
