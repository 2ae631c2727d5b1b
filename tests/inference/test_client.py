"""What was asked is kept, on whole lines, or in passing only."""

import pytest

from saetask.data.prompts import as_prompt
from saetask.inference.client import Ask, Asker

REPLIES = ({"a": [-1.5, -2.0]}, {"b": "said"}, {"c": [0.1]})


@pytest.fixture
def journal(tmp_path, tiny_model):
    """A journal of three lines."""
    asker = Asker(tiny_model, tmp_path / "answers.jsonl")
    for answers in REPLIES:
        asker.keep(answers)
    return tmp_path / "answers.jsonl"


def asks(n, start=0):
    return [Ask(as_prompt(f"Number {i}?"), (" yes", " no")) for i in range(start, start + n)]


def test_a_last_line_cut_short_is_taken_off_so_that_the_journal_ends_the_same(journal, tiny_model):
    whole = journal.read_bytes()
    start = whole.rindex(b"\n")
    for cut in range(start, len(whole)):
        journal.write_bytes(whole[:cut])
        asker = Asker(tiny_model, journal)
        assert asker.reply("b") == "said"
        asker.keep(REPLIES[-1])
        assert journal.read_bytes() == whole


def test_a_file_that_is_no_journal_is_left_as_it_is(tmp_path, tiny_model):
    path = tmp_path / "notes.txt"
    path.write_text("My notes\non two lines")
    Asker(tiny_model, path)
    assert path.read_text() == "My notes\non two lines"


def test_what_is_asked_in_passing_is_forgotten_and_what_was_known_before_is_not(tiny_model):
    asker, before, within = Asker(tiny_model), asks(2), asks(3, start=2)
    asker.ask(before, "before")
    with asker.in_passing():
        asker.ask([*before, *within], "within")
        assert len(asker.scores(within[-1])) == 2
    assert len(asker.scores(before[0])) == 2
    for ask in within:
        with pytest.raises(KeyError):
            asker.scores(ask)


def test_a_journal_keeps_what_is_asked_in_passing(journal, tiny_model):
    (ask,) = asks(1)
    asker = Asker(tiny_model, journal)
    with asker.in_passing():
        asker.ask([ask], "within")
    assert (asker.scores(ask) == Asker(tiny_model, journal).scores(ask)).all()
