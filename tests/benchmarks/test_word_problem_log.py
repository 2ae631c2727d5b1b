"""Word problems answered at an endpoint become a log that `saetask discover` reads."""

import json

import pytest

import saetask
from benchmarks.word_problem_log import main
from saetask.data import Prompt
from tests.helpers.chat_server import Said, chat_server

PROBLEMS = {f"Ann has {n} pens and finds {n}. How many pens has she?": 2 * n for n in range(1, 9)}


@pytest.fixture
def items(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    rows = [
        {"id": f"item-{i}", "question": question, "answer": answer, "group": question}
        for i, (question, answer) in enumerate(PROBLEMS.items())
    ]
    path = tmp_path / "items.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def ask(items, log, url, *more):
    return main([str(items), str(log), "--model", "tiny", "--base-url", url, *more])


def test_an_answer_is_scored_by_its_last_number_and_strictly_by_the_stated_one(items) -> None:
    log = items.with_name("log.jsonl")
    right = next(iter(PROBLEMS))

    def said(request):
        return "1 + 1 = 2" if right in request["messages"][-1]["content"] else "#### 99"

    with chat_server(said) as server:
        assert ask(items, log, server.url) == 0
    rows = {row["id"]: row for row in map(json.loads, log.read_text().splitlines())}
    assert (rows["item-0"]["correct"], rows["item-0"]["target"]) == (1, "2")
    assert [row["correct"] for row in rows.values()].count(1) == 1
    assert rows["item-1"]["output"] == "#### 99"
    read = list(saetask.read_log(str(log)))
    assert {item.id for item in read} == set(rows)
    for item in read:
        assert isinstance(item.prompt, Prompt)
        assert item.prompt.content == rows[item.id]["messages"][-1]["content"]


def test_a_smaller_sample_is_the_beginning_of_a_larger_one_and_asks_nothing_anew(items) -> None:
    log = items.with_name("log.jsonl")
    with chat_server(lambda request: "#### 4") as server:
        assert ask(items, log, server.url, "--limit", "6") == 0
        larger = log.read_text()
        assert ask(items, log, server.url, "--limit", "3") == 0
    assert len(server.requests) == 6
    assert larger.startswith(log.read_text())
    assert log.read_text().count("\n") == 3


def test_another_seed_draws_other_items(items) -> None:
    with chat_server(lambda request: "#### 4") as server:
        for seed in ("0", "1"):
            log = items.with_name(f"{seed}.jsonl")
            assert ask(items, log, server.url, "--limit", "4", "--seed", seed) == 0
    assert items.with_name("0.jsonl").read_text() != items.with_name("1.jsonl").read_text()


def test_items_without_an_answer_are_left_out_and_counted(items, capsys) -> None:
    log = items.with_name("log.jsonl")
    with chat_server(lambda request: Said("too long", 400)) as server:
        assert ask(items, log, server.url) == 0
    assert "0 of 8 items answered" in capsys.readouterr().out
    assert log.read_text() == ""
