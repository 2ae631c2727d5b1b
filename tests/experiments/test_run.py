"""A run folder: complete, true to its items, resumable, and never mixed with another run."""

import functools
import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

import saetask
import saetask.inference.client
from saetask import RunConfig, UserError, run
from saetask.annotation.base import Annotation
from saetask.annotation.prompt_writer import fixed_note
from saetask.cli.main import main
from saetask.data import Candidate, Item, LogFields
from saetask.data.importers import read_log
from saetask.detection.baselines import baselines, dense_probe
from saetask.experiments import arms as arms_module
from saetask.experiments import run_inputs
from saetask.experiments.arms import ARMS, Arm, default_arm_names
from saetask.experiments.context import ExperimentSettings
from saetask.experiments.run_folder import JOURNAL
from saetask.experiments.runner import GENERATED_ANSWERS, OF_CANDIDATES
from saetask.inference.client import ModelClient
from saetask.inference.requests import RankRequest
from saetask.plugins import PluginRegistry
from saetask.report.arms import ArmSpec
from saetask_plugins.tasks.metaphor import Metaphor
from saetask_plugins.tasks.word_problems import WordProblems
from tests.helpers.every_arm import EVERY_ARM
from tests.helpers.probe_choices import FEW_CHOICES
from tests.helpers.refusals import refusal
from tests.helpers.touch_task import Touch, touch_plugins

pytestmark = pytest.mark.usefixtures("few_choices")

ARTEFACTS = ("config.yaml", "items.jsonl", "summary.json", "report.html", "environment.json")
EXAMPLE = Path(__file__).parents[1] / "example_plugin" / "saetask_coin_words.py"

DEFAULT_ARMS = default_arm_names()
QUICK = ExperimentSettings(
    note_samples=8,
    self_note_tokens=4,
    answer_tokens=3,
    second_question_tokens=3,
    make_baselines=lambda: [dense_probe(FEW_CHOICES)],
)
"""Fewer detectors are fitted, fewer samples asked in every template, and answers are short."""
TWO_ARMS = ["original", "saetask"]


@pytest.fixture(scope="module")
def tiny(tiny_model_folder, tiny_sae_folder):
    """The specs of a tiny model and its SAE, as fields of a config."""
    return {"model": str(tiny_model_folder), "sae": str(tiny_sae_folder)}


@pytest.fixture(scope="module", autouse=True)
def loaded_once():
    """Runs share the model that they load: loading is tried elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_inputs, "load_model", functools.cache(saetask.load_model))
        yield


@pytest.fixture(scope="module")
def config(tiny):
    return RunConfig("metaphor", limit=40, folds=3, **tiny)


@pytest.fixture(scope="module")
def folder(config, tmp_path_factory):
    """A finished run."""
    return run(config, out=tmp_path_factory.mktemp("runs") / "whole").folder


@pytest.fixture
def never_asked(monkeypatch):
    """Fails the test if the model is asked anything."""

    def refuse(*arguments):
        raise AssertionError("The model was asked although every answer was known.")

    monkeypatch.setattr(saetask.inference.client, "log_likelihoods", refuse)


def no_constant(name):
    raise AssertionError(f"{name} is no JSON")


def read_json(path):
    return json.loads(path.read_text(), parse_constant=no_constant)


def read_items(folder):
    lines = (folder / "items.jsonl").read_text().splitlines()
    return [json.loads(line, parse_constant=no_constant) for line in lines]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# what a run leaves


def test_the_log_of_a_run_asks_the_model_the_same_again(folder, config):
    items = read_log(folder, "saetask", LogFields(), PluginRegistry().by_name("importer"))
    asked = [RankRequest(item.prompt, item.choices, item.id) for item in items]
    again = ModelClient(saetask.load_model(config.model)).rank(asked, "ask")
    rows = [list(r["raw_scores"].values()) for r in read_items(folder) if r["arm"] == "original"]
    np.testing.assert_allclose([response.scores for response in again], rows, atol=1e-3)


def test_a_run_leaves_every_artefact(folder):
    for name in ARTEFACTS:
        assert (folder / name).stat().st_size > 0
    assert not list(folder.glob(".*"))


def test_the_summary_keeps_its_contract(folder, config):
    summary = read_json(folder / "summary.json")
    assert set(summary) >= {
        "schema_version",
        "experiment",
        "model",
        "sae",
        "n_items",
        "seconds",
        "arms",
        "detection",
    }
    assert (summary["schema_version"], summary["experiment"]) == (1, "metaphor")
    assert summary["n_items"] == 40
    assert summary["seconds"] > 0
    assert list(summary["arms"]) == list(DEFAULT_ARMS)
    for arm, entry in summary["arms"].items():
        assert {"n", "accuracy", "ci95"} <= set(entry)
        compared = {"fixed", "broken", "mcnemar_p", "holm_p", "detectable_difference"}
        assert compared & set(entry) == (set() if arm == "original" else compared)
    assert summary["sae"] | {"hook_name": "blocks.2.hook_resid_post", "d_sae": 64} == summary["sae"]
    assert summary["sae"]["name"] == config.sae
    assert summary["sae"]["fvu"] < 0.01
    assert 0 < summary["sae"]["l0"] <= 32
    assert summary["sae"]["cross_entropy_recovered"] == pytest.approx(1, abs=0.01)
    assert set(summary["model"]) == {"name", "fingerprint", "dtype", "device"}
    detectors = {"moved-weights", "random-sae", *(baseline.name for baseline in baselines())}
    assert set(summary["reading_detection"]["baselines"]) == detectors
    others = {"answer-entropy", "prompt-length"}
    assert set(summary["detection"]["baselines"]) == detectors | others
    for entry in (summary["detection"]["saetask"], *summary["detection"]["baselines"].values()):
        low, high = entry["ci95"]
        assert 0 <= low <= entry["auroc"] <= high <= 1


def test_the_summarys_figures_are_those_of_the_items(folder):
    summary, rows = read_json(folder / "summary.json"), read_items(folder)
    correct = {
        arm: {r["id"]: r["correct"] for r in rows if r["arm"] == arm} for arm in DEFAULT_ARMS
    }
    original = correct["original"]
    for arm, entry in summary["arms"].items():
        assert set(correct[arm]) == set(original)
        assert entry["n"] == len(original) == 40
        assert entry["accuracy"] == pytest.approx(np.mean(list(correct[arm].values())))
        low, high = entry["ci95"]
        assert 0 <= low <= entry["accuracy"] <= high <= 1
        annotated = [r for r in rows if r["arm"] == arm and r["annotations"]]
        assert entry["annotated"] == len(annotated)
        if arm != "original":
            assert entry["fixed"] == sum(correct[arm][i] > original[i] for i in original)
            assert entry["broken"] == sum(correct[arm][i] < original[i] for i in original)
            assert entry["difference"] == pytest.approx(
                entry["accuracy"] - summary["arms"]["original"]["accuracy"]
            )
            assert 0 <= entry["mcnemar_p"] <= entry["holm_p"] <= 1


def test_every_item_stands_in_every_arm_once_with_all_its_fields(folder):
    rows = read_items(folder)
    assert len({(row["arm"], row["id"]) for row in rows}) == len(rows) == 40 * len(DEFAULT_ARMS)
    fields = {"id", "arm", "group", "fold", "prompt", "output", "parsed", "correct"}
    fields |= {"misunderstandings", "annotations", "rounds", "scores", "seed", "answer_prefix"}
    fields |= {"raw_output", "raw_correct", "raw_scores"}
    originals = {row["id"]: row["prompt"] for row in rows if row["arm"] == "original"}
    for row in rows:
        assert set(row) == fields
        assert row["output"] in row["scores"]
        assert row["raw_output"] == max(row["raw_scores"], key=row["raw_scores"].__getitem__)
        for found in row["misunderstandings"]:
            start, end = found["span"]
            assert originals[row["id"]][start:end] == found["text"]
        for note in row["annotations"]:
            assert note["text"] in row["prompt"]
            assert note["text"] not in originals[row["id"]]


def test_groups_never_stand_in_two_folds(folder):
    folds = {}
    for row in read_items(folder):
        folds.setdefault(row["group"], set()).add(row["fold"])
    assert all(len(found) == 1 for found in folds.values())


def test_the_config_is_written_with_every_default(folder, config):
    document = yaml.safe_load((folder / "config.yaml").read_text())
    for name in RunConfig.__dataclass_fields__.keys() - {"dtype"}:
        assert document[name] == getattr(config, name)
    assert config.dtype == "auto" and document["dtype"] in ("float32", "bfloat16")


def test_the_environment_names_versions_and_hardware(folder):
    environment = read_json(folder / "environment.json")
    assert environment["saetask"] == saetask.__version__
    for key in ("python", "torch", "transformer-lens", "sae-lens", "cpu", "cores", "gpu"):
        assert environment[key] not in ("", "not installed")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_run_says_its_type_first_and_keeps_it(tiny, tmp_path, monkeypatch, capsys, dtype):
    other = "bfloat16" if dtype == "float32" else "float32"
    monkeypatch.setenv("SAETASK_DTYPE", other)  # the option goes before it
    config = RunConfig("metaphor", limit=40, folds=3, arms=TWO_ARMS, **tiny)
    first = run(config, dtype=dtype, out=tmp_path / "run", settings=QUICK)
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("saetask: ")]
    assert said[0] == f"saetask: tiny in {dtype} on cpu"
    assert first.summary["model"]["dtype"] == dtype
    facts = (first.folder / "report.html").read_text().partition('<p class="facts">')[2]
    assert facts.lstrip().startswith(f"tiny in {dtype}")
    before = contents(first.folder)
    with pytest.raises(UserError, match="choose another --out"):  # of the variable's type
        run(config, out=first.folder, settings=QUICK)
    assert contents(first.folder) == before


def test_ties_are_counted_in_every_arm(folder):
    ranking = read_json(folder / "summary.json")["ranking"]
    tied = Counter()
    for row in read_items(folder):
        best = sorted(row["scores"].values())[-2:]
        tied[row["arm"]] += len(best) == 2 and best[0] == best[1]
    assert ranking["n_tied_by_arm"] == {arm: tied[arm] for arm in DEFAULT_ARMS}
    assert ranking["n_tied"] == tied["original"]


def test_the_report_shows_every_arm(folder):
    page = (folder / "report.html").read_text()
    assert all(arm in page for arm in DEFAULT_ARMS)


# the same run again, and another


@pytest.mark.slow  # as with objects at hand, with every arm
def test_the_same_config_again_asks_nothing_and_leaves_the_same_items(folder, config, never_asked):
    before = contents(folder)
    assert run(config, out=folder).folder == folder
    after = contents(folder)
    for name in ("config.yaml", "items.jsonl", "environment.json", "answers.jsonl"):
        assert after[name] == before[name]
    first, second = (json.loads(found["summary.json"]) for found in (before, after))
    assert first | {"seconds": 0} == second | {"seconds": 0}


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"limit": 41}, {"folds": 4}, {"scoring": "generate"}]
)
def test_another_config_in_the_same_folder_is_a_user_error_and_changes_nothing(
    folder, config, change
):
    before = contents(folder)
    with pytest.raises(UserError, match=r"another config or data; choose another --out") as raised:
        run(config, out=folder, **change)
    assert "\n" not in str(raised.value)
    assert contents(folder) == before


def test_other_items_under_the_same_name_are_a_user_error(tiny, tmp_path, monkeypatch):
    data = tmp_path / "items.jsonl"
    rows = [
        {"id": i, "sentence": f"{verb} now", "target": verb, "target_start": 0, "label": label}
        for i, (verb, label) in enumerate(
            (f"verb{n}", label) for n in range(20) for label in ("literal", "metaphorical")
        )
    ]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = RunConfig("metaphor", data=data, arms=TWO_ARMS, **tiny)
    monkeypatch.setattr(run_inputs, "load_model", interrupted)
    with pytest.raises(KeyboardInterrupt):  # killed while the model is loaded
        run(config, out=tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        run(config, out=tmp_path / "out")  # the same data: goes on
    (tmp_path / "out" / JOURNAL).touch()
    data.write_text(data.read_text().replace(" now", " then"))
    with pytest.raises(UserError, match="another config or data"):
        run(config, out=tmp_path / "out")


def test_a_run_refused_for_its_sae_does_not_occupy_the_folder(config, tmp_path, make_tiny_sae):
    make_tiny_sae(d_in=48).save_model(tmp_path / "wide")
    short = replace(config, arms=TWO_ARMS)
    for _ in range(2):
        with pytest.raises(UserError, match="48"):
            run(short, sae=str(tmp_path / "wide"), out=tmp_path / "out")
    assert run(short, out=tmp_path / "out", settings=QUICK).summary["n_items"] == 40


def test_a_model_that_can_not_be_loaded_leaves_no_folder(config, tmp_path):
    with pytest.raises(UserError, match="absent"):
        run(config, model=str(tmp_path / "absent"), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def interrupted(*arguments, **options):
    raise KeyboardInterrupt


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "{unclosed", "\x00"])
def test_a_damaged_config_in_the_folder_is_a_user_error(config, tmp_path, text):
    (tmp_path / "config.yaml").write_text(text)
    (tmp_path / JOURNAL).touch()
    with pytest.raises(UserError, match=r"choose another --out"):
        run(config, out=tmp_path)


def test_a_folder_below_a_file_is_a_user_error(config, tmp_path):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match="file is a file; give a folder") as raised:
            run(config, out=out)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arms": ["original", "saetsk"]}, "Unknown arm 'saetsk'. Did you mean 'saetask'"),
        ({"arms": ["original"]}, "arms must include"),
        ({"arms": []}, "arms must include"),
        ({"limit": 0}, "--limit is 0; it must be 1 or more"),
        ({"limit": 5}, "more items"),
        ({"folds": 1}, "--folds is 1; it must be 2 or more"),
        ({"seed": -1}, "seed"),
        ({"max_fit_items": 0}, "--max-fit-items is 0; it must be 1 or more"),
        ({"fit_data": "items"}, "has 1 items"),
        ({"task": "metafor"}, "Unknown task 'metafor'. Did you mean 'metaphor'"),
        ({"detector": "probe"}, "Unknown detector"),
        ({"annotators": ["sense-notes"]}, "Unknown annotator"),
        ({"data": Path("missing.jsonl")}, "missing.jsonl does not exist"),
        ({"fit_data": Path("missing.jsonl")}, "missing.jsonl does not exist"),
    ],
    ids=str,
)
def test_a_config_that_can_not_be_run_is_refused_before_anything_is_written(
    config, tmp_path, change, message
):
    if change.get("fit_data") == "items":
        change = change | {"fit_data": tmp_path / "fit.jsonl"}
        row = {"id": 1, "sentence": "xs", "target": "xs", "target_start": 0, "label": "literal"}
        change["fit_data"].write_text(json.dumps(row))
    with pytest.raises(UserError, match=message) as raised:
        run(RunConfig(**(vars(config) | change)), out=tmp_path / "out")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out").exists()


# other tasks


def test_a_third_partys_task_runs_into_a_folder_named_after_it(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = {"arms": TWO_ARMS, "folds": 2, "plugins": PluginRegistry([EXAMPLE]), **tiny}
    folder = run("coin-words", settings=QUICK, **options).folder
    assert folder.parent == Path("runs")
    assert folder.name.startswith("coin-words-")
    assert read_json(folder / "summary.json")["n_items"] == 40
    notes = {note["annotator"] for row in read_items(folder) for note in row["annotations"]}
    assert notes <= {"coin-note"}


@pytest.mark.slow
def test_generated_answers_are_judged_by_both_ways_to_find_a_number(tiny, tmp_path):
    data = tmp_path / "items.jsonl"
    answers = {"has {} figs and eats {}": int.__sub__, "has {} figs and buys {}": int.__add__}
    rows = [
        {"id": f"{n}{text}", "question": f"Ann {text.format(n, 2)}.", "answer": f(n, 2), "group": n}
        for n in range(5, 25)
        for text, f in answers.items()
    ]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = {"data": data, "arms": TWO_ARMS, "folds": 2, "scoring": "generate"}
    folder = run("word-problems", out=tmp_path / "out", settings=QUICK, **options, **tiny).folder
    summary = read_json(folder / "summary.json")
    assert summary["scoring"] == "generate"
    rows = read_items(folder)
    for arm in TWO_ARMS:
        flexible = [row["flexible_correct"] for row in rows if row["arm"] == arm]
        assert summary["arms"][arm]["flexible_accuracy"] == pytest.approx(np.mean(flexible))
    assert all(row["output"] not in row["scores"] for row in rows)


@pytest.fixture
def problems(items_file):
    """A file of 40 problems in several steps, without candidate answers."""
    rows = [
        {
            "id": f"{n}{verb}",
            "question": f"Ann has {n} figs and {verb} 2. How many has she?",
            "answer": n,
            "operations": [operation],
            "group": n,
        }
        for n in range(5, 25)
        for verb, operation in (("eats", "subtraction"), ("buys", "addition"))
    ]
    return items_file(*rows)


def test_a_task_without_candidates_runs_through_every_arm(tiny, tmp_path, problems):
    config = RunConfig("gsm8k", data=problems, folds=2, scoring="generate", arms=EVERY_ARM, **tiny)
    folder = run(config, out=tmp_path / "out", settings=QUICK).folder
    summary = read_json(folder / "summary.json")
    # Arms that would only choose among candidates are left out, and why is told.
    asked = [name for name in EVERY_ARM if name not in OF_CANDIDATES]
    assert list(summary["arms"]) == asked
    assert {name: summary["not_measured"][name] for name in OF_CANDIDATES} == dict.fromkeys(
        OF_CANDIDATES, GENERATED_ANSWERS
    )
    assert summary["arms"]["original"]["flexible_accuracy"] >= 0
    rows = read_items(folder)
    assert len(rows) == 40 * len(asked)
    assert not any(row["scores"] for row in rows)
    # Without an answer to compare with, the most probable reading is reported of every item.
    assert summary["arms"]["saetask"]["annotated"] == summary["arms"]["oracle"]["annotated"] == 40
    assert summary["arms"]["closed-loop"]["annotated"] == 0
    assert summary["detection"]["saetask"] is None
    assert summary["not_measured"]["detection"] in (folder / "report.html").read_text()
    assert (folder / "report.html").stat().st_size > 0


# experiments that can not be


def refused(tiny, tmp_path, data, **changes):
    options = {"arms": TWO_ARMS, "folds": 2, "data": data, **changes}
    return refusal(run, "metaphor", out=tmp_path / "out", **options, **tiny)


def sentences(labels, n):
    """Returns rows of the metaphor task, two a group."""
    return [
        {"id": i, "sentence": f"verb{i // 2} now {i}", "target": f"verb{i // 2}"}
        | {"target_start": 0, "label": labels[i % len(labels)]}
        for i in range(n)
    ]


def test_fewer_fit_items_than_needed_are_refused_in_one_line(tiny, tmp_path, items_file):
    data = items_file(*sentences(["literal", "metaphorical"], 32))
    assert "has 16 items; it needs 20 at least" in refused(tiny, tmp_path, data)


def test_items_of_one_reading_are_refused_before_a_model_is_loaded_or_anything_written(
    tiny, tmp_path, items_file, monkeypatch
):
    monkeypatch.setattr(run_inputs, "load_model", interrupted)
    data = items_file(*sentences(["literal"], 48))
    message = refused(tiny, tmp_path, data)
    assert f"{data} knows only the reading 'literal'; fitting needs two readings" in message
    assert not (tmp_path / "out").exists()


def test_a_candidate_without_tokens_is_refused_in_one_line(tiny, tmp_path, monkeypatch):
    empty = [Candidate("", "literal"), *(Candidate(f" {each}", each) for each in Metaphor.readings)]
    monkeypatch.setattr(Metaphor, "candidates", lambda self, item: empty)
    assert "candidate answer '' has no tokens" in refused(tiny, tmp_path, None, limit=60)


# tasks, items, models and SAEs at hand


@pytest.fixture(scope="module")
def at_hand(tiny_model, tiny_sae):
    """What a run of a task, items, a model and an SAE at hand is called with."""
    return {
        "items": Touch().items()[:32],
        "model": tiny_model,
        "sae": tiny_sae,
        "arms": TWO_ARMS,
        "folds": 3,
        "settings": QUICK,
        "plugins": touch_plugins(),
    }


@pytest.fixture(scope="module")
def touched(at_hand, tmp_path_factory):
    """A finished run of objects."""
    return run(Touch(), out=tmp_path_factory.mktemp("objects") / "run", **at_hand)


@pytest.fixture
def copied(touched, tmp_path):
    """A copy of its folder."""
    return shutil.copytree(touched.folder, tmp_path / "copy")


def test_a_run_of_objects_gives_its_summary_its_rows_and_its_report(touched):
    assert touched.summary == read_json(touched.folder / "summary.json")
    assert (touched.summary["experiment"], touched.summary["n_items"]) == ("touch", 32)
    assert list(touched.summary["arms"]) == TWO_ARMS
    table = touched.to_pandas()
    rows = read_items(touched.folder)
    assert len(table) == len(rows) == 2 * 32
    assert list(table["id"]) == [row["id"] for row in rows]
    assert touched.report() == touched.folder / "report.html"
    assert (touched.folder / "report.html").stat().st_size > 0


def test_the_same_objects_go_on_and_ask_nothing(copied, at_hand, never_asked):
    before = (copied / "items.jsonl").read_bytes()
    run(Touch(), out=copied, **at_hand)
    assert (copied / "items.jsonl").read_bytes() == before


@pytest.mark.parametrize("change", ["items", "gold", "model", "sae", "fit_items"])
def test_other_objects_in_the_same_folder_are_a_user_error(
    copied, at_hand, change, make_tiny_bridge, make_tiny_hf_model, make_tiny_sae
):
    first, *others = at_hand["items"]
    turned = Item(first.id, first.group, first.question, (first.gold[0], "cold"))
    changed = {
        "items": lambda: {"items": Touch().items()[4:36]},
        "gold": lambda: {"items": [turned, *others]},
        "model": lambda: {"model": make_tiny_bridge(make_tiny_hf_model(seed=1))},
        "sae": lambda: {"sae": make_tiny_sae(hook_name="blocks.1.hook_resid_post")},
        "fit_items": lambda: {"fit_items": Touch().items()[32:]},
    }[change]()
    before = contents(copied)
    message = refusal(run, Touch(), out=copied, **at_hand | changed)
    assert "another config or data; choose another --out" in message
    assert contents(copied) == before


def test_an_unknown_option_is_refused_with_the_nearest(at_hand):
    message = refusal(run, Touch(), fold=2, **at_hand | {"folds": 3})
    assert message == "A run has no option 'fold'. Did you mean 'folds'?"


def test_a_task_by_name_takes_options_as_a_config_does(tiny, tmp_path):
    options = {"limit": 36, "folds": 3, "arms": TWO_ARMS, **tiny}
    by_name = run("metaphor", out=tmp_path / "name", settings=QUICK, **options)
    assert by_name.summary["n_items"] == 36
    config = RunConfig("metaphor", **options)
    saved = (by_name.folder / "config.yaml").read_bytes()
    run(config, out=by_name.folder, settings=QUICK)  # the same run
    assert (by_name.folder / "config.yaml").read_bytes() == saved


# another arm


@pytest.fixture
def upside_down(monkeypatch):
    """Adds an arm whose note stands before the prompt, in the table of arms and nowhere else."""
    note = Annotation("(upside down)", "start", "upside-down")

    def write(state, samples):
        return {sample: fixed_note(sample.prompt, note) for sample in samples}

    spec = ArmSpec("upside-down", "A note is read better before the prompt.", "control")
    arm = Arm(spec, write, write)
    monkeypatch.setattr(arms_module, "ARMS", (*ARMS, arm))
    return arm


def test_an_arm_is_one_entry_of_one_table(upside_down, tiny, at_hand, tmp_path, capsys):
    result = run(Touch(), out=tmp_path / "run", **at_hand | {"arms": [*TWO_ARMS, "upside-down"]})
    entry = result.summary["arms"]["upside-down"]
    assert (entry["purpose"], entry["kind"]) == (upside_down.spec.purpose, "control")
    assert entry["annotated"] == entry["n"] == 32
    rows = [row for row in read_items(result.folder) if row["arm"] == "upside-down"]
    assert len(rows) == 32
    assert all(row["prompt"].startswith("(upside down)\nThe ") for row in rows)
    page = (result.folder / "report.html").read_text()
    assert "upside-down" in page and upside_down.spec.purpose in page
    assert "upside-down" in result.summary["against"]
    flags = [f"--{name}={value}" for name, value in tiny.items()]
    flags += ["--limit=36", "--folds=3", f"--out={tmp_path / 'command'}"]
    assert main(["run", "metaphor", "--arms=original,saetask,upside-down", *flags]) == 0
    assert "upside-down" in capsys.readouterr().out
    assert "upside-down" in read_json(tmp_path / "command" / "summary.json")["arms"]


# progress


def test_the_stages_of_a_run_are_those_that_its_progress_counts_with(
    tiny, tmp_path, capsys
) -> None:
    run("metaphor", out=tmp_path / "out", settings=QUICK, limit=36, folds=3, **tiny)
    lines = [line for line in capsys.readouterr().err.splitlines() if "left in all" in line]
    places = dict.fromkeys(line.split("]")[0].split("[")[1] for line in lines)
    assert list(places) == [f"{i + 1}/{len(places)}" for i in range(len(places))]


def two_number_rows(n, n_unanswerable):
    """Word problems of two numbers; the answer to the first ones takes three."""
    return [
        {
            "id": i,
            "group": i // 2,
            "question": f"{i + 2} bags hold {i + 40} figs. How many?",
            "answer": -1 if i < n_unanswerable else [(2 * i + 42), (i + 2) * (i + 40)][i % 2],
        }
        for i in range(n)
    ]


def test_items_without_a_right_candidate_are_told_and_counted(tiny, items_file, tmp_path, capsys):
    data = items_file(*two_number_rows(40, 3))
    options = {"arms": TWO_ARMS, "folds": 2, "settings": QUICK, "builtin_items": False}
    result = run("word-problems", data=data, out=tmp_path / "out", **options, **tiny)
    said = capsys.readouterr().err
    assert said.count("3 of 40 items: no candidate is right") == 1
    assert f"`saetask run gsm8k --data {data} --scoring generate`" in said
    assert result.summary["without_choice"] == {"none_right": 3, "one_only": 0, "all_right": 0}


def test_items_that_are_mostly_without_a_right_candidate_are_refused(tiny, items_file, tmp_path):
    data = items_file(*two_number_rows(40, 21))
    for given in ({"data": data}, {"items": WordProblems().items(data)}):
        options = {"arms": TWO_ARMS, "folds": 2, "out": tmp_path / "out", **given, **tiny}
        said = refusal(run, "word-problems", **options)
        assert "21 of 40 items: no candidate is right" in said
        assert not (tmp_path / "out").exists()


def test_a_session_is_not_fitted_on_items_without_a_right_candidate(
    tiny_model, tiny_sae, items_file, tmp_path
):
    data = items_file(*two_number_rows(40, 21))
    session = saetask.Session(tiny_model, tiny_sae, "word-problems", data=data)
    assert "21 of 40 items: no candidate is right" in refusal(session.fit, tmp_path)
