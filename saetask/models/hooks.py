"""Reads and edits activations at hook points of a TransformerLens model."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from saetask.errors import UserError, did_you_mean
from saetask.models.fast_forward import bypass_bridge, check_bypass
from saetask.models.forward import float32_logits, logits_of
from saetask.models.loading import model_device, model_name

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float, Int

    from saetask.models.loading import Model


class HookOutputs(NamedTuple):
    """Activations and logits of one forward pass."""

    activations: "dict[str, Float[torch.Tensor, 'batch pos width']]"
    """By the hook name given, heads flattened; hook points never reached are missing."""
    logits: "Float[torch.Tensor, 'batch pos vocab'] | None"
    """None if the pass ended at the last hook point."""


def resolve_hook_name(model: "Model", hook_name: str) -> str:
    """Returns the canonical name of a hook point, given that name or an alias of it.

    Under an alias, such as the `blocks.15.hook_resid_post` that an SAE names, SAE-Lens's bridge
    caches nothing and runs no hook, without a word. So every hook name goes through this function,
    and so should those of hooks of your own:
    `model.hooks(fwd_hooks=[(resolve_hook_name(model, name), function)])`.

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
    # When SAE-Lens detaches an SAE, it leaves the hook point with its name within the block, under
    # which the model silently runs no hook.
    points[canonical].name = canonical
    return canonical


def read_hook(
    model: "Model", tokens: "Int[torch.Tensor, 'batch pos']", hook_name: str
) -> "Float[torch.Tensor, 'batch pos d_in']":
    """Runs the model up to a hook point and returns the activation there.

    Args:
        model: The model to run; its own hooks stay as they are.
        tokens: Token ids, right-padded; with causal attention the padding after a row's tokens
            can not change their activations, so no mask is needed.
        hook_name: A hook point, canonical or alias.

    Returns:
        The activation, in the model's dtype, heads flattened.

    Raises:
        UserError: The hook point does not exist, or the run never reached it.
    """
    return read_hooks(model, tokens, [hook_name])[hook_name]


def read_hooks(
    model: "Model", tokens: "Int[torch.Tensor, 'batch pos']", hook_names: Sequence[str]
) -> "dict[str, Float[torch.Tensor, 'batch pos width']]":
    """Runs the model up to the last of several hook points and returns the activations there.

    Args:
        model: The model to run; its own hooks stay as they are.
        tokens: Token ids, right-padded, as `read_hook` takes them.
        hook_names: Hook points, canonical or alias.

    Returns:
        The activations by the name given, in the model's dtype, heads flattened.

    Raises:
        UserError: A hook point does not exist, or the run never reached it.
    """
    activations = run_with_hook_outputs(model, tokens, hook_names).activations
    for name in hook_names:
        if name not in activations:
            raise UserError(f"Running {model_name(model)} never reached hook point '{name}'.")
    return activations


def run_with_hook_outputs(
    model: "Model",
    tokens: "Int[torch.Tensor, 'batch pos']",
    hook_names: Sequence[str],
    to_the_end: bool = False,
) -> HookOutputs:
    """Runs the model once and returns the activations at several hook points.

    Args:
        model: The model to run; its own hooks stay as they are.
        tokens: Token ids, right-padded.
        hook_names: Hook points, canonical or alias.
        to_the_end: Run to the logits, not just to the last of the hook points.

    Raises:
        UserError: One of the hook points does not exist or is switched off.
    """
    import torch

    names = {name: resolve_hook_name(model, name) for name in hook_names}
    canonical = set(names.values())
    outputs: dict[str, torch.Tensor] = {}

    def keep(activation: "torch.Tensor", hook: Any, name: str) -> None:
        outputs.setdefault(name, _flat_heads(activation))
        if not to_the_end and len(outputs) == len(canonical):
            raise _AllReached

    hooks = [(name, partial(keep, name=name)) for name in canonical]
    try:
        with torch.inference_mode(), with_hooks(model, hooks):
            logits = logits_of(model, tokens)
    except _AllReached:
        logits = None
    except ValueError as error:  # a hook point that is switched off
        raise UserError(f"Cannot read hook point '{hook_names[0]}': {error}") from error
    activations = {name: outputs[own] for name, own in names.items() if own in outputs}
    return HookOutputs(activations, logits if to_the_end else None)


class _AllReached(Exception):  # noqa: N818  (no error: how a pass ends early)
    """Ends a pass that has reached all its hook points."""


def _flat_heads(
    activation: "Float[torch.Tensor, 'batch pos ...']",
) -> "Float[torch.Tensor, 'batch pos width']":
    """Returns an activation with its axes after the position, such as heads, as one."""
    from einops import rearrange

    return rearrange(activation, "batch pos ... -> batch pos (...)")


@contextmanager
def with_hooks(model: "Model", hooks: Sequence[tuple[str, Callable[..., Any]]]) -> Iterator[None]:
    """Sets hooks, by canonical name, within the context, and bypasses unhooked wrappers."""
    check_bypass(model)
    with model.hooks(fwd_hooks=list(hooks)), bypass_bridge(model):
        yield


@contextmanager
def capture(model: "Model", hook_name: str) -> "Iterator[list[torch.Tensor]]":
    """Records the activation at a hook point of each forward pass within the context.

    Yields:
        A list that gets the activations, `[batch, pos, width]`, heads flattened, in the order of
        the passes.

    Raises:
        UserError: The hook point does not exist.
    """
    activations: list[torch.Tensor] = []
    check_bypass(model)

    def keep(activation: "torch.Tensor", hook: Any) -> None:
        activations.append(_flat_heads(activation))

    with model.hooks(fwd_hooks=[(resolve_hook_name(model, hook_name), keep)]):
        yield activations


def hook_names_by_layer(model: "Model", hook_names: Sequence[str]) -> dict[int, tuple[str, ...]]:
    """Returns the hook points of the same kinds in every block.

    Args:
        model: The model.
        hook_names: Such as `blocks.3.hook_resid_post`; several keep their distance in blocks.

    Returns:
        The names by the block of the first; blocks that lack one are left out. Empty if a name is
        in no block.
    """
    matches = [re.match(r"(blocks\.)(\d+)(\..+)", name) for name in hook_names]
    if None in matches:
        return {}
    parts = [(int(match[2]), match[3]) for match in matches if match]
    by_block = {}
    for block in range(model.cfg.n_layers):
        names = tuple(f"blocks.{block + own - parts[0][0]}{kind}" for own, kind in parts)
        if all(_exists(model, name) for name in names):
            by_block[block] = names
    return by_block


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
        rows: Token ids, in rows of equal length.
        hook_name: A hook point, canonical or alias.
        edit: Maps the activation there, `[batch, pos, ...]`, to its replacement; None leaves it.

    Returns:
        In nats, float32, on the model's device; entry `i` is of token `i + 1`.

    Raises:
        UserError: The hook point does not exist, or the run never reached it.
    """
    import torch

    tokens = torch.tensor(rows, device=model_device(model))
    edits = [] if edit is None else [(hook_name, edit)]
    check_bypass(model)
    with torch.inference_mode(), edited_hooks(model, edits), bypass_bridge(model):
        with float32_logits(model):
            logits = logits_of(model, tokens)[:, :-1].float()
        following = logits.gather(-1, tokens[:, 1:, None])[..., 0]
        return following - logits.logsumexp(-1)


@contextmanager
def edited_hooks(
    model: "Model", edits: "Sequence[tuple[str, Callable[[torch.Tensor], torch.Tensor | None]]]"
) -> Iterator[None]:
    """Edits activations at hook points in every pass within the context.

    Args:
        model: The model; its own hooks stay as they are, also where a pass fails.
        edits: A hook point, canonical or alias, and a function that maps the activation there,
            `[batch, pos, ...]`, to its replacement, or to None to leave it. Those at one hook point
            act one after another.

    Raises:
        UserError: A hook point does not exist, or no pass within the context reached it.
    """
    reached: set[str] = set()

    def act(activation: "torch.Tensor", hook: Any, name: str, edit: Any) -> "torch.Tensor | None":
        reached.add(name)
        return edit(activation)

    hooks: list[Any] = [
        (resolve_hook_name(model, name), partial(act, name=name, edit=edit)) for name, edit in edits
    ]
    check_bypass(model)
    with model.hooks(fwd_hooks=hooks):
        yield
    for name, _ in edits:
        if name not in reached:
            raise UserError(f"Running {model_name(model)} never reached hook point '{name}'.")
