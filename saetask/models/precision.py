"""Floating-point types of models: by name, by processor, and float32 for a while."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, get_args

from saetask.errors import UserError

if TYPE_CHECKING:
    import torch

    from saetask.models.loading import Model

Dtype = Literal["auto", "float32", "bfloat16"]
"""Floating-point type that a model is loaded in; `auto` is that of `fast_dtype`."""


def fast_dtype(device: str) -> "torch.dtype":
    """Returns the floating-point type that models are loaded in by default.

    `SAETASK_DTYPE` (`float32` or `bfloat16`) says which; else bfloat16 where the device multiplies
    it in hardware, and float32 elsewhere.

    Raises:
        UserError: `SAETASK_DTYPE` is something else.
    """
    import torch

    wanted = os.environ.get("SAETASK_DTYPE")
    if wanted:
        if wanted not in ("float32", "bfloat16"):
            raise UserError(f"SAETASK_DTYPE is '{wanted}'; it must be float32 or bfloat16.")
        return getattr(torch, wanted)
    if device.startswith("cuda"):
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device == "cpu":
        fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    else:
        fast = False
    return torch.bfloat16 if fast else torch.float32


def named_dtype(dtype: "str | torch.dtype | None") -> "torch.dtype | None":
    """Returns the type of a name; None for the default.

    Raises:
        UserError: There is no such type to load models in.
    """
    import torch

    if dtype is None or isinstance(dtype, torch.dtype):
        return dtype
    if dtype not in get_args(Dtype):
        raise UserError(f"dtype is {dtype!r}; it must be {', '.join(get_args(Dtype))}.")
    return None if dtype == "auto" else getattr(torch, dtype)


def model_dtype(model: "Model") -> str:
    """Returns the name of the floating-point type of a model's first parameter."""
    return dtype_name(next(model.parameters()).dtype)


def dtype_name(dtype: "torch.dtype") -> str:
    """Returns the name of a type, such as `float32`."""
    return str(dtype).removeprefix("torch.")


MOST_PARAMETERS = 2 * 10**9
"""A larger model is not converted: in float32, its parameters take more than 8 GB."""


def fits_in_float32(model: "Model") -> bool:
    """Returns whether a model is in float32, or small enough to be converted for a while."""
    import torch

    if all(parameter.dtype == torch.float32 for parameter in model.parameters()):
        return True
    return sum(parameter.numel() for parameter in model.parameters()) <= MOST_PARAMETERS


@contextmanager
def in_float32(model: "Model") -> Iterator["Model"]:
    """Converts a model's weights to float32 within the context, in place.

    Of half-precision weights, float32 holds every value, so that they come back exactly. One
    tensor at a time is in memory twice. Not while another thread uses the model.
    """
    import torch

    halves = (torch.bfloat16, torch.float16)
    tensors = [*model.parameters(), *model.buffers()]
    changed = [(each, each.dtype) for each in tensors if each.dtype in halves]
    config: Any = model.cfg
    configured = config.dtype
    try:
        for each, _ in changed:
            each.data = each.data.float()
        if configured in halves:
            config.dtype = torch.float32
        yield model
    finally:
        for each, dtype in changed:
            each.data = each.data.to(dtype)
        config.dtype = configured
