"""Growth: time over 16 times as many tokens, items and features, and the memory that takes.

Tokens: `harvest`, texts in and shards out. Items: `Session.detect` for each, as `saetask detect
--file` does. Features: `encode`, with SAEs of two sizes. Memory: see `memory.py`.
"""

from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, NamedTuple

from saetask_plugins.tasks.metaphor import Metaphor

from .harvest import harvest_config
from .memory import peaks_in_a_process
from .subject import Setting
from .texts import write_corpus
from .timing import Asked, Timings, interleaved, rounded, slope

TIMES = 16
LINEAR = (0.9, 1.1)
FLAT = 1.1
"""A peak of no more than this times another counts as the same."""
CONTEXT_SIZE = 32
"""Short, so that a shard of 16 rows holds few tokens."""
K = 32

Work = Callable[[int], int]
"""Does about as much as it is told to, and returns how much that was."""


class Growth(NamedTuple):
    """An amount of work and 16 times as much, by turns."""

    timings: Timings
    sizes: dict[str, int]
    """What was done, by way."""

    @property
    def slope(self) -> float:
        """Of time over size, both as logarithms."""
        seconds = [size * self.timings.median(way) for way, size in self.sizes.items()]
        return slope(list(self.sizes.values()), seconds)


def measure(setting: Setting) -> dict[str, Any]:
    """Measures growth and returns this benchmark's part of the document."""
    amounts = setting.amounts
    grown = {
        "tokens": grow(_harvesting(setting), amounts.growth_tokens, setting.rounds, "token"),
        "items": grow(_detecting(setting), amounts.growth_items, setting.rounds, "item"),
        "features": grow(_encoding(setting), amounts.growth_features, setting.rounds, "feature"),
    }
    sizes = {"tokens": amounts.memory_tokens, "items": amounts.growth_items}
    peaks = {what: peaks_in_a_process(what, [n, TIMES * n]) for what, n in sizes.items()}
    asked = [Asked(f"slope of time over {what}", g.slope, *LINEAR) for what, g in grown.items()]
    asked += [
        Asked(f"peak memory of {TIMES} times the {what}", high / low, highest=FLAT)
        for what, (low, high) in peaks.items()
    ]
    return {
        "asked": [figure.document() for figure in asked],
        "peak_mib": {what: [rounded(peak) for peak in found] for what, found in peaks.items()},
        "sizes": {what: list(found.sizes.values()) for what, found in grown.items()},
        "timings": {what: found.timings.document() for what, found in grown.items()},
    }


def grow(work: Work, size: int, rounds: int, unit: str) -> Growth:
    """Times an amount of work and 16 times as much."""
    sizes: dict[str, int] = {}

    def way(name: str, amount: int) -> Callable[[int], int]:
        def do(_: int) -> int:
            sizes[name] = work(amount)
            return sizes[name]

        return do

    ways = {name: way(name, n) for name, n in (("once", size), (f"{TIMES} times", TIMES * size))}
    return Growth(interleaved(ways, rounds, unit), sizes)


def _harvesting(setting: Setting) -> Work:
    from saetask.training.harvest import harvest

    folder = setting.folder
    corpus = write_corpus(folder, CONTEXT_SIZE)

    def work(tokens: int) -> int:
        config = harvest_config(setting.subject, corpus, tokens)
        return len(harvest(setting.subject.model, config, Path(mkdtemp(dir=folder)), folder))

    return work


def _detecting(setting: Setting) -> Work:
    from saetask import Session
    from saetask.session import SessionConfig

    subject = setting.subject
    session = Session(subject.model, subject.sae, config=SessionConfig(allow_sae_mismatch=True))
    by_length = sorted((i.question for i in Metaphor().items()), key=lambda q: len(q["sentence"]))
    most = TIMES * setting.amounts.growth_items
    start = (len(by_length) - most) // 2
    # Of about one length, so that more of them are not longer ones.
    questions = by_length[start : start + most]
    session.detect(questions[0]["sentence"], questions[0]["target"])  # loads the fit

    def work(items: int) -> int:
        for question in questions[:items]:
            session.detect(question["sentence"], question["target"])
        return items

    return work


def _encoding(setting: Setting) -> Work:
    import torch
    from sae_lens import SAE, TopKSAE, TopKSAEConfig

    from saetask.saes.encoding import encode

    d_in, n_tokens = setting.subject.sae.cfg.d_in, setting.amounts.encoded_tokens
    inputs = torch.randn(n_tokens, d_in, generator=torch.Generator().manual_seed(0))
    kept = torch.ones(n_tokens, dtype=torch.bool)
    smaller = setting.amounts.growth_features
    saes: dict[int, SAE[Any]] = {
        n: TopKSAE(TopKSAEConfig(d_in, n, k=K)).eval() for n in (smaller, TIMES * smaller)
    }

    def work(features: int) -> int:
        with torch.inference_mode():
            encode(saes[features], inputs, kept)
        return features

    return work
