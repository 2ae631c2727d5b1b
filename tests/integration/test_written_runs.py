"""Runs whose notes come from an endpoint: what fails is counted, told, and asked for again."""

import contextlib
import functools
import io
import json
import shutil
from pathlib import Path

import pytest

import saetask
from saetask.cli.main import main
from saetask.experiments.arm_prompts import SELF_REQUEST
from saetask.inference import Endpoint
from saetask_plugins.annotators import llm
from tests.helpers.chat_server import Said, chat_server
from tests.helpers.probe_choices import use_settings

EXAMPLE = Path(__file__).parents[1] / "example_plugin" / "saetask_coin_words.py"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "secret")


@pytest.fixture(scope="module")
def loaded_once():
    """Runs share the model that they load."""
    with pytest.MonkeyPatch.context() as patch:
        load = functools.cache(saetask.load_model)
        patch.setattr("saetask.experiments.run_inputs.load_model", load)
        patch.setattr(llm, "Endpoint", functools.partial(Endpoint, retries=0))
        use_settings(patch, note_samples=8)
        yield


@pytest.fixture(scope="module")
def broken():
    """Words whose notes the endpoint fails to write."""
    return {"bill", "mint"}


@pytest.fixture(scope="module")
def server(broken):
    def answer(request):
        text = request["messages"][-1]["content"]
        return Said("no", 500) if any(f'"{w}"' in text for w in broken) else "This is the note."

    with chat_server(answer) as server:
        yield server


@pytest.fixture(scope="module")
def command(loaded_once, server, tiny_model_folder, tiny_sae_folder):
    """Returns the arguments of a run into a folder."""
    pair = ["--model", str(tiny_model_folder), "--sae", str(tiny_sae_folder)]
    options = [f"--annotator-option={o}" for o in ("model=tiny", f"base_url={server.url}")]
    flags = ["--plugin", str(EXAMPLE), "--annotators", "llm", *options, "--folds", "2"]
    arms = ["--arms", "original,saetask,oracle"]
    return lambda out: ["run", "coin-words", *flags, *arms, *pair, "--out", str(out)]


@pytest.fixture(scope="module")
def failing(command, server, tmp_path_factory, few_choices):
    """A run some of whose notes failed, and what it printed."""
    folder, printed = tmp_path_factory.mktemp("runs") / "failing", io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setenv("OPENAI_API_KEY", "secret")
        assert main(command(folder)) == 0
    return folder, printed.getvalue()


def rows_of(folder, arm):
    lines = (folder / "items.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if row["arm"] == arm]


def test_items_whose_note_failed_stay_as_they_are_and_count(failing, broken, server) -> None:
    folder, printed = failing
    summary = json.loads((folder / "summary.json").read_text())
    failed = {prompt for prompt in server.prompts() if any(f'"{w}"' in prompt for w in broken)}
    assert summary["failed_notes"] == len(failed) > 0
    assert f"{len(failed)} requests for a note failed" in printed
    assert summary["arms"]["oracle"] | {"n": 40, "annotated": 32} == summary["arms"]["oracle"]
    originals = {row["id"]: row["prompt"] for row in rows_of(folder, "original")}
    for row in rows_of(folder, "oracle"):
        if row["group"] in broken:
            assert (row["prompt"], row["annotations"]) == (originals[row["id"]], [])
        else:
            (note,) = row["annotations"]
            assert (note["text"], note["annotator"]) == ("(Note: This is the note.)", "llm")
            if note["placement"] != "system":
                assert note["text"] in row["prompt"]


def test_the_same_command_puts_the_failed_requests_again_and_no_other(
    failing, broken, server, command, tmp_path, capsys
) -> None:
    folder = shutil.copytree(failing[0], tmp_path / "run")
    n_failed = json.loads((folder / "summary.json").read_text())["failed_notes"]
    server.requests.clear()
    words = set(broken)
    broken.clear()
    try:
        assert main(command(folder)) == 0
    finally:
        broken |= words
    assert len(server.requests) == n_failed
    assert all(any(f'"{w}"' in prompt for w in words) for prompt in server.prompts())
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["failed_notes"] == 0
    assert summary["arms"]["oracle"]["annotated"] == 40
    assert "for a note failed" not in capsys.readouterr().out


def test_an_endpoint_that_can_not_be_reached_is_one_line_and_exit_code_2(
    command, tmp_path, capsys, monkeypatch
) -> None:
    def unreachable(model, base_url):
        return Endpoint(model, "http://127.0.0.1:9/v1", retries=0)

    monkeypatch.setattr(llm, "Endpoint", unreachable)
    assert main(command(tmp_path / "run")) == 2
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("saetask:")]
    lines = [line for line in told[1:] if not line.startswith("saetask: [")]  # progress
    assert len(lines) == 1
    assert "could not be asked" in lines[0] and "give the same command again" in lines[0]
    assert (tmp_path / "run" / "answers.jsonl").stat().st_size > 0


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (
            ["--annotator-option=modle=tiny"],
            "has an option 'modle' (given as 'tiny'). Did you mean 'model'?",
        ),
        (["--annotator-option=model"], "--annotator-option: 'model' must be NAME=VALUE"),
        (["--annotator-option=model="], "option 'model'"),
        (["--annotators", "sense-note"], "(sense-note) has an option 'model' (given as 'tiny')."),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_an_option_that_does_not_do_is_refused_before_anything_is_written(
    command, tmp_path, capsys, change, named
) -> None:
    assert main([*command(tmp_path / "run"), *change]) == 2
    assert named in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_the_arm_self_may_be_written_by_the_model_of_an_annotator(
    command, server, broken, tmp_path
) -> None:
    arguments = command(tmp_path / "run")
    place = arguments.index("--annotators")  # the task's own annotators write saetask's notes
    changed = [*arguments[:place], *arguments[place + 2 :], "--self-writer", "llm"]
    server.requests.clear()
    assert main([*changed, "--arms", "original,saetask,self"]) == 0
    assert all(SELF_REQUEST in prompt for prompt in server.prompts())
    for row in rows_of(tmp_path / "run", "self"):
        notes = [(note["text"], note["annotator"]) for note in row["annotations"]]
        failed = row["group"] in broken
        assert notes == ([] if failed else [("(Note: This is the note.)", "self")])
    failed = json.loads((tmp_path / "run" / "summary.json").read_text())["failed_notes"]
    server.requests.clear()
    assert main([*changed, "--arms", "original,saetask,self"]) == 0
    assert len(server.requests) == failed > 0, "replies are kept, failed requests put again"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (["--self-writer", "llm"], "not the arm self"),
        (["--self-writer", "polarity-note", "--arms", "original,saetask,self"], "such as llm"),
        (["--self-writer", "self-explain", "--arms", "original,saetask,self"], "such as llm"),
        (["--self-writer", "lm", "--arms", "original,saetask,self"], "lm"),
    ],
)
def test_a_self_writer_that_can_not_write_is_one_line(
    command, tmp_path, capsys, change, named
) -> None:
    assert main([*command(tmp_path / "run"), *change]) == 2
    assert named in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_options_may_stand_in_a_file_and_the_flag_goes_before_it(tmp_path, capsys) -> None:
    file = tmp_path / "experiment.yaml"
    file.write_text("task: metaphor\nannotators: [llm]\nannotator_options: {modell: tiny}\n")
    assert main(["run", str(file)]) == 2
    assert "has an option 'modell'" in capsys.readouterr().err
    file.write_text("task: metaphor\nannotators: [llm]\nannotator_options: {model: tiny}\n")
    assert main(["run", str(file), "--annotator-option", "model="]) == 2
    assert "option 'model'" in capsys.readouterr().err
