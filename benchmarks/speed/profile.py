"""Profiles `read_features`: seconds of its steps, and of what usually follows it."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from saetask import Prompt
from saetask.saes import extraction

from .subject import Subject
from .timing import rounded

STEPS = {"tokenise": "render", "forward": "read_hook", "encode": "encode_rows"}
"""Name of a step, and of the function of `saetask.saes.extraction` that does it."""


def profile_extraction(
    subject: Subject, prompts: Sequence[Prompt], folder: Path
) -> dict[str, float]:
    """Extracts features of prompts once and returns the seconds of each step, by name.

    `gather` is the rest of `read_features`: region means, and the concatenation of activations.
    `pool` and `write` follow it: pooling over a region, and writing the activations to a file.
    """
    from safetensors.numpy import save_file

    spent: dict[str, float] = dict.fromkeys([*STEPS, "gather", "pool", "write"], 0.0)
    with ExitStack() as patches:
        for step, name in STEPS.items():
            timed_function = _timed(getattr(extraction, name), spent, step)
            patches.enter_context(mock.patch.object(extraction, name, timed_function))
        with _added(spent, "gather"):
            activations = extraction.read_features(subject.model, subject.sae, prompts)
    spent["gather"] -= sum(spent[step] for step in STEPS)
    with _added(spent, "pool"):
        activations.pooled("text")
    with _added(spent, "write"):
        arrays = {name: getattr(activations, name) for name in ("indptr", "features", "values")}
        save_file(arrays, folder / "firings.safetensors")
    return {step: rounded(seconds) for step, seconds in spent.items()}


def _timed(function: Callable[..., Any], spent: dict[str, float], step: str) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        with _added(spent, step):
            return function(*arguments, **options)

    return call


@contextmanager
def _added(spent: dict[str, float], step: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    spent[step] += time.perf_counter() - start
