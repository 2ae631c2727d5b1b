"""Progress on stderr: a bar for a stage of work, or one bar over all the stages of a job.

Where stderr is no terminal, a line for each stage takes the place of the bar.
"""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

SECONDS_BETWEEN_LINES = 30
"""Without a terminal, a stage that takes longer prints a line in between."""
SHORTEST_STAGE = 2
"""Without a terminal, a stage outside a job prints no line if it takes fewer seconds."""
Advance = Callable[[int], object]
"""Adds to the number of units that are done."""


@dataclass
class PlannedStage:
    """A stage of a job that is still to come, and how long it is expected to take."""

    title: str
    units: int
    """Expected number of units; corrected once the stage begins."""
    cost: float = 1.0
    """Time of a unit, relative to the job's other stages."""
    done: int = 0
    unit: str = "prompt"
    ended: bool = False


@dataclass
class Job:
    """Stages of a job, in the order in which they begin, with the time that is left."""

    stages: list[PlannedStage]
    started: float
    """On the clock `time.monotonic`."""

    def begin(self, title: str, units: int, unit: str) -> PlannedStage:
        """Marks a stage as begun, and those planned before it as ended; adds an unplanned one."""
        place = next((i for i, s in enumerate(self.stages) if s.title == title and not s.ended), -1)
        if place < 0:
            place = sum(stage.ended for stage in self.stages)
            self.stages.insert(place, PlannedStage(title, units))
        for skipped in self.stages[:place]:
            self.end(skipped)
        stage = self.stages[place]
        stage.units, stage.unit = units, unit
        return stage

    def end(self, stage: PlannedStage) -> None:
        """Marks a stage as ended: what it did not do is not left to do."""
        stage.units, stage.ended = stage.done, True

    def cost(self) -> float:
        """Returns the expected cost of all stages."""
        return sum(stage.units * stage.cost for stage in self.stages)

    def cost_done(self) -> float:
        """Returns the cost of what is done."""
        return sum(stage.done * stage.cost for stage in self.stages)

    def seconds_left(self) -> float | None:
        """Returns the expected time until the end of the job; None before anything is done."""
        done = self.cost_done()
        return (time.monotonic() - self.started) * (self.cost() - done) / done if done else None

    def place(self, stage: PlannedStage) -> str:
        """Returns the stage's place among all, as `2/7`."""
        return f"{self.stages.index(stage) + 1}/{len(self.stages)}"

    def line(self, stage: PlannedStage) -> str:
        """Returns a line on a stage: how much of it is done, and the time left of the job."""
        left = self.seconds_left()
        rest = "" if left is None else f"; about {duration(left)} left in all"
        counted = _counted(stage.done, stage.units, stage.unit)
        place = f"[{self.place(stage)}] " if len(self.stages) > 1 else ""
        return f"saetask: {place}{stage.title}: {counted}{rest}"


_JOB: ContextVar[Job | None] = ContextVar("saetask_job", default=None)
_BAR: ContextVar[Any] = ContextVar("saetask_bar", default=None)


@contextmanager
def job(stages: Sequence[PlannedStage]) -> Iterator[None]:
    """Shows the stages that begin within the context as one job.

    Args:
        stages: The stages expected, in their order; others may begin, and some may not.
    """
    current = Job(list(stages), time.monotonic())
    job_token, bar_token = _JOB.set(current), None
    if sys.stderr.isatty():
        from tqdm import tqdm

        layout = "{desc} |{bar:24}| {percentage:3.0f} % {postfix}"
        bar_token = _BAR.set(tqdm(total=current.cost(), bar_format=layout, leave=False))
    try:
        yield
    finally:
        _JOB.reset(job_token)
        if bar_token:
            _BAR.get().close()
            _BAR.reset(bar_token)


@contextmanager
def stage(title: str, units: int, unit: str = "prompt") -> Iterator[Advance]:
    """Shows the progress of a stage of work; within `job`, as a part of it.

    Args:
        title: What is done.
        units: Number of units; nothing is shown of a single one.
        unit: Name of a unit.

    Yields:
        A function that is called with the number of further units that are done.
    """
    current = _JOB.get()
    if units < 2:
        yield lambda n: None
    elif current is not None:
        with _stage_of(current, current.begin(title, units, unit)) as advance:
            yield advance
    else:
        with _stage_alone(title, units, unit) as advance:
            yield advance


Item = TypeVar("Item")


def counted(items: Iterable[Item], units: int, title: str, unit: str = "prompt") -> Iterator[Item]:
    """Yields items, as a stage of work in which each of them is a unit; see `stage`."""
    with stage(title, units, unit) as advance:
        for item in items:
            yield item
            advance(1)


@contextmanager
def _stage_of(current: Job, stage: PlannedStage) -> Iterator[Advance]:
    bar, printed = _BAR.get(), time.monotonic()

    def show() -> None:
        left = current.seconds_left()
        place = f"{current.place(stage)} {stage.title} {stage.done}/{stage.units}"
        bar.total, bar.n = current.cost(), current.cost_done()
        bar.set_description_str(place, refresh=False)
        bar.set_postfix_str("" if left is None else f"{duration(left)} left")

    def advance(n: int) -> None:
        nonlocal printed
        stage.done += n
        if bar is not None:
            show()
        elif time.monotonic() - printed > SECONDS_BETWEEN_LINES:
            printed = time.monotonic()
            _print(current.line(stage))

    yield advance
    current.end(stage)
    if bar is None:
        _print(current.line(stage))


@contextmanager
def _stage_alone(title: str, units: int, unit: str) -> Iterator[Advance]:
    from tqdm import tqdm

    current = PlannedStage(title, units, unit=unit)
    alone = Job([current], started := time.monotonic())
    printed = started
    disable = True if _is_quiet() else None  # None: where there is no terminal
    with tqdm(total=units, unit=unit, desc=title, disable=disable) as bar:

        def advance(n: int) -> None:
            nonlocal printed
            bar.update(n)
            current.done += n
            due = time.monotonic() - printed > SECONDS_BETWEEN_LINES and current.done < units
            if due and not sys.stderr.isatty():
                printed = time.monotonic()
                _print(alone.line(current))

        yield advance
    seconds = time.monotonic() - started
    if not sys.stderr.isatty() and seconds > SHORTEST_STAGE:
        _print(f"saetask: {title}: {_counted(units, units, unit)} in {duration(seconds)}")


def announce(text: str) -> None:
    """Prints a line about what begins where stderr is a terminal, unless progress is turned off."""
    if sys.stderr.isatty():
        _print(f"saetask: {text}")


def duration(seconds: float) -> str:
    """Returns a duration in words, rounded: `8 s`, `2 min 10 s`, `1 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(round(whole, -1), 60)
    if minutes < 60:
        return f"{minutes} min" + (f" {rest} s" if rest else "")
    return f"{minutes // 60} h {minutes % 60} min"


def _counted(done: int, units: int, unit: str) -> str:
    plural = "" if units == 1 else "s"
    return f"{done} of {units} {unit}{plural}" if done < units else f"{units} {unit}{plural}"


def _is_quiet() -> bool:
    return bool(os.environ.get("TQDM_DISABLE"))


def _print(line: str) -> None:
    if not _is_quiet():
        print(line, file=sys.stderr, flush=True)
