"""Timing by turns: every way of doing a piece of work once a round, so all see the same machine."""

import gc
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

Way = Callable[[int], int]
"""Gets the number of the round (0 is the warm-up) and returns how many units it did."""


@dataclass(frozen=True)
class Timings:
    """Seconds that each way took for a unit of work, one entry a round."""

    unit: str
    """What is counted, such as `token`."""
    seconds: Mapping[str, Sequence[float]]
    """By way."""

    def median(self, way: str) -> float:
        """Returns a way's median over the rounds."""
        return statistics.median(self.seconds[way])

    def times_as_fast(self, way: str, other: str) -> float:
        """Returns how many times as fast a way is as another: the median of the rounds' ratios.

        The two stand side by side in each round, so what slows the whole machine cancels out.
        """
        pairs = zip(self.seconds[way], self.seconds[other], strict=True)
        return statistics.median(slow / fast for fast, slow in pairs)

    def document(self) -> dict[str, Any]:
        """Returns the unit, and of each way the median and the rounds behind it."""
        ways = {
            way: {"median": rounded(self.median(way)), "rounds": [rounded(s) for s in seconds]}
            for way, seconds in self.seconds.items()
        }
        return {"unit": self.unit, "seconds": ways}


def interleaved(
    ways: Mapping[str, Way],
    rounds: int,
    unit: str,
    clock: Callable[[], float] = time.perf_counter,
) -> Timings:
    """Times ways of doing the same work, all of them in every round, after a warm-up round.

    Args:
        ways: By name, in the order in which they are run.
        rounds: How often each is timed.
        unit: What the ways count.
        clock: Gives seconds.

    Raises:
        ValueError: There is no round, or a way did nothing.
    """
    if rounds < 1:
        raise ValueError(f"{rounds} rounds; at least one is needed.")
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            gc.collect()  # garbage of one way is not the next one's to clear away
            start = clock()
            units = way(number)
            passed = clock() - start
            if units < 1:
                raise ValueError(f"'{name}' did no {unit}.")
            if number:
                seconds[name].append(passed / units)
    return Timings(unit, seconds)


class Asked(NamedTuple):
    """A figure, and the bounds it is asked to keep within."""

    name: str
    ratio: float
    lowest: float | None = None
    highest: float | None = None

    @property
    def met(self) -> bool:
        """Whether the figure is a number within its bounds."""
        low = -math.inf if self.lowest is None else self.lowest
        high = math.inf if self.highest is None else self.highest
        return low <= self.ratio <= high

    def document(self) -> dict[str, Any]:
        """Returns the figure, what was asked in words, and whether that is met."""
        if self.lowest is not None and self.highest is not None:
            asked = f"{self.lowest:g} to {self.highest:g}"
        elif self.lowest is not None:
            asked = f"at least {self.lowest:g}"
        else:
            asked = f"at most {self.highest:g}"
        return {"name": self.name, "ratio": rounded(self.ratio), "asked": asked, "met": self.met}


def entry(timings: Timings, asked: Sequence[Asked], **more: Any) -> dict[str, Any]:
    """Returns a benchmark's part of the document.

    Args:
        timings: Those of `saetask`, and of `limit` and `today` where they were measured.
        asked: Its figures.
        more: What else there is to report.
    """
    rates = {f"{timings.unit}s_per_s": rounded(1 / timings.median("saetask"))}
    for other in ("limit", "today"):
        if other in timings.seconds:
            rates[f"ratio_to_{other}"] = rounded(timings.times_as_fast("saetask", other))
    return {
        **rates,
        "asked": [figure.document() for figure in asked],
        **more,
        "timings": timings.document(),
    }


def slope(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """Returns the slope of time over size on a double logarithmic scale: 1 is linear growth."""
    import numpy as np

    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def rounded(value: float) -> float:
    """Returns a number with four significant digits: timings are no surer than that."""
    return float(f"{value:.4g}")
