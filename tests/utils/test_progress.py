"""Progress: what is done and left of a job is counted right, and printed where it is asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saetask.utils import progress
from saetask.utils.progress import Job, PlannedStage, counted, duration, job, stage


@pytest.fixture
def clock(monkeypatch):
    """Returns a list whose only entry is the time in seconds."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_time_left_follows_the_pace_of_what_is_done(clock) -> None:
    current = Job([PlannedStage("read", 100, 0.5), PlannedStage("ask", 50)], 0.0)
    read = current.begin("read", 100, "prompt")
    assert current.seconds_left() is None
    read.done, clock[0] = 100, 20.0
    current.end(read)
    assert current.seconds_left() == pytest.approx(20.0)  # both stages cost 50
    current.begin("ask", 25, "prompt")  # fewer than expected
    assert current.seconds_left() == pytest.approx(10.0)


def test_a_stage_that_is_passed_over_is_not_left_to_do() -> None:
    current = Job(
        [PlannedStage("read", 10), PlannedStage("ask", 10), PlannedStage("write", 10)], 0.0
    )
    write = current.begin("write", 10, "prompt")
    assert current.cost() == 10
    assert current.place(write) == "3/3"


def test_an_unplanned_stage_is_counted_once_it_begins() -> None:
    current = Job([PlannedStage("read", 10), PlannedStage("write", 10)], 0.0)
    current.end(current.begin("read", 10, "prompt"))
    extra = current.begin("notes", 5, "prompt")
    assert current.place(extra) == "2/3"
    assert current.cost() == 15  # nothing was read


def test_stages_of_one_name_are_taken_in_turn() -> None:
    current = Job([PlannedStage("arms", 10), PlannedStage("arms", 20)], 0.0)
    current.end(current.begin("arms", 10, "prompt"))
    assert current.place(current.begin("arms", 20, "prompt")) == "2/2"


def test_without_a_terminal_each_stage_of_a_job_is_one_line(capsys, clock) -> None:
    with job([PlannedStage("read", 4), PlannedStage("ask", 4)]):
        with stage("read", 4) as advance:
            clock[0] += 8
            advance(4)
        with stage("nothing to do", 0) as advance:
            pass
        with stage("ask", 4) as advance:
            clock[0] += 2 * progress.SECONDS_BETWEEN_LINES
            advance(1)
            advance(3)
    assert capsys.readouterr().err.splitlines() == [
        "saetask: [1/2] read: 4 prompts; about 8 s left in all",
        "saetask: [2/2] ask: 1 of 4 prompts; about 41 s left in all",
        "saetask: [2/2] ask: 4 prompts; about 0 s left in all",
    ]


def test_a_quick_stage_by_itself_prints_nothing_and_a_long_one_a_line(capsys, clock) -> None:
    for seconds in (0.1, 70.0):
        with stage("read prompts", 3) as advance:
            clock[0] += seconds
            advance(3)
    assert capsys.readouterr().err == "saetask: read prompts: 3 prompts in 1 min 10 s\n"


def test_a_long_stage_by_itself_says_in_between_how_far_it_is(capsys, clock) -> None:
    with stage("train", 4, "step") as advance:
        for seconds in (40.0, 10.0, 40.0):
            clock[0] += seconds
            advance(1)
    assert capsys.readouterr().err.splitlines() == [
        "saetask: train: 1 of 4 steps; about 2 min left in all",
        "saetask: train: 3 of 4 steps; about 30 s left in all",
        "saetask: train: 4 steps in 1 min 30 s",
    ]


def test_each_item_that_is_taken_is_a_unit(capsys, clock) -> None:
    for _ in counted("abc", 3, "label", "feature"):
        clock[0] += 20
    assert capsys.readouterr().err.splitlines() == [
        "saetask: label: 2 of 3 features; about 20 s left in all",
        "saetask: label: 3 features in 1 min",
    ]


@pytest.mark.parametrize("quiet", [False, True])
def test_on_a_terminal_there_is_a_bar_unless_quiet(capsys, monkeypatch, quiet) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TQDM_DISABLE", "1" if quiet else "")
    with stage("train", 4, "step") as advance:
        advance(4)
    assert ("train" in capsys.readouterr().err) != quiet


@pytest.mark.parametrize("terminal", [True, False])
def test_what_begins_is_announced_on_a_terminal_alone(capsys, monkeypatch, terminal) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    progress.announce("loading the model …")
    assert capsys.readouterr().err == "saetask: loading the model …\n" * terminal


def test_quiet_prints_nothing(capsys, clock, monkeypatch) -> None:
    monkeypatch.setenv("TQDM_DISABLE", "1")
    with job([PlannedStage("read", 4)]), stage("read", 4) as advance:
        clock[0] += 100
        advance(4)
    assert capsys.readouterr().err == ""


@given(st.floats(0, 1e6))
def test_a_duration_is_rounded_to_a_twelfth_at_most(seconds) -> None:
    words = duration(seconds).split()
    units = {"s": 1, "min": 60, "h": 3600}
    told = sum(int(n) * units[unit] for n, unit in zip(words[::2], words[1::2]))
    assert abs(told - seconds) <= max(0.5, seconds / 12)
