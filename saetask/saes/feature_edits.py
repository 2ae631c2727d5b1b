"""Edits features in every forward pass: added to, or ablated, wherever the SAE reads.

What is added to the activation is the change of the decoded features, so the SAE's error stays
where it is, and an edit of nothing changes nothing. SAE-Lens's own way, an SAE spliced into the
model with its error term, edits special tokens too, and is passed by where a bridge's model
generates by itself.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from saetask.errors import UserError
from saetask.models.hooks import edited_hooks
from saetask.models.loading import model_tokenizer
from saetask.models.pass_tokens import pass_tokens
from saetask.saes.encoding import (
    attends,
    decoded_change,
    input_hook,
    ordinary_tokens,
    output_hook,
    sae_view,
)

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float
    from sae_lens import SAE

    from saetask.models.loading import Model


class FeatureEdit(NamedTuple):
    """A change of features."""

    added: Mapping[int, float] = {}
    """What is added to the activation of each feature, in the SAE's own unit."""
    ablated: Collection[int] = ()
    """Features whose activation is set to zero; nothing is added to these."""

    def __call__(self, features: "Float[torch.Tensor, '... d_sae']") -> "torch.Tensor":
        """Returns edited features; lowering a feature ends at zero, where it does not fire."""
        edited = features.clone()
        for feature, amount in self.added.items():
            before = features[..., feature]
            after = before + amount
            if amount < 0:
                after = after.clamp(min=0).where(before > 0, before)
            edited[..., feature] = after
        edited[..., sorted(self.ablated)] = 0
        return edited


@contextmanager
def features_edited(
    model: "Model",
    sae: "SAE[Any]",
    edit: FeatureEdit,
    direction: "Float[torch.Tensor, 'd_out'] | None" = None,
) -> Iterator[None]:
    """Edits features in every forward pass within the context, in generation too.

    Tokens that the SAE was not trained on are left as they are: special ones, such as BOS and
    padding, and norm outliers. Contexts may be nested: an inner one reads what the outer one wrote.

    Args:
        model: The model; its own hooks stay as they are.
        sae: An SAE that fits it. A transcoder's edit is read at its input and written at its
            output.
        edit: The change.
        direction: A unit vector; the activation is moved along it instead, on each token as far as
            the edit would. The control for an edit. None makes the edit itself.

    Raises:
        UserError: A feature or hook point does not exist, the SAE reads more than the pass shows,
            or no pass within the context reached its hook point.
    """
    import torch
    from einops import rearrange

    _check(sae, edit)
    special, changes = set(model_tokenizer(model).all_special_ids), []

    def read(activation: "torch.Tensor") -> None:
        # Rows one after another: neither special tokens nor outliers depend on the place in a row.
        token_ids = rearrange(tokens.of(activation), "batch pos -> (batch pos)")
        whole = rearrange(activation, "batch pos ... -> (batch pos) (...)")
        inputs = sae_view(sae, whole, sae.cfg.d_in).detach().float()
        change = decoded_change(sae, inputs, ordinary_tokens(token_ids, inputs, sae, special), edit)
        if direction is not None:
            change = change.norm(dim=-1, keepdim=True) * direction.to(change)
        changes[:] = [change]

    def write(activation: "torch.Tensor") -> "torch.Tensor | None":
        (change,) = changes
        if not change.any():
            return None
        changed = activation.clone(memory_format=torch.contiguous_format)
        flat = changed.view(len(change), -1)
        view = sae_view(sae, flat, change.shape[-1])
        moved = change.any(-1).to(view.device)
        view[moved] += change.clone().to(view)[moved]
        return changed

    hooks = [(input_hook(sae), read), (output_hook(sae), write)]
    with pass_tokens(model) as tokens, edited_hooks(model, hooks):
        yield


def check_features(sae: "SAE[Any]", features: Collection[int]) -> None:
    """Checks that an SAE has some features.

    Raises:
        UserError: It lacks one.
    """
    for feature in features:
        if isinstance(feature, bool) or not 0 <= feature < sae.cfg.d_sae:
            raise UserError(f"There is no feature {feature}; it is 0 to {sae.cfg.d_sae - 1}.")


def _check(sae: "SAE[Any]", edit: FeatureEdit) -> None:
    check_features(sae, [*edit.added, *edit.ablated])
    reason = "attends to earlier tokens" if attends(sae) else ""
    if any(bound is not None for bound in sae.cfg.metadata.seqpos_slice or ()):
        reason = "was trained on some positions alone (seqpos_slice)"
    if reason:
        raise UserError(
            f"This SAE {reason}, which a pass with a key-value cache does not show; edit with "
            "another one."
        )
