"""Reading a log: what an importer yields is checked, and every fault is one line with its place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saetask.data import EvaluatedItem, LogFields, Prompt, as_prompt, read_log
from tests.helpers.refusals import refusal


class Planted:
    """An importer that yields given items."""

    name = "planted"
    fields = ("metric",)

    def __init__(self, items, ending=".log"):
        self.items, self.ending = items, ending

    def recognises(self, log):
        return log.endswith(self.ending)

    def read(self, log, fields):
        yield from self.items


def item(name="a", prompt="How many?", score=1, group=None, **more):
    return EvaluatedItem(name, prompt, "3", score, name if group is None else group, **more)


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "some.log"
    path.write_text("")
    return path


def read(log, *items, format="auto", **fields):
    return list(read_log(log, format, LogFields(**fields), {"planted": Planted(items)}))


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ([], "holds no items"),
        ([item("a"), item("b"), item("a")], "item 3: id 'a' occurs twice"),
        ([item("a"), item("a", place="x.jsonl:9")], "x.jsonl:9: id 'a' occurs twice"),
        ([item("")], "item 1: the id is empty"),
        ([item(prompt=" \n")], "item 1: the prompt is empty"),
        ([item(prompt=as_prompt("\t"))], "item 1: the prompt is empty"),
        ([item(prompt=Prompt([]))], "item 1: the prompt has no messages"),
        ([item(prompt=None)], "item 1: the prompt is None"),
        ([item(score=37.5)], "item 1: the score is 37.5"),
        ([item(score=float("nan"))], "item 1: the score is nan"),
    ],
)
def test_a_fault_is_one_line_with_its_place(log, items, said):
    message = refusal(read, log, *items)
    assert said in message and (str(log) in message or "x.jsonl" in message)


@pytest.mark.parametrize("score", [0, 1])
def test_logs_that_are_all_right_or_all_wrong_or_unscored_are_read(log, score):
    assert [i.correct for i in read(log, item("a", score=score), item("b", score=score))] == [
        score
    ] * 2
    assert [i.correct for i in read(log, item("a", score=None))] == [None]


def test_a_log_is_read_item_by_item(log):
    def endless():
        n = 0
        while True:
            n += 1
            yield item(str(n))

    items = read_log(log, "auto", LogFields(), {"planted": Planted(endless())})
    assert [next(items).id for _ in range(3)] == ["1", "2", "3"]


@given(st.lists(st.tuples(st.sampled_from("pqr"), st.sampled_from([None, "g", "h"])), min_size=1))
def test_items_with_the_same_prompt_share_a_group_where_the_log_has_none(tmp_path_factory, drawn):
    log = tmp_path_factory.getbasetemp() / "some.log"
    log.touch()
    items = [item(f"{i}", prompt, group=group) for i, (prompt, group) in enumerate(drawn)]
    for a, given_a in zip(read(log, *items), items):
        if given_a.group != given_a.id:
            assert a.group == given_a.group
            continue
        same = [i for i in items if i.prompt == a.prompt and i.group == i.id]
        assert a.group == same[0].id


def test_a_chat_and_a_text_of_the_same_words_are_two_prompts(log):
    a, b = read(log, item("a", "x"), item("b", as_prompt("x")))
    assert (a.group, b.group) == ("a", "b")


def test_the_first_importer_that_recognises_a_log_reads_it(log):
    importers = {
        "no": Planted([item("no")], ending=".other"),
        "first": Planted([item("first")]),
        "second": Planted([item("second")]),
    }
    (found,) = read_log(log, "auto", LogFields(), importers)
    assert found.id == "first"
    (found,) = read_log(log, "second", LogFields(), importers)
    assert found.id == "second"


def test_what_can_not_be_read_is_refused_before_it_is_opened(log):
    assert refusal(read, log, format="plantd").endswith("Did you mean 'planted'?")
    assert "name one with --format: planted" in refusal(read, log.rename(log.with_suffix(".txt")))
    assert refusal(read, "no/such.eval").endswith("no/such.eval does not exist.")
    message = refusal(read, "no/such")
    assert message.endswith("not exist. A data set on the hub is read with --format datasets.")
    assert read("no/such", item(), format="planted")


def test_a_field_that_the_format_does_not_take_is_refused(log):
    assert read(log, item(), metric="acc")
    message = refusal(read, log, item(), prompt_field="q")
    assert message == "--prompt-field is not for logs of format planted; they take: --metric."


def test_every_field_has_a_flag_with_help():
    from saetask.cli.parser import CommandParser, take

    parser = CommandParser(prog="saetask discover")
    parser.add_fields(LogFields)
    flags = ["--prompt-field", "q", "--as-chat", "--metric", "acc"]
    assert take(parser.parse_args(flags), LogFields) == LogFields(
        prompt_field="q", as_chat=True, metric="acc"
    )
    assert "Column of the prompt" in parser.format_help()
