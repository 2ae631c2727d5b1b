"""Bypasses TransformerLens's wrappers where no hook is set, for speed.

A bridge of TransformerLens computes attention and norms by itself, so that every step has a hook
point. The transformers modules that it wraps compute the same, up to rounding, in less time.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

from saetask.data.chat_template import apply_template
from saetask.errors import UserError

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float
    from torch.nn import Module
    from transformers import PreTrainedTokenizerBase

    from saetask.models.loading import Model

BLOCKS_OWN = ("hook_in", "hook_out")
"""Hook points that a block runs itself; its submodules run the others."""
TRIAL_TEXT = "The ferry came in at noon, and the harbour was quiet."
"""Text on which computations are compared. In bfloat16, two orders of the same sums differ by 1 or
2 % of the logits' spread on natural text, and by up to most of it on tokens at random."""
N_TRIAL_TOKENS = 8
"""Tokens of it that are read. A chat model reads a whole chat: behind a first token that they do
not know, some of them (Qwen 2.5) round as widely as on tokens at random."""
FURTHER_OFF = 0.1
"""Share of positions at which logits in 16 bits may be further apart: an attention sink is rounded
by luck."""
TRIAL_TOKENS = [1, 2, 3, 7, 5, 8]
"""Tokens on which they are compared where there is no tokenizer."""
_LOCK = threading.RLock()


class _ModuleSlot(NamedTuple):
    """Position of a wrapper or a hook point among the submodules of a module."""

    modules: dict[str, Any]
    """The submodules, by name."""
    name: str


class _Part(NamedTuple):
    """Wrappers that are bypassed together, or not at all."""

    wrappers: list[_ModuleSlot]
    hook_points: list[_ModuleSlot]
    """Hook points that the wrappers run."""
    components: list["Module"]
    """Modules that may have torch hooks: the wrappers, and wrappers inside them."""


_PARTS: "WeakKeyDictionary[Model, list[_Part]]" = WeakKeyDictionary()


@contextmanager
def bypass_bridge(model: "Model") -> Iterator[None]:
    """Bypasses the wrappers of those parts of a model that have no hooks, within the context.

    Hooks that are set already still run; set none within. Nothing is bypassed in compatibility
    mode, of a `HookedTransformer`, or where `check_bypass` found that the model does not allow it.
    One thread at a time.
    """
    with _LOCK:
        check_bypass(model)
        parts = [] if is_processed(model) else _PARTS.get(model, [])
        with _bypassed([part for part in parts if _has_no_hooks(part)]):
            yield


def check_bypass(model: "Model") -> None:
    """Checks once per model that it computes the same with and without its wrappers.

    A few tokens are run both ways; not while hooks are set, because the hooks would run.
    """
    with _LOCK:
        if model in _PARTS or is_processed(model):
            return
        bridge: Any = model
        parts = list(_parts(bridge.original_model))
        if all(map(_has_no_hooks, parts)):
            _PARTS[model] = parts if _gives_same_logits(model, parts) else []


def has_hooks(model: "Model") -> bool:
    """Returns whether any hook is set, besides TransformerLens's own."""
    bridge: Any = model
    return not all(map(_has_no_hooks, _parts(bridge.original_model)))


def is_processed(model: Any) -> bool:
    """Returns whether the wrappers have weights of their own, or there are no wrappers."""
    return getattr(model, "compatibility_mode", True) or model._weights_processed


@contextmanager
def _bypassed(parts: list[_Part]) -> Iterator[None]:
    slots = [slot for part in parts for slot in part.wrappers]
    wrappers = [slot.modules[slot.name] for slot in slots]
    for slot, wrapper in zip(slots, wrappers):
        slot.modules[slot.name] = wrapper.original_component
    try:
        yield
    finally:
        for slot, wrapper in zip(slots, wrappers):
            slot.modules[slot.name] = wrapper


def _parts(owner: "Module", block: Any = None) -> Iterator[_Part]:
    """Yields parts: the blocks' own wrappers, and the outermost wrappers outside and in blocks."""
    for name, module in owner._modules.items():
        slot = _ModuleSlot(owner._modules, name)
        original = _wrapped_by(module)
        if module is None:
            continue
        if original is None:
            yield from _parts(module, block)
        elif getattr(module, "is_list_item", False):
            yield _Part([slot], _hook_points(module), [module])
            yield from _parts(original, module)
        else:
            components = [m for m in module.modules() if hasattr(m, "original_component")]
            points = [point for component in components for point in _hook_points(component)]
            points += [p for p in _hook_points(block) if p.name not in BLOCKS_OWN]
            yield _Part([slot, *_wrappers(original)], points, components)


def _wrappers(owner: "Module") -> Iterator[_ModuleSlot]:
    """Yields every wrapper below a module."""
    for name, module in owner._modules.items():
        original = _wrapped_by(module)
        if original is not None:
            yield _ModuleSlot(owner._modules, name)
        if module is not None:
            yield from _wrappers(module if original is None else original)


def _wrapped_by(module: "Module | None") -> "Module | None":
    return getattr(module, "original_component", None)


def _hook_points(component: "Module | None") -> list[_ModuleSlot]:
    modules: dict[str, Any] = {} if component is None else component._modules
    return [_ModuleSlot(modules, name) for name in modules if name.startswith("hook_")]


def _has_no_hooks(part: _Part) -> bool:
    """Returns whether a part has no hooks but TransformerLens's own."""
    from transformer_lens.hook_points import HookPoint

    for modules, name in part.hook_points:
        point = modules[name]
        if type(point) is not HookPoint or _hooks(point):  # SAE-Lens puts an SAE in its place
            return False
    # TransformerLens itself sets hooks on wrappers, which only feed hook points.
    return all(
        str(getattr(hook, "__module__", "")).startswith("transformer_lens.")
        for component in part.components
        for hook in _hooks(component)
    )


def _hooks(module: "Module") -> list[Any]:
    """Returns torch's hooks on a module; the hooks of a hook point are such."""
    return [
        *module._forward_hooks.values(),
        *module._forward_pre_hooks.values(),
        *module._backward_hooks.values(),
        *module._backward_pre_hooks.values(),
    ]


def _gives_same_logits(model: "Model", parts: list[_Part]) -> bool:
    """Compares logits with and without wrappers."""
    tokens = trial_tokens(model.tokenizer)
    expected = trial_logits(model, tokens)
    try:
        with _bypassed(parts):
            bypassed = trial_logits(model, tokens)
    except (AttributeError, TypeError, ValueError, RuntimeError):
        return False
    return close(bypassed, expected)


def close(
    logits: "Float[torch.Tensor, 'batch pos vocab']",
    expected: "Float[torch.Tensor, 'batch pos vocab']",
    times: float = 1,
    dtype: "torch.dtype | None" = None,
) -> bool:
    """Returns whether logits are equal up to rounding.

    The difference's root mean square, in standard deviations of the expected logits, is held
    against so many times the square root of a dtype's precision, position by position; in 16
    bits, one position in ten may be beyond it.

    Args:
        logits: The logits, `[..., vocab]`.
        expected: What they should be.
        times: Multiplies the tolerance.
        dtype: What they were computed in; None takes the dtype in which they are given.
    """
    import torch

    difference = (logits - expected).float().pow(2).mean(-1).sqrt()
    computed_in = torch.finfo(dtype or expected.dtype)
    allowed = times * computed_in.eps**0.5 * expected.float().std(-1)
    further_off = FURTHER_OFF if computed_in.bits < 32 else 0
    return int((difference > allowed).sum()) <= further_off * difference.numel()


def trial_tokens(tokenizer: "PreTrainedTokenizerBase | None") -> list[int]:
    """Returns a chat's tokens, or, without a chat template, a sentence's first ones after BOS."""
    if tokenizer is None:
        return TRIAL_TOKENS
    if getattr(tokenizer, "chat_template", None):
        with suppress(UserError):  # a template that takes other chats
            chat = apply_template(tokenizer, [{"role": "user", "content": TRIAL_TEXT}])
            return tokenizer(chat, add_special_tokens=False)["input_ids"]
    bos = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    token_ids = tokenizer(TRIAL_TEXT, add_special_tokens=False)["input_ids"]
    return [*bos, *token_ids][:N_TRIAL_TOKENS]


def trial_logits(model: Any, token_ids: list[int]) -> "Float[torch.Tensor, 'batch pos vocab']":
    """Returns a bridge's logits of a row of tokens, or those of a model of transformers."""
    import torch

    config = getattr(getattr(model, "original_model", model), "config", None)
    caches = getattr(config, "use_cache", None) is not None
    options: dict[str, Any] = {"use_cache": False} if caches else {}
    with torch.inference_mode():
        tokens = torch.tensor([token_ids], device=next(model.parameters()).device)
        output = model(tokens, **options)
        return getattr(output, "logits", output)
