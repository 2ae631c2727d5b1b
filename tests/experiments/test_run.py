"""A run folder: complete, true to its items, resumable, and never mixed with another run."""

import functools
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

import saetask
import saetask.experiments.control_detectors
import saetask.experiments.note_selection
import saetask.experiments.runner
import saetask.experiments.scoring
import saetask.inference.client
from saetask import RunConfig, UserError, run
from saetask.detection.baselines import baselines, dense_probe
from saetask.experiments.arms import DEFAULT_ARMS
from saetask.plugins import PluginRegistry
from saetask_plugins.tasks.metaphor import Metaphor
from tests.helpers.refusals import refusal

pytestmark = pytest.mark.usefixtures("few_choices")

ARTEFACTS = ("config.yaml", "items.jsonl", "summary.json", "report.html", "environment.json")
EXAMPLE = Path(__file__).parents[1] / "example_plugin" / "saetask_coin_words.py"
RUN = sys.modules[RunConfig.__module__]
TWO_ARMS = ["original", "saetask"]


@pytest.fixture(scope="module")
def tiny(tiny_model_folder, tiny_sae_folder):
    """The specs of a tiny model and its SAE, as fields of a config."""
    return {"model": str(tiny_model_folder), "sae": str(tiny_sae_folder)}


@pytest.fixture(scope="module", autouse=True)
def loaded_once():
    """Runs share the model that they load: loading is tried elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RUN, "load_model", functools.cache(saetask.load_model))
        yield


@pytest.fixture(scope="module")
def config(tiny):
    return RunConfig("metaphor", limit=40, folds=3, **tiny)


@pytest.fixture(scope="module")
def folder(config, tmp_path_factory):
    """A finished run."""
    return run(config, PluginRegistry(), tmp_path_factory.mktemp("runs") / "whole")


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
    detectors = {"random-feature", "random-sae", *(baseline.name for baseline in baselines())}
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
    fields |= {"misunderstandings", "annotations", "rounds", "scores", "seed"}
    originals = {row["id"]: row["prompt"] for row in rows if row["arm"] == "original"}
    for row in rows:
        assert set(row) == fields
        assert row["output"] in row["scores"]
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
    for name in RunConfig.__dataclass_fields__:
        assert document[name] == getattr(config, name)


def test_the_environment_names_versions_and_hardware(folder):
    environment = read_json(folder / "environment.json")
    assert environment["saetask"] == saetask.__version__
    for key in ("python", "torch", "transformer-lens", "sae-lens", "cpu", "cores", "gpu"):
        assert environment[key] not in ("", "not installed")


def test_the_report_shows_every_arm(folder):
    page = (folder / "report.html").read_text()
    assert all(arm in page for arm in DEFAULT_ARMS)


@pytest.fixture
def quick(monkeypatch):
    """Fewer detectors are fitted, and fewer items asked in every wording."""
    monkeypatch.setattr(saetask.experiments.control_detectors, "baselines", lambda: [dense_probe()])
    monkeypatch.setattr(saetask.experiments.note_selection, "STYLE_ITEMS", 8)


# the same run again, and another


def test_the_same_config_again_asks_nothing_and_leaves_the_same_items(folder, config, never_asked):
    before = contents(folder)
    assert run(config, PluginRegistry(), folder) == folder
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
        run(RunConfig(**(vars(config) | change)), PluginRegistry(), folder)
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
    monkeypatch.setattr(RUN, "load_model", interrupted)
    with pytest.raises(KeyboardInterrupt):  # killed while the model is loaded
        run(config, PluginRegistry(), tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        run(config, PluginRegistry(), tmp_path / "out")  # the same data: goes on
    (tmp_path / "out" / RUN.JOURNAL).touch()
    data.write_text(data.read_text().replace(" now", " then"))
    with pytest.raises(UserError, match="another config or data"):
        run(config, PluginRegistry(), tmp_path / "out")


def test_a_run_refused_for_its_sae_does_not_occupy_the_folder(config, tmp_path, make_tiny_sae):
    make_tiny_sae(d_in=48).save_model(tmp_path / "wide")
    for _ in range(2):
        with pytest.raises(UserError, match="48"):
            run(replace(config, sae=str(tmp_path / "wide")), PluginRegistry(), tmp_path / "out")
    summary = json.loads(
        (run(config, PluginRegistry(), tmp_path / "out") / "summary.json").read_text()
    )
    assert summary["n_items"] == 40


def interrupted(*arguments):
    raise KeyboardInterrupt


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "{unclosed", "\x00"])
def test_a_damaged_config_in_the_folder_is_a_user_error(config, tmp_path, text):
    (tmp_path / "config.yaml").write_text(text)
    (tmp_path / RUN.JOURNAL).touch()
    with pytest.raises(UserError, match=r"choose another --out"):
        run(config, PluginRegistry(), tmp_path)


def test_a_folder_below_a_file_is_a_user_error(config, tmp_path):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match="Cannot write") as raised:
            run(config, PluginRegistry(), out)
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
        ({"max_fit_items": 0, "fit_data": "items"}, "has 0 items"),
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
        run(RunConfig(**(vars(config) | change)), PluginRegistry(), tmp_path / "out")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out").exists()


# other tasks


def test_a_third_partys_task_runs_into_a_folder_named_after_it(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(saetask.experiments.note_selection, "STYLE_ITEMS", 8)
    config = RunConfig("coin-words", arms=TWO_ARMS, folds=2, **tiny)
    folder = run(config, PluginRegistry([EXAMPLE]))
    assert folder.parent == Path("runs")
    assert folder.name.startswith("coin-words-")
    assert read_json(folder / "summary.json")["n_items"] == 40
    notes = {note["annotator"] for row in read_items(folder) for note in row["annotations"]}
    assert notes <= {"coin-note"}


@pytest.mark.usefixtures("quick")
def test_generated_answers_are_judged_by_both_ways_to_find_a_number(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(saetask.experiments.runner, "MAX_NEW_TOKENS", 3)
    monkeypatch.setattr(saetask.experiments.scoring, "GENERATED_TOKENS", 3)
    data = tmp_path / "items.jsonl"
    answers = {"has {} figs and eats {}": int.__sub__, "has {} figs and buys {}": int.__add__}
    rows = [
        {"id": f"{n}{text}", "question": f"Ann {text.format(n, 2)}.", "answer": f(n, 2), "group": n}
        for n in range(5, 25)
        for text, f in answers.items()
    ]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = {"data": data, "arms": TWO_ARMS, "folds": 2, "scoring": "generate"}
    config = RunConfig("word-problems", **options, **tiny)
    folder = run(config, PluginRegistry(), tmp_path / "out")
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


@pytest.mark.usefixtures("quick")
def test_a_task_without_candidates_runs_through_every_arm(tiny, tmp_path, problems, monkeypatch):
    monkeypatch.setattr(saetask.experiments.runner, "MAX_NEW_TOKENS", 3)
    config = RunConfig("gsm8k", data=problems, folds=2, scoring="generate", **tiny)
    folder = run(config, PluginRegistry(), tmp_path / "out")
    summary = read_json(folder / "summary.json")
    assert list(summary["arms"]) == list(DEFAULT_ARMS)
    assert summary["arms"]["original"]["flexible_accuracy"] >= 0
    rows = read_items(folder)
    assert len(rows) == 40 * len(DEFAULT_ARMS)
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
    return refusal(
        run, RunConfig("metaphor", **options, **tiny), PluginRegistry(), tmp_path / "out"
    )


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
    monkeypatch.setattr(RUN, "load_model", interrupted)
    data = items_file(*sentences(["literal"], 48))
    message = refused(tiny, tmp_path, data)
    assert f"{data} knows only the reading 'literal'; fitting needs two readings" in message
    assert not (tmp_path / "out").exists()


def test_a_candidate_without_tokens_is_refused_in_one_line(tiny, tmp_path, monkeypatch):
    empty = [saetask.Candidate("", "literal"), saetask.Candidate(" b", "metaphorical")]
    monkeypatch.setattr(Metaphor, "candidates", lambda self, item: empty)
    assert "candidate answer '' has no tokens" in refused(tiny, tmp_path, None, limit=60)
