"""Running what nobody listens to as transformers wrote it.

A bridge of TransformerLens computes attention and norms by itself, so that every step has a hook
point. The modules of transformers that it wraps compute the same, up to rounding, in less time.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    import torch
    from torch.nn import Module

    from saetask.models.loading import Model

BLOCKS_OWN = ("hook_in", "hook_out")
"""Hook points that a block runs itself; others are run by what is inside it."""
TRIAL = [1, 2, 3, 7, 5, 8]
_LOCK = threading.RLock()


class _Place(NamedTuple):
    """Where a wrapper, or a hook point, stands."""

    modules: dict[str, Any]
    """The submodules of what it stands in."""
    name: str


class _Part(NamedTuple):
    """Wrappers that are taken off together, or not at all."""

    wrappers: list[_Place]
    hook_points: list[_Place]
    """Those that the wrappers run."""
    components: list["Module"]
    """What torch may have hooks on: the wrappers, and more of their kind."""


_PARTS: "WeakKeyDictionary[Model, list[_Part]]" = WeakKeyDictionary()


@contextmanager
def bypass_bridge(model: "Model") -> Iterator[None]:
    """Takes off the wrappers of those parts of a model that have no hooks; puts them back.

    Hooks that are set already run as ever; set none within. Nothing is taken off in compatibility
    mode, of a `HookedTransformer`, or where `check_bypass` did not find that the model allows
    it. One thread at a time is within.
    """
    with _LOCK:
        check_bypass(model)
        parts = [] if _is_processed(model) else _PARTS.get(model, [])
        with _taken_off([part for part in parts if _is_quiet(part)]):
            yield


def check_bypass(model: "Model") -> None:
    """Finds out, once a model, whether it computes without wrappers what it does with them.

    It is tried on a few tokens, and not while there are hooks, which would run.
    """
    with _LOCK:
        if model in _PARTS or _is_processed(model):
            return
        bridge: Any = model
        parts = list(_walk(bridge.original_model))
        if all(map(_is_quiet, parts)):
            _PARTS[model] = parts if _computes_alike(model, parts) else []


def _is_processed(model: Any) -> bool:
    """Tells whether the wrappers hold weights of their own, or there are no wrappers."""
    return getattr(model, "compatibility_mode", True) or model._weights_processed


@contextmanager
def _taken_off(parts: list[_Part]) -> Iterator[None]:
    places = [place for part in parts for place in part.wrappers]
    wrappers = [place.modules[place.name] for place in places]
    for place, wrapper in zip(places, wrappers):
        place.modules[place.name] = wrapper.original_component
    try:
        yield
    finally:
        for place, wrapper in zip(places, wrappers):
            place.modules[place.name] = wrapper


def _walk(owner: "Module", block: Any = None) -> Iterator[_Part]:
    """Yields the blocks' wrappers, and the outermost wrappers outside and inside of blocks."""
    for name, module in owner._modules.items():
        place = _Place(owner._modules, name)
        original = _wrapped_by(module)
        if module is None:
            continue
        if original is None:
            yield from _walk(module, block)
        elif getattr(module, "is_list_item", False):
            yield _Part([place], _hook_points(module), [module])
            yield from _walk(original, module)
        else:
            components = [m for m in module.modules() if hasattr(m, "original_component")]
            points = [point for component in components for point in _hook_points(component)]
            points += [p for p in _hook_points(block) if p.name not in BLOCKS_OWN]
            yield _Part([place, *_wrappers(original)], points, components)


def _wrappers(owner: "Module") -> Iterator[_Place]:
    """Yields every wrapper below a module."""
    for name, module in owner._modules.items():
        original = _wrapped_by(module)
        if original is not None:
            yield _Place(owner._modules, name)
        if module is not None:
            yield from _wrappers(module if original is None else original)


def _wrapped_by(module: "Module | None") -> "Module | None":
    return getattr(module, "original_component", None)


def _hook_points(component: "Module | None") -> list[_Place]:
    modules: dict[str, Any] = {} if component is None else component._modules
    return [_Place(modules, name) for name in modules if name.startswith("hook_")]


def _is_quiet(part: _Part) -> bool:
    """Tells whether nothing has been hooked to a part."""
    from transformer_lens.hook_points import HookPoint

    for modules, name in part.hook_points:
        point = modules[name]
        if type(point) is not HookPoint or _hooks(point):  # SAE-Lens puts an SAE in its place
            return False
    # TransformerLens sets hooks on wrappers, too, which only feed hook points.
    return all(
        str(getattr(hook, "__module__", "")).startswith("transformer_lens.")
        for component in part.components
        for hook in _hooks(component)
    )


def _hooks(module: "Module") -> list[Any]:
    """Returns torch's hooks on a module, which those of a hook point are."""
    return [
        *module._forward_hooks.values(),
        *module._forward_pre_hooks.values(),
        *module._backward_hooks.values(),
        *module._backward_pre_hooks.values(),
    ]


def _computes_alike(model: "Model", parts: list[_Part]) -> bool:
    """Compares the logits of a few tokens, to the square root of the precision of their type."""
    import torch

    expected = _trial(model)
    try:
        with _taken_off(parts):
            found = _trial(model)
    except (AttributeError, TypeError, ValueError, RuntimeError):
        return False
    difference = (found - expected).float().pow(2).mean(-1).sqrt() / expected.float().std(-1)
    return bool((difference <= torch.finfo(expected.dtype).eps ** 0.5).all())


def _trial(model: "Model") -> "torch.Tensor":
    import torch

    with torch.inference_mode():
        tokens = torch.tensor([TRIAL], device=next(model.parameters()).device)
        return model(tokens, return_type="logits")
