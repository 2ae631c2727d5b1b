"""The command line: results on stdout, one line on stderr for a mistake, exit codes."""

import errno
import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import saetask
import saetask.session
from saetask.cli.commands import Command
from saetask.cli.dictionary import GROUP
from saetask.cli.main import ROOT, main
from saetask.data import Score
from saetask.detection.baselines import dense_probe
from saetask.experiments.arms import arm_names, default_arm_names
from saetask_plugins.tasks.metaphor import Metaphor
from tests.helpers.probe_choices import FEW_CHOICES, use_fit_items, use_settings

pytestmark = pytest.mark.usefixtures("few_choices")

SENTENCE = "The ship sailed at noon."
LOADING = ("saetask.models.loading", "saetask.experiments.run_inputs", "saetask.session.session")
"""Modules that commands load a model through."""
DETECTION = {"prompt", "answer", "failure", "misunderstandings", "reason"}
DETECTION |= {"calibrated_answer", "preference"}
ANSWERS = {"before", "after", "calibrated_before", "calibrated_after"}
FINDING = {"detector", "span", "text", "reading", "probability", "features"}


@pytest.fixture(scope="module")
def tiny(tiny_model_folder, tiny_sae_folder):
    """The flags that name a tiny model and its SAE."""
    return ["--model", str(tiny_model_folder), "--sae", str(tiny_sae_folder)]


@pytest.fixture(scope="module", autouse=True)
def loaded_once():
    """Commands share the models that they load: loading is tried elsewhere."""
    load_once = functools.cache(saetask.load_model)
    with pytest.MonkeyPatch.context() as patch:
        for module in LOADING:
            patch.setattr(f"{module}.load_model", load_once)
        yield


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def small_fit(monkeypatch, cache):
    """Detectors are fitted on fewer items, and kept apart from the user's own cache."""
    use_fit_items(monkeypatch, 36)
    use_settings(monkeypatch, note_samples=8)
    monkeypatch.setenv("SAETASK_CACHE", str(cache))


@pytest.fixture
def quick_run(monkeypatch):
    """Runs fit one baseline, and try templates on few samples."""
    use_settings(monkeypatch, note_samples=4, make_baselines=lambda: [dense_probe(FEW_CHOICES)])


@pytest.fixture
def no_model(monkeypatch):
    """Fails the test if a model is loaded."""

    def refuse(*arguments, **options):
        raise AssertionError("A model was loaded before the mistake was found.")

    for module in LOADING:
        monkeypatch.setattr(f"{module}.load_model", refuse)


@pytest.fixture
def refused(capsys):
    """Returns a function that runs a command and returns the line with which it is refused."""

    def run(*arguments):
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        lines = [line for line in err.split("\n") if line and "%|" not in line]  # no progress bar
        assert code == 2, err
        assert out == ""
        assert len(lines) == 1, err
        assert lines[0].startswith("saetask: ")
        return lines[0].removeprefix("saetask: ")

    return run


@pytest.fixture
def done(capsys):
    """Returns a function that runs a command and returns what it printed."""

    def run(*arguments):
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert code == 0, err
        return out

    return run


def written(folder, name, text):
    (folder / name).write_text(text)
    return folder / name


# what is wrong before anything is loaded


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rnu"], "Unknown command 'rnu'. Did you mean 'run'?"),
        (["--bogus"], "unrecognized argument '--bogus'."),
        (["dictionary", "biuld"], "Unknown command 'dictionary biuld'. Did you mean 'build'?"),
        (["dictionary", "--bogus"], "unrecognized argument '--bogus'."),
        (["dictionary", "build"], "required: --corpus, --out"),
        (["dictionary", "show", "folder", "sea"], "'sea' is no whole number"),
        (["run"], "required: EXPERIMENT"),
        (["run", "--limit", "3"], "required: EXPERIMENT"),
        (["run", "metafor"], "Unknown task 'metafor'. Did you mean 'metaphor'?"),
        (["run", "missing.yaml"], "missing.yaml does not exist"),
        (["run", "metaphor", "--limit", "0"], "--limit is 0; it must be 1 or more."),
        (["run", "metaphor", "--limit", "-3"], "--limit is -3; it must be 1 or more."),
        (["run", "metaphor", "--limit", "many"], "--limit: 'many' is no whole number"),
        (["run", "metaphor", "--folds", "1"], "--folds is 1; it must be 2 or more."),
        (["run", "metaphor", "--seed", "-1"], "seed"),
        (["run", "metaphor", "--scoring", "rnak"], "'rnak'. Did you mean 'rank'?"),
        (["run", "metaphor", "--builtin-items", "no"], "'no' must be true or false"),
        (["run", "metaphor", "--annotator-option", "x"], "'x' must be NAME=VALUE"),
        (["run", "metaphor", "--arms", "original,saetsk"], "Unknown arm 'saetsk'."),
        (["run", "metaphor", "--arms", "original"], "arms must include"),
        (["run", "metaphor", "--data", "missing.jsonl"], "missing.jsonl does not exist"),
        (["run", "metaphor", "--fit-data", "missing.jsonl"], "missing.jsonl does not exist"),
        (["run", "metaphor", "--detector", "probe"], "Unknown detector 'probe'"),
        (["run", "metaphor", "--annotators", "nobody"], "Unknown annotator 'nobody'"),
        (["run", "metaphor", "--limt", "3"], "'--limt'. Did you mean '--limit'?"),
        (["run", "metaphor", "--lim", "3"], "'--lim'. Did you mean '--limit'?"),
        (["run", "metaphor", "extra"], "extra"),
        (["run", "metaphor", "--engine", "rey"], "rey"),
        (["run", "metaphor", "--address", "auto"], "--address is auto; it needs --engine ray."),
        (["train"], "CONFIG"),
        (["train", "missing.yaml"], "missing.yaml does not exist"),
        (["report", "missing"], "missing"),
        (["read"], "required: PROMPT"),
        (["read", "--odd"], "unrecognized argument '--odd'."),
        (["read", "--odd"], "put -- before it: 'saetask read -- --odd'."),
        (["read", ""], "The prompt is empty"),
        (["read", "   "], "The prompt is empty"),
        (["read", "text", "--top", "some"], "top"),
        (["read", "text", "--top", "0"], "--top"),
        (["detect"], "The prompt is empty"),
        (["detect", ""], "The prompt is empty"),
        (["detect", " \n", "--target", "x"], "The prompt is empty"),
        (["reformulate", ""], "The prompt is empty"),
        (["detect", "text", "--task", "metafor"], "Unknown task 'metafor'. Did you mean"),
        (["detect", "text", "--bogus"], "--bogus"),
        (["detect", "--file", "missing.jsonl"], "missing.jsonl does not exist"),
        (["detect", "a b", "--file", "p.jsonl"], "Give a prompt or --file, not both."),
        (["detect", "--file", "p.jsonl", ""], "Give a prompt or --file, not both."),
        (["detect", "The ship sailed."], "For a metaphor, give --target WORD; --task names"),
        (["detect", "Q?\nA. a\nB. b", "--task", "multiple-choice"], "--data FILE"),
        (["detect", "Two 2 and 3.", "--data", "missing.jsonl"], "missing.jsonl does not exist"),
        (["reformulate", "text", "--file", "prompts.jsonl"], "'--file'"),
        (["plugins", "extra"], "extra"),
        (["plugins", "--plugin", "missing.py"], "missing.py does not exist"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line_and_exit_code_2_and_loads_no_model(
    refused, tmp_path, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    assert message in refused(*arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task: metaphor\nlimmit: 3\n", "limmit"),
        ("task: metaphor\nlimit: many\n", "limit"),
        ("limit: 30\n", "task"),
        ("task: [unclosed\n", ""),
        ("just text", ""),
        ("", "task"),
    ],
)
def test_a_mistake_in_an_experiment_file_is_one_line(refused, tmp_path, text, message):
    assert message in refused("run", written(tmp_path, "experiment.yaml", text))


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize("text", ["bogus: 1\n", "[unclosed", "", "just text"])
def test_a_mistake_in_a_recipe_is_one_line_that_names_the_file(refused, tmp_path, text):
    assert "recipe.yaml" in refused("train", written(tmp_path, "recipe.yaml", text))


@pytest.mark.usefixtures("no_model")
def test_a_bad_row_of_a_data_file_is_named_by_file_line_and_field(refused, tmp_path):
    data = written(tmp_path, "items.jsonl", '{"id": 1, "sentence": "He ran.", "target": "ran"}\n')
    message = refused("run", "metaphor", "--data", data)
    assert message.startswith(f"{data}:1: field 'target_start': ")


@pytest.mark.usefixtures("no_model")
def test_items_of_one_reading_are_one_line_that_names_file_and_reading(refused, tmp_path):
    row = {"target": "runs", "target_start": 3, "label": "literal"}
    rows = [{"id": i, "sentence": f"He runs {i}.", "group": str(i), **row} for i in range(40)]
    text = "".join(json.dumps(line) + "\n" for line in rows)
    data, out = written(tmp_path, "items.jsonl", text), tmp_path / "out"
    message = refused("run", "metaphor", "--data", data, "--out", out)
    assert str(data) in message and "'literal'" in message
    assert not out.exists()


@pytest.mark.usefixtures("no_model")
def test_an_output_folder_below_a_file_is_one_line(refused, tmp_path):
    path = written(tmp_path, "file", "") / "below"
    message = refused("run", "metaphor", "--limit", "40", "--out", path)
    assert message == f"{path}: {path.parent} is a file; give a folder."


@pytest.mark.usefixtures("no_model")
def test_a_run_leaves_a_folder_of_other_files_as_it_is(refused, tmp_path):
    own = written(tmp_path, "config.yaml", "task: mine\n")
    message = refused("run", "metaphor", "--limit", "40", "--out", tmp_path)
    assert f"--out {tmp_path} holds other files (config.yaml)" in message
    assert [*tmp_path.iterdir()] == [own] and own.read_text() == "task: mine\n"


@pytest.mark.usefixtures("no_model")
def test_a_file_given_for_a_folder_is_named(refused, tmp_path):
    file = written(tmp_path, "file", "")
    said = f"{file} is a file; give a folder."
    assert refused("run", "metaphor", "--limit", "40", "--out", file) == said
    assert refused("report", file) == said
    flags = ["--to", "lm-eval", "--out", file / "samples.jsonl"]
    assert refused("report", tmp_path, *flags) == said


@pytest.mark.usefixtures("no_model")
def test_a_full_disk_is_one_line_that_says_what_to_do(refused, tmp_path, monkeypatch):
    def full(path, target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "replace", full)
    message = refused("run", "metaphor", "--limit", "60", "--out", tmp_path / "out")
    assert message.startswith(f"Cannot write {tmp_path / 'out'}")
    assert message.endswith(
        "No space left on device. Free space and start again: what is done is kept."
    )


@pytest.mark.usefixtures("no_model")
def test_a_plugin_file_that_raises_is_one_line(refused, tmp_path):
    path = written(tmp_path, "broken.py", "raise RuntimeError('first\\nsecond')")
    assert str(path) in refused("plugins", "--plugin", path)


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize(
    "words",
    [
        ["read", "text"],
        ["detect", "1 and 2"],
        ["steer", "text", "--feature", "1"],
        ["doctor"],
        ["init", "task", "mine.py"],
        ["report", "missing"],
        ["dictionary", "show", "missing", "1"],
    ],
    ids=" ".join,
)
def test_every_command_refuses_a_missing_plugin_file(refused, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    assert refused(*words, "--plugin", "nosuch.py") == refused("plugins", "--plugin", "nosuch.py")
    assert list(tmp_path.iterdir()) == []


def test_a_plugin_file_is_executed_once(done, tmp_path):
    count = (
        "from pathlib import Path\nwith Path(__file__ + '.log').open('a') as log: log.write('x')\n"
    )
    hook = "import saetask\n@saetask.hookimpl\ndef saetask_labelers(): return []\n"
    path = written(tmp_path, "counted.py", count + hook)
    done("plugins", "--plugin", path)
    assert (tmp_path / "counted.py.log").read_text() == "x"


# what is wrong with a model, an SAE or a prompt


@pytest.mark.usefixtures("small_fit")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([SENTENCE, "--task", "metaphor"], "add --target WORD"),
        ([SENTENCE, "--task", "metaphor", "--target", ""], "--target"),
        ([SENTENCE, "--target", "walked"], "'walked' does not occur in the prompt"),
        (["No numbers here."], "needs at least two numbers"),
    ],
)
@pytest.mark.parametrize("command", ["detect", "reformulate"])
def test_a_prompt_that_does_not_fit_the_task_is_one_line(
    refused, tiny, command, arguments, message
):
    assert message in refused(command, *arguments, *tiny)


def test_an_unknown_sae_is_one_line(refused, tiny):
    message = refused("read", SENTENCE, *tiny[:2], "--sae", "smollm2-135m-instruct-res51")
    assert "Did you mean 'smollm2-135m-instruct-res15'?" in message


def test_an_incomplete_sae_folder_is_one_line_that_names_it(refused, tiny, tmp_path):
    assert str(tmp_path) in refused("read", SENTENCE, *tiny[:2], "--sae", tmp_path)


def test_an_sae_for_another_model_is_one_line(refused, tiny):
    message = refused("read", SENTENCE, *tiny[:2], "--sae", "smollm2-135m-instruct-res15")
    assert "blocks.15" in message


@pytest.fixture(scope="module")
def unfit(tiny_model_folder, make_tiny_sae, tmp_path_factory):
    """The flags that name a tiny model and an SAE that reconstructs nothing of it."""
    import torch

    sae = make_tiny_sae()
    with torch.no_grad():
        sae.W_dec.copy_(sae.W_dec.roll(1, dims=0))
    folder = tmp_path_factory.mktemp("saes") / "unfit"
    sae.save_model(folder)
    return ["--model", str(tiny_model_folder), "--sae", str(folder)]


@pytest.mark.usefixtures("small_fit")
@pytest.mark.parametrize("command", ["read", "detect", "reformulate"])
def test_an_sae_refused_for_its_figures_is_used_if_insisted_on(refused, unfit, capsys, command):
    target = [] if command == "read" else ["--target", "sailed"]
    message = refused(command, SENTENCE, *target, *unfit)
    assert "fraction of variance unexplained" in message and "--allow-sae-mismatch" in message
    assert main([command, SENTENCE, *target, *unfit, "--allow-sae-mismatch"]) == 0
    warnings = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert len(warnings) == 1
    assert "fraction of variance unexplained" in warnings[0]


@pytest.mark.usefixtures("quick_run")
def test_a_run_goes_on_with_a_refused_sae_if_insisted_on(refused, done, unfit, tmp_path):
    flags = ["--limit", "48", "--folds", "2", "--arms", "original,saetask", "--json", *unfit]
    assert "--allow-sae-mismatch" in refused("run", "metaphor", *flags, "--out", tmp_path / "out")
    flags += ["--out", tmp_path / "out", "--allow-sae-mismatch"]
    assert json.loads(done("run", "metaphor", *flags))["sae"]["fvu"] > 0.6


@pytest.mark.parametrize("model", ["./missing", "missing.gguf", "no such model"])
def test_an_unknown_model_is_one_line(refused, tiny, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "missing" in (message := refused("read", SENTENCE, "--model", model, *tiny[2:])) or (
        model in message
    )


def test_a_prompt_beyond_the_context_is_one_line(refused, tiny):
    assert "more than the model's context of 256" in refused("read", "word " * 400, *tiny)


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize(
    ("row", "field"),
    [
        ("{}", "prompt"),
        ('{"prompt": ""}', "prompt"),
        ('{"prompt": 3}', "prompt"),
        ('{"prompt": "He ran.", "target": "walked"}', "target"),
        ('{"prompt": "He ran.", "target": 3}', "target"),
        ('{"prompt": "He ran."}', "target"),
        ('{"prompt": "He ran.", "traget": "ran"}', "'traget' is not known. Did you mean 'target'?"),
        ('{"prompt": "He ran.", "Target": "ran"}', "'Target' is not known. Did you mean 'target'?"),
        (
            '{"prompts": "He ran.", "target": "ran"}',
            "'prompts' is not known. Did you mean 'prompt'?",
        ),
        ('{"prompt": "1 and 2", "target": "1", "task": "word-problems"}', "--task is 'metaphor'"),
        ('{"prompt": "1 and 2", "target": "1", "task": 3}', "'task'"),
        ('{"prompt": "Q?", "task": "multiple-choice"}', "--task is 'metaphor'"),
        ("nonsense", "JSON"),
    ],
)
def test_a_bad_row_of_a_prompt_file_is_named_before_anything_is_loaded_or_printed(
    refused, tmp_path, row, field
):
    message = refused_row(refused, tmp_path, row, "--task", "metaphor")
    assert field in message and "?." not in message


def refused_row(refused, folder, row, *flags):
    """Returns why a row behind a good one is refused."""
    good = '{"prompt": "The ship sailed.", "target": "sailed"}'
    path = written(folder, "prompts.jsonl", f"{good}\n{row}\n")
    message = refused("detect", "--file", path, *flags)
    assert message.startswith(f"{path}:2: ")
    return message


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize(
    ("row", "said"),
    [
        ('{"prompt": "The ship sailed."}', "For a metaphor, give --target WORD"),
        ('{"prompt": "Q?\\nA. a\\nB. b", "task": "multiple-choice"}', "--data FILE"),
        ('{"prompt": "1 and 2", "task": "wrod-problems"}', "Did you mean 'word-problems'?"),
    ],
)
def test_a_row_that_does_not_fit_its_own_task_is_found_before_anything_is_loaded(
    refused, tmp_path, row, said
):
    assert said in refused_row(refused, tmp_path, row)


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize("flags", [["--task", "word-problems"], ["--target", "ship"]])
def test_a_task_that_was_chosen_is_not_called_a_guess(refused, flags):
    assert "--task names another" not in refused("detect", "No verb or number.", *flags)


# what works


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_the_overview_names_every_command(done, arguments):
    page = done(*arguments)
    assert all(f"\n  {name} " in page for name, _ in ROOT.commands())
    assert len(page.splitlines()) < 24


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_the_overview_of_dictionary_names_its_commands(done, arguments):
    page = done("dictionary", *arguments)
    assert all(f"\n  {name} " in page for name, _ in GROUP.commands())


def test_the_version_is_printed(done):
    assert done("--version").strip() == saetask.__version__


def test_help_and_mistakes_in_the_command_import_no_torch():
    script = (
        "import sys; from saetask.cli.main import main; main(['--help']); main(['rnu']); "
        "print([name for name in ('torch', 'transformers', 'sae_lens') if name in sys.modules])"
    )
    command = [sys.executable, "-c", script]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines()[-1] == "[]"


def test_a_plugin_file_adds_to_the_list_of_plugins(done, tmp_path):
    text = "from saetask import hookimpl\nclass T:\n    name = '{}'\n"
    text += "    def label(self, evidence): ...\n"
    text += "@hookimpl\ndef saetask_labelers():\n    return [T()]\n"
    paths = [written(tmp_path, f"{n}.py", text.format(n)) for n in ("one", "two")]
    rows = json.loads(done("plugins", "--json", "--plugin", paths[0], "--plugin", paths[1]))
    assert set(rows[0]) == {"kind", "name", "source", "summary"}
    assert {"one", "two", "keywords"} <= {row["name"] for row in rows if row["kind"] == "labeler"}
    assert "word-problems" in done("plugins")


@pytest.mark.usefixtures("small_fit")
def test_detect_prints_one_document_with_the_keys_of_the_contract(done, tiny):
    document = json.loads(done("detect", SENTENCE, "--target", "sailed", "--json", *tiny))
    assert set(document) == DETECTION
    assert document["prompt"] == SENTENCE
    assert document["answer"] in ("literal", "metaphorical")
    assert 0 <= document["failure"] <= 1
    for found in document["misunderstandings"]:
        assert set(found) == FINDING
        start, end = found["span"]
        assert SENTENCE[start:end] == found["text"] == "sailed"
        assert found["probability"] == document["failure"]
        assert found["reading"] != document["calibrated_answer"]
        assert all(set(f) == {"id", "label", "activation", "weight"} for f in found["features"])
    again = json.loads(done("detect", SENTENCE, "--target", "sailed", "--json", *tiny))
    assert again == document  # from the fit that was kept


@pytest.mark.usefixtures("small_fit")
def test_detect_prints_a_line_for_every_prompt_of_a_file(done, tiny, tmp_path):
    sentences = ["She ate an apple.", "The sea ate the coast.", "Rust ate the car – “all” of it."]
    rows = [json.dumps({"prompt": sentence, "target": "ate"}) for sentence in sentences]
    path = written(tmp_path, "prompts.jsonl", "\n".join(rows) + "\n")
    documents = [json.loads(line) for line in done("detect", "--file", path, *tiny).splitlines()]
    assert [document["prompt"] for document in documents] == sentences
    for document in documents:
        assert set(document) == DETECTION
        for found in document["misunderstandings"]:
            start, end = found["span"]
            assert document["prompt"][start:end] == "ate"


@pytest.mark.usefixtures("small_fit")
def test_a_row_of_a_prompt_file_names_its_task(done, refused, tiny, tmp_path):
    row = {"prompt": "She ate an apple.", "target": "ate", "source": "a book"}
    rows = [row, {**row, "task": "metaphor"}]
    path = written(tmp_path, "prompts.jsonl", "\n".join(map(json.dumps, rows)))
    plain, named = done("detect", "--file", path, *tiny).splitlines()
    assert plain == named
    path = written(tmp_path, "prompts.jsonl", json.dumps({**row, "task": "word-problems"}))
    line = refused("detect", "--file", path, *tiny)
    assert f"{path}:1: A word problem needs at least two numbers" in line
    path = written(tmp_path, "prompts.jsonl", json.dumps({**row, "task": "word-problem"}))
    assert "Did you mean 'word-problems'?" in refused("detect", "--file", path, *tiny)


@pytest.mark.usefixtures("small_fit")
def test_reformulate_prints_the_prompt_with_its_annotation_and_both_answers(done, tiny):
    for sentence in (SENTENCE, "Hope sailed away.", "It sailed."):
        arguments = ("reformulate", sentence, "--target", "sailed", "--json", *tiny)
        document = json.loads(done(*arguments))
        assert set(document) == DETECTION | {"reformulated", "messages", "annotations", "answers"}
        said = [message["content"] for message in document["messages"]]
        assert "\n".join(said) == document["reformulated"]
        answers = document["answers"]
        assert set(answers) == ANSWERS
        assert sentence in document["reformulated"]
        assert bool(document["annotations"]) == bool(document["misunderstandings"])
        if document["annotations"]:
            assert document["annotations"][0] in document["reformulated"]
        else:
            assert answers["before"] == answers["after"]
            assert answers["calibrated_before"] == answers["calibrated_after"]
        assert answers["before"] == document["answer"]
        assert answers["calibrated_before"] == document["calibrated_answer"]
        text = done(*(word for word in arguments if word != "--json"))
        title = "reformulated prompt" if document["annotations"] else "prompt, as it was"
        assert f"\n{title}:\n{document['reformulated']}\n" in text and "answer before:" in text


def test_read_prints_the_strongest_features_of_a_prompt(done, tiny):
    document = json.loads(done("read", SENTENCE, "--top", "5", "--json", *tiny))
    assert document["prompt"] == SENTENCE
    rows = document["features"]
    assert len(rows) == 5
    values = [row["value"] for row in rows]
    assert values == sorted(values, reverse=True) and values[-1] > 0
    assert all(row["label"].startswith("promotes") for row in rows)
    assert "promotes" in done("read", SENTENCE, *tiny)


@pytest.mark.parametrize(
    "prompt",
    [
        "null",
        "3",
        "{a: 1}",
        "[x]",
        "true",
        "a: b",
        "@file",
        "1e3",
        "--so-called: a - b",
        "a-b a_b --c-d",
    ],
)
def test_a_prompt_is_taken_literally(done, tiny, prompt):
    assert json.loads(done("read", prompt, "--json", *tiny))["prompt"] == prompt


def test_a_prompt_that_looks_like_a_flag_stands_after_two_hyphens(done, tiny):
    for arguments in (["--json", *tiny, "--", "--odd_a-b"], ["--json", *tiny, "--", "--top"]):
        assert json.loads(done("read", *arguments))["prompt"] == arguments[-1]


@pytest.mark.usefixtures("quick_run")
def test_an_experiment_runs_from_a_file_and_prints_its_summary(done, tiny, tmp_path):
    model, sae = tiny[1], tiny[3]
    text = f"task: metaphor\nlimit: 48\narms: [original, saetask]\nmodel: {model}\nsae: {sae}\n"
    experiment = written(tmp_path, "experiment.yaml", text)
    out = tmp_path / "out"
    summary = json.loads(done("run", experiment, "--folds", "2", "--out", out, "--json"))
    assert summary == json.loads((out / "summary.json").read_text())
    assert list(summary["arms"]) == ["original", "saetask"]
    flags = ["--limit", "48", "--folds", "2", "--arms", "original,saetask", *tiny]
    text = done("run", "metaphor", *flags, "--out", out)  # the same by flags: resumes
    assert "48 items" in text and f"{out}/report.html" in text
    again = done("run", out / "config.yaml", "--out", out)
    assert "48 items" in again


@pytest.fixture
def config_of(monkeypatch, tmp_path, capsys):
    """Returns a function that returns the config with which a command line starts a run."""

    def run(*arguments):
        configs = []

        def start(config, **others):
            configs.append(config)
            raise saetask.UserError("enough")

        with monkeypatch.context() as patch:
            patch.setattr("saetask.experiments.run.run", start)
            assert main(["run", *map(str, arguments)]) == 2
        assert "enough" in capsys.readouterr().err
        return configs[0]

    return run


@pytest.mark.usefixtures("no_model")
def test_flags_go_before_the_keys_of_a_file_wherever_they_stand(config_of, tmp_path):
    text = "task: metaphor\nlimit: 48\nfolds: 3\nannotator_options: {model: a, workers: 2}\n"
    path = written(tmp_path, "experiment.yaml", text)
    given = {"task": "metaphor", "limit": 48, "folds": 3}
    options = {"model": "a", "workers": "2"}
    assert config_of(path) == saetask.RunConfig(**given, annotator_options=options)
    given = {"task": "metaphor", "limit": 48, "folds": 5, "fit_data": Path("fit.jsonl")}
    options = {"model": "b", "workers": "2"}
    expected = saetask.RunConfig(**given, annotator_options=options)
    flags = ["--folds", "5", "--fit-data", "fit.jsonl", "--annotator-option", "model=b"]
    assert config_of(path, *flags) == config_of(*flags, path) == expected


@pytest.mark.usefixtures("no_model")
def test_lists_are_separated_by_commas_and_all_means_every_arm(config_of):
    config = config_of("metaphor", "--arms", "original,saetask, oracle", "--other-saes", "a,b")
    assert config.arms == ["original", "saetask", "oracle"]
    assert config.other_saes == ["a", "b"]
    assert config_of("metaphor", "--arms", "all").arms == arm_names()
    assert config_of("metaphor").arms == default_arm_names() != arm_names()


@pytest.mark.usefixtures("quick_run")
def test_a_run_without_wrong_answers_says_that_there_is_nothing_to_detect(
    done, tiny, tmp_path, monkeypatch
):
    monkeypatch.setattr(Metaphor, "score", lambda self, item, output: Score(None, True))
    flags = ["--arms", "original,saetask", "--limit", "48", "--folds", "2", *tiny]
    out = done("run", "metaphor", *flags, "--out", tmp_path / "out")
    line = "Every answer to the original prompts is right: there is nothing to detect."
    assert line in out
    assert line in (tmp_path / "out" / "report.html").read_text()
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["detection"]["saetask"] is None
    assert summary["detection"]["n_wrong"] == 0


# exit codes


@pytest.fixture
def command(monkeypatch):
    """Returns a function that adds a command which raises an error."""

    def add(error):
        def execute(arguments):
            raise error

        command = Command("fails", lambda parser: None, execute)
        monkeypatch.setitem(ROOT.sections["This installation"], "fail", command)

    return add


def test_an_unexpected_error_is_exit_code_1_and_one_line(command, capsys):
    command(RuntimeError("first\nsecond"))
    assert main(["fail"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert "RuntimeError" in err and "--debug" in err


def test_an_interrupt_is_exit_code_130(command, capsys):
    command(KeyboardInterrupt())
    assert main(["fail"]) == 130
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("error", [RuntimeError("why"), saetask.UserError("why")])
def test_debug_shows_the_traceback(command, error):
    command(error)
    with pytest.raises(type(error), match="why"):
        main(["fail", "--debug"])


def test_a_ranking_is_named_where_it_is_not_plain():
    from saetask.cli.run_summary import ranking_line

    plain = {"method": "likelihood", "n_tied": 0, "n_prefixes": 0}
    assert ranking_line({}) == ranking_line({"ranking": plain}) == ""
    assert "likelihood; 0 items" in ranking_line({"ranking": {**plain, "n_prefixes": 2}})
    tied = {"original": 0, "saetask": 3, "placebo": 0}
    found = ranking_line({"ranking": {**plain, "n_tied_by_arm": tied}})
    assert "0 items had tied best candidates (in other arms: saetask 3)," in found
    assert "ranked by pmi" in ranking_line({"ranking": {**plain, "method": "pmi"}})
