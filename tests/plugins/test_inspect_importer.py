"""The importer of inspect_ai's logs: prompts before the first answer, scores, epochs, refusals."""

import importlib.util
from types import SimpleNamespace

import pytest

from saetask.data import LogFields, read_log
from saetask.plugins import PluginRegistry
from saetask_plugins.importers import inspect_log
from tests.helpers.refusals import refusal


def message(role, text, source=None, content=None):
    return SimpleNamespace(role=role, text=text, content=content or text, source=source)


ASKED = [message("system", "Be brief."), message("user", "How many?", "input")]
ANSWER = message("assistant", "3", "generate")


def sample(name="a", epoch=1, messages=(*ASKED, ANSWER), scores=None, input="How many?", **more):
    scores = {"match": "C"} if scores is None else scores
    return SimpleNamespace(
        id=name,
        epoch=epoch,
        messages=list(messages),
        input=input,
        output=SimpleNamespace(completion=f"answer {epoch}"),
        scores={name: SimpleNamespace(value=value) for name, value in scores.items()},
        target="3",
        metadata={"subject": "giving"},
        **more,
    )


@pytest.fixture
def read(monkeypatch, tmp_path):
    """Reads samples as if inspect_ai had read them from a file."""
    log = tmp_path / "log.eval"
    log.write_bytes(b"PK")
    importers = PluginRegistry().by_name("importer")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)

    def read(*samples, **fields):
        monkeypatch.setattr(inspect_log, "_samples", lambda path: iter(samples))
        return list(read_log(log, "auto", LogFields(**fields), importers))

    return read


def test_the_prompt_is_what_stands_before_the_models_first_answer(read):
    example = message("assistant", "2", "input")
    (item,) = read(sample(messages=[*ASKED, example, *ASKED[1:], ANSWER, *ASKED[1:], ANSWER]))
    assert [m["role"] for m in item.prompt.messages] == ["system", "user", "assistant", "user"]
    (item,) = read(sample(messages=[]))
    assert item.prompt.messages == [{"role": "user", "content": "How many?"}]
    (item,) = read(sample(messages=[], input=ASKED))
    assert item.prompt.text == "Be brief.\nHow many?"


def test_a_picture_in_a_prompt_is_refused(read):
    picture = message("user", "What is it?", content=[SimpleNamespace(type="image")])
    assert "a message holds image; only texts are read" in refusal(
        read, sample(messages=[picture, ANSWER])
    )


@pytest.mark.parametrize(
    ("value", "score"), [("C", 1), ("I", 0), ("P", 0.5), ("N", 0), (0.25, 0.25), (True, 1)]
)
def test_the_values_of_scores_are_numbers(read, value, score):
    (item,) = read(sample(scores={"match": value}))
    assert item.correct == score


def test_epochs_are_one_item_with_the_mean_of_their_scores(read):
    first, second = read(
        sample("a", 1, scores={"match": "C"}),
        sample("a", 2, scores={"match": "I"}),
        sample("a", 3, scores={}),  # ended by an error
        sample("b", 1, scores={}),
        group_field="subject",
    )
    assert (first.output, first.samples) == ("answer 1", ("answer 2", "answer 3"))
    assert (first.correct, second.correct, second.samples) == (0.5, None, ())
    assert (first.group, first.target, first.metadata) == ("giving", "3", {})


def test_scorers_and_their_parts_are_listed_where_none_is_named(read):
    scores = {"match": "C", "grade": {"style": 0.5, "facts": 1}}
    message = refusal(read, sample(scores=scores))
    assert message.endswith(
        "sample a, epoch 1 has the scorers grade.facts, grade.style, match; name one with --metric."
    )
    (item,) = read(sample(scores=scores), metric="grade.style")
    assert item.correct == 0.5
    assert "no scorer 'style'" in refusal(read, sample(scores=scores), metric="style")
    message = refusal(read, sample(scores={"match": [1, 2]}))
    assert "sample a, epoch 1, scorer 'match': [1, 2] is no score" in message
    assert "metadata has no 'topic'" in refusal(read, sample(), group_field="topic")


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """Returns a function that makes a folder of logs, one for each task, model and its sample."""

    def make(*logs):
        for number, _ in enumerate(logs):
            (tmp_path / f"{number}.eval").write_bytes(b"PK")
        (tmp_path / "other.json").write_text("{}")
        by_name = {f"{number}.eval": log for number, log in enumerate(logs)}

        def header(path):
            task, model, _ = by_name[path.name]
            return SimpleNamespace(eval=SimpleNamespace(task=task, model=model))

        monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
        monkeypatch.setattr(inspect_log, "_header", header)
        monkeypatch.setattr(inspect_log, "_samples", lambda path: iter([by_name[path.name][2]]))
        return tmp_path

    return make


def read_folder(path):
    return list(read_log(path, "auto", LogFields(), PluginRegistry().by_name("importer")))


def test_the_tasks_of_a_folder_are_told_apart_in_ids(folder):
    first, second = read_folder(folder(("sums", "m", sample("a")), ("words", "m", sample("a"))))
    assert (first.id, second.id) == ("sums/a", "words/a")
    assert first.group != second.id and second.metadata == {"task": "words"}


def test_a_folder_of_one_log_is_that_log(folder):
    (item,) = read_folder(folder(("sums", "m", sample("a"))))
    assert item.id == "a"


@pytest.mark.parametrize(
    ("logs", "said"),
    [
        ([("sums", "m", sample()), ("sums", "m", sample())], "several evaluations of the task"),
        ([("sums", "m", sample()), ("words", "n", sample())], "logs of the models m, n; name one"),
    ],
)
def test_a_folder_of_several_evaluations_or_models_is_refused(folder, logs, said):
    assert said in refusal(read_folder, folder(*logs))


def test_without_inspect_ai_the_command_that_installs_it_is_told(read, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    message = refusal(read, sample())
    assert message.endswith('which is not installed: pip install "inspect_ai>=0.3.242"')
