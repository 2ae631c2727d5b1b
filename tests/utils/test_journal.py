"""What was kept is found again; work done out of order comes in order."""

import resource
import threading
import time

import pytest

from saetask.utils.journal import Journal
from saetask.utils.parallel import AHEAD, map_ordered
from tests.helpers.refusals import refusal


def test_records_are_found_at_the_next_start(tmp_path) -> None:
    path = tmp_path / "work" / "journal.jsonl"
    with Journal(path) as journal:
        journal.add("a", {"text": "sea"})
        journal.add("b", {"text": "Wörter ↵"})
        assert journal.get("a") == {"text": "sea"}
    with Journal(path) as journal:
        assert journal.get("b") == {"key": "b", "text": "Wörter ↵"}
        assert journal.get("c") is None


def test_a_torn_last_line_is_dropped_and_written_over(tmp_path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        journal.add("a", {"n": 1})
        journal.add("b", {"n": 2})
    whole = path.read_bytes()
    path.write_bytes(whole[:-4])
    with Journal(path) as journal:
        assert journal.get("a") and journal.get("b") is None
        journal.add("b", {"n": 2})
    assert path.read_bytes() == whole


def test_each_record_is_on_disk_before_the_next_is_made(tmp_path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        for n in range(3):
            journal.add(str(n), {"n": n})
            assert path.read_bytes().count(b"\n") == n + 1


def test_a_record_without_room_is_refused_and_dropped_at_the_next_start(tmp_path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        journal.add("a", {"n": 1})
    whole = path.read_bytes()

    def add() -> None:
        with Journal(path) as journal:
            journal.add("b", {"text": "sea" * 40})

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 30, hard))
    try:
        message = refusal(add)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert message.startswith(f"Cannot write {path}: ")
    assert len(path.read_bytes()) == len(whole) + 30
    with Journal(path) as journal:
        assert journal.get("a") and journal.get("b") is None
    assert path.read_bytes() == whole


@pytest.mark.parametrize("line", ["{broken", "[1]", '{"text": "no key"}'])
def test_a_damaged_line_within_is_told_by_number(tmp_path, line) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text(f'{{"key": "a"}}\n{line}\n{{"key": "b"}}\n')
    assert "line 2" in refusal(Journal, path)


@pytest.mark.parametrize("workers", [1, 3, 8])
def test_results_come_in_order_whatever_finishes_first(workers) -> None:
    def slow_first(n: int) -> int:
        time.sleep(0.02 if n % 4 == 0 else 0)
        return n * n

    assert list(map_ordered(slow_first, range(30), workers)) == [n * n for n in range(30)]


def test_several_are_under_way_at_once_and_few_are_taken_ahead() -> None:
    together = threading.Barrier(3, timeout=5)
    taken = []

    def items():
        for n in range(60):
            taken.append(n)
            yield n

    def meet(n: int) -> int:
        if n < 3:
            together.wait()
        return n

    results = map_ordered(meet, items(), 3)
    for done in range(60):
        assert next(results) == done
        assert len(taken) <= done + AHEAD * 3


def test_an_error_comes_in_its_turn_and_ends_the_rest() -> None:
    begun = []

    def fails_at_three(n: int) -> int:
        begun.append(n)
        if n == 3:
            raise KeyError(n)
        return n

    found = []
    with pytest.raises(KeyError):
        for result in map_ordered(fails_at_three, range(100), 2):
            found.append(result)
    assert found == [0, 1, 2]
    assert len(begun) <= 3 + AHEAD * 2
