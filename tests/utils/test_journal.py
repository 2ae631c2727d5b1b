"""What was kept is found again, whole or not at all."""

import json
import resource
import threading

import pytest

from saetask.utils.journal import Journal
from tests.helpers.refusals import refusal


def test_records_are_found_at_the_next_start(tmp_path) -> None:
    path = tmp_path / "work" / "journal.jsonl"
    journal = Journal(path)
    assert not path.exists()  # made by the first record
    journal.add("a", {"text": "sea"})
    journal.add("b", {"text": "Wörter ↵ \ud800"})
    journal.add_together({"c": [-1.5, 0.1], "d": "said"})
    for kept in (journal, Journal(path)):
        assert kept["a"] == {"text": "sea"}
        assert kept.get("b") == {"text": "Wörter ↵ \ud800"}
        assert (kept["c"], kept["d"]) == ([-1.5, 0.1], "said")
        assert kept.get("e") is None and "e" not in kept and len(kept) == 4
    assert [set(json.loads(line)) for line in path.read_text().splitlines()] == [
        {"a"},
        {"b"},
        {"c", "d"},
    ]


def test_a_torn_last_line_is_dropped_whole_and_written_over(tmp_path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.add("a", {"n": 1})
    first = path.stat().st_size
    journal.add_together({"b": {"n": 2}, "c": {"n": 3}})
    whole = path.read_bytes()
    for cut in range(first, len(whole)):
        path.write_bytes(whole[:cut])
        journal = Journal(path)
        assert "a" in journal and "b" not in journal and "c" not in journal
        assert path.stat().st_size == first
        journal.add_together({"b": {"n": 2}, "c": {"n": 3}})
        assert path.read_bytes() == whole


def test_each_record_is_on_disk_before_the_next_is_made(tmp_path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    for n in range(3):
        journal.add(str(n), {"n": n})
        assert path.read_bytes().count(b"\n") == n + 1


def test_several_threads_write_whole_lines(tmp_path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)

    def write(thread: int) -> None:
        for n in range(40):
            journal.add(f"{thread}-{n}", "sea" * (n + 1))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    again = Journal(path)
    assert len(again) == 240
    assert all(again[f"{t}-{n}"] == "sea" * (n + 1) for t in range(6) for n in range(40))


def test_a_record_without_room_is_refused_and_leaves_the_file_as_it_was(tmp_path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.add("a", {"n": 1})
    whole = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 30, hard))
    try:
        message = refusal(journal.add, "b", {"text": "sea" * 40})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert message.startswith(f"Cannot write {path}: ")
    assert path.read_bytes() == whole
    assert "b" not in journal
    journal.add("b", 2)  # once there is room
    assert Journal(path).get("b") == 2


@pytest.mark.parametrize("line", ["{broken", "[1]", "7"])
def test_a_damaged_line_within_is_told_by_number(tmp_path, line) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text(f'{{"a": 1}}\n{line}\n{{"b": 2}}\n')
    assert "line 2" in refusal(Journal, path)


@pytest.mark.parametrize("text", ["My notes\non two lines", "half a line", "[1]\n"])
def test_a_file_that_is_no_journal_is_refused_and_left_as_it_is(tmp_path, text) -> None:
    path = tmp_path / "notes.txt"
    path.write_text(text)
    assert "choose another file" in refusal(Journal, path)
    assert path.read_text() == text


def test_temporary_records_are_forgotten_unless_there_is_a_file(tmp_path) -> None:
    for path, n_kept in ((None, 1), (tmp_path / "journal.jsonl", 3)):
        journal = Journal(path)
        journal.add("a", 1)
        with journal.temporary():
            journal.add_together({"b": 2, "c": 3})
            assert len(journal) == 3
        assert "a" in journal and len(journal) == n_kept
