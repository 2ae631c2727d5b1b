"""Hook points of a TransformerLens model: reading activations there, and editing them."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from saetask.errors import UserError, did_you_mean
from saetask.models.fast_forward import bypass_bridge, check_bypass
from saetask.models.forward import logits_of
from saetask.models.loading import model_device, model_name

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float, Int

    from saetask.models.loading import Model


class HookOutputs(NamedTuple):
    """What one forward pass gave."""

    activations: "dict[str, torch.Tensor]"
    """`[batch, pos, width]` by the name asked for; hook points never reached are missing."""
    logits: "torch.Tensor | None"
    """`[batch, pos, vocab]`, where the pass went to the end."""


def resolve_hook_name(model: "Model", hook_name: str) -> str:
    """Returns the canonical name of a hook point, given that name or an alias of it.

    sae-lens's bridge caches nothing, silently, under an alias (`blocks.15.hook_resid_post`), so
    every reading and every edit goes through this function.

    Raises:
        UserError: The model has no such hook point.
    """
    bridge: Any = model
    if hasattr(model, "_resolve_hook_name"):
        canonical = bridge._resolve_hook_name(hook_name)
    elif hasattr(model, "_collect_hook_aliases_from_registry"):
        aliases = {**bridge.hook_aliases, **bridge._collect_hook_aliases_from_registry()}
        canonical = aliases.get(hook_name, hook_name)
    else:
        canonical = hook_name
    points = model.hook_dict
    if canonical not in points:
        raise UserError(
            f"Hook point '{hook_name}' does not exist in {model_name(model)} "
            f"({model.cfg.n_layers} layers).{did_you_mean(canonical, points)}"
        )
    # SAE-Lens, when it takes an SAE off again, leaves the hook point the name within its block,
    # under which the model runs no hook and says nothing.
    points[canonical].name = canonical
    return canonical


def read_hook(
    model: "Model", tokens: "Int[torch.Tensor, 'batch pos']", hook_name: str
) -> "Float[torch.Tensor, 'batch pos d_in']":
    """Runs the model up to a hook point and returns the activation there.

    Args:
        model: Its own hooks stay as they are.
        tokens: Token ids, right-padded; with causal attention nothing after a row's own tokens
            can change them, so no mask is needed.
        hook_name: A hook point, canonical or alias.

    Returns:
        The activation, in the model's dtype; attention heads flattened to one axis.

    Raises:
        UserError: No such hook point, or the run never reached it.
    """
    caught = run_with_hook_outputs(model, tokens, [hook_name]).activations
    if hook_name not in caught:
        raise UserError(f"Running {model_name(model)} never reached hook point '{hook_name}'.")
    return caught[hook_name]


def run_with_hook_outputs(
    model: "Model",
    tokens: "Int[torch.Tensor, 'batch pos']",
    hook_names: Sequence[str],
    to_the_end: bool = False,
) -> HookOutputs:
    """Runs the model once and returns the activations at several hook points.

    Args:
        model: Its own hooks stay as they are.
        tokens: Token ids, right-padded.
        hook_names: Hook points, canonical or alias.
        to_the_end: Go on to the logits, not just to the last of the hook points.

    Raises:
        UserError: One of the hook points does not exist or is switched off.
    """
    import torch

    names = {name: resolve_hook_name(model, name) for name in hook_names}
    canonical = set(names.values())
    found: dict[str, torch.Tensor] = {}

    def keep(activation: "torch.Tensor", hook: Any, name: str) -> None:
        found.setdefault(name, activation.flatten(2))
        if not to_the_end and len(found) == len(canonical):
            raise _AllCaught

    hooks = [(name, partial(keep, name=name)) for name in canonical]
    try:
        with torch.inference_mode(), with_hooks(model, hooks):
            logits = logits_of(model, tokens)
    except _AllCaught:
        logits = None
    except ValueError as error:  # a hook point that is switched off
        raise UserError(f"Cannot read hook point '{hook_names[0]}': {error}") from error
    caught = {name: found[own] for name, own in names.items() if own in found}
    return HookOutputs(caught, logits if to_the_end else None)


class _AllCaught(Exception):  # noqa: N818  (no error: how a pass ends early)
    """Ends a pass that has reached all its hook points."""


@contextmanager
def with_hooks(model: "Model", hooks: Sequence[tuple[str, Callable[..., Any]]]) -> Iterator[None]:
    """Sets hooks, by canonical name, for the passes within, which run no wrapper in vain."""
    check_bypass(model)
    with model.hooks(fwd_hooks=list(hooks)), bypass_bridge(model):
        yield


@contextmanager
def capture(model: "Model", hook_name: str) -> "Iterator[list[torch.Tensor]]":
    """Keeps what each forward pass meanwhile gives at a hook point.

    Yields:
        The activations, `[batch, pos, width]`, heads flattened, in the order of the passes.

    Raises:
        UserError: No such hook point.
    """
    found: list[torch.Tensor] = []
    check_bypass(model)
    hook = (resolve_hook_name(model, hook_name), lambda a, hook: found.append(a.flatten(2)))
    with model.hooks(fwd_hooks=[hook]):
        yield found


def hook_names_by_layer(model: "Model", hook_names: Sequence[str]) -> dict[int, tuple[str, ...]]:
    """Returns the same kinds of hook point in every block, the first name's block being given.

    Args:
        model: The model.
        hook_names: Such as `blocks.3.hook_resid_post`; several keep their distance in blocks.

    Returns:
        The names by the block of the first; blocks that lack one are left out. Empty where a
        name is in no block.
    """
    matches = [re.match(r"(blocks\.)(\d+)(\..+)", name) for name in hook_names]
    if None in matches:
        return {}
    parts = [(int(match[2]), match[3]) for match in matches if match]
    found = {}
    for block in range(model.cfg.n_layers):
        names = tuple(f"blocks.{block + own - parts[0][0]}{kind}" for own, kind in parts)
        if all(_exists(model, name) for name in names):
            found[block] = names
    return found


def _exists(model: "Model", hook_name: str) -> bool:
    try:
        return bool(resolve_hook_name(model, hook_name))
    except UserError:
        return False


def loss_with_edit(
    model: "Model",
    token_ids: Sequence[int],
    hook_name: str,
    edit: "Callable[[torch.Tensor], torch.Tensor] | None",
) -> float:
    """Returns the mean next-token cross-entropy (nats), with the activation at a hook edited."""
    return -log_probabilities_with_edit(model, [token_ids], hook_name, edit).mean().item()


def log_probabilities_with_edit(
    model: "Model",
    rows: Sequence[Sequence[int]],
    hook_name: str,
    edit: "Callable[[torch.Tensor], torch.Tensor] | None",
) -> "Float[torch.Tensor, 'batch pos-1']":
    """Returns the log-probability of each row's own next tokens, with an activation edited.

    Args:
        model: The model to run; its own hooks stay as they are.
        rows: Token ids, of equal length.
        hook_name: A hook point, canonical or alias.
        edit: Gets the activation there, `[batch, pos, ...]`, and returns what stands in for it;
            None leaves it.

    Returns:
        In nats, float32, on the model's device; entry `i` is that of token `i + 1`.
    """
    import torch

    hooks = []
    if edit is not None:
        hooks = [(resolve_hook_name(model, hook_name), lambda a, hook: edit(a))]
    tokens = torch.tensor(rows, device=model_device(model))
    with torch.inference_mode(), with_hooks(model, hooks):
        logits = logits_of(model, tokens)[:, :-1].float()
        following = logits.gather(-1, tokens[:, 1:, None])[..., 0]
        return following - logits.logsumexp(-1)
