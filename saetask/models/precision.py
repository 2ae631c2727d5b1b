"""A model in float32 for a while, whatever type it was loaded in."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from saetask.models.loading import Model

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
