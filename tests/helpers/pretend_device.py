"""A second device that computes, on machines that have none: the CPU under another name.

Its tensors say that they are on `meta`, hold their numbers on the CPU, and refuse what a GPU
refuses: to be mixed with tensors of the CPU, or taken for one of them.
"""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

PRETEND = torch.device("meta")
ANYWHERE = ("aten::_to_copy", "aten::to", "aten::copy_")
INDEXED = ("aten::index", "aten::index_put_", "aten::index_put", "aten::_index_put_impl_")
"""What takes indices of the CPU on every device."""
READ_OUT = ("aten::_local_scalar_dense", "aten::nonzero", "aten::equal")


class PretendTensor(torch.Tensor):
    """A tensor on the pretended device."""

    numbers: torch.Tensor

    @staticmethod
    def __new__(cls, numbers):
        tensor = torch.Tensor._make_wrapper_subclass(
            cls,
            numbers.shape,
            strides=numbers.stride(),
            storage_offset=numbers.storage_offset(),
            dtype=numbers.dtype,
            device=PRETEND,
        )
        tensor.numbers = numbers
        return tensor

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})

    def numpy(self, *_: Any, **__: Any):
        raise TypeError("a tensor of another device has no numpy(); use .cpu()")

    def tolist(self):
        return self.cpu().tolist()


class _Factories(TorchDispatchMode):
    """Makes new tensors there when they are asked for there."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        there = any(isinstance(leaf, PretendTensor) for leaf in tree_leaves((args, kwargs)))
        to_cpu = func._schema.name in ANYWHERE and _device(args, kwargs) == torch.device("cpu")
        if there and (func._schema.name in READ_OUT or to_cpu):
            self.waits.append(f"{func._schema.name} in {_caller()}")
        return _run(func, args, kwargs or {})


class _Literals(TorchFunctionMode):
    """Makes `torch.tensor(…, device=…)` in two steps; torch does not let see into one."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func is torch.tensor and torch.device(kwargs.get("device") or "cpu") == PRETEND:
            del kwargs["device"]
            return func(*args, **kwargs).to(PRETEND)
        return func(*args, **kwargs)


@contextmanager
def pretended() -> Iterator[_Factories]:
    """Lets tensors be put on the pretended device; yields a count of the waits for it."""
    # Tensors of a class of one's own have more to them than inference mode knows.
    with mock.patch("torch.inference_mode", torch.no_grad), _Literals(), _Factories() as mode:
        yield mode


def _device(args: Any, kwargs: Any) -> torch.device | None:
    """Returns the device that an operation is asked to put its result on."""
    found = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.device)]
    return found[0] if found else None


def _caller() -> str:
    """Returns the file that asked for an operation, torch's own left out."""
    frames = traceback.extract_stack()
    own = [f for f in frames if "/torch/" not in f.filename and f.filename != __file__]
    return f"{Path(own[-1].filename).name}:{own[-1].lineno}"


def _run(func, args, kwargs):
    name = func._schema.name
    leaves = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    there = [leaf for leaf in leaves if isinstance(leaf, PretendTensor)]
    here = [leaf for leaf in leaves if not isinstance(leaf, PretendTensor) and leaf.dim()]
    may = name in ANYWHERE or (name in INDEXED and isinstance(args[0], PretendTensor))
    if there and here and not may:
        raise RuntimeError(f"{name} mixes tensors of two devices")
    device = _device(args, kwargs)
    stays = device == PRETEND if device is not None else bool(there)
    if name == "aten::copy_":
        stays = isinstance(leaves[0], PretendTensor)
    given = tree_map_only(PretendTensor, lambda t: t.numbers, (args, kwargs))
    args, kwargs = tree_map_only(torch.device, lambda _: torch.device("cpu"), given)
    out = func(*args, **kwargs)
    return tree_map_only(torch.Tensor, PretendTensor, out) if stays else out
