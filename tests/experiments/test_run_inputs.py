"""What a run is given from Python: checked and converted before anything is loaded."""

from pathlib import Path

import pytest

from saetask import RunConfig, run
from saetask.experiments.run_inputs import resolve_inputs
from saetask.plugins import PluginRegistry
from saetask_plugins.tasks.metaphor import Metaphor
from tests.helpers.refusals import refusal
from tests.helpers.touch_task import Touch


@pytest.fixture(scope="module")
def plugins():
    return PluginRegistry()


@pytest.mark.parametrize(
    ("experiment", "options", "named"),
    [
        (3, {}, "no method items(data)"),
        (Metaphor, {}, "a class, not an instance"),
        ("metafor", {}, "Did you mean 'metaphor'"),
        ("metaphor", {"limt": 3}, "Did you mean 'limit'"),
        ("metaphor", {"annotators": "sense-note"}, "Option 'annotators'"),
        ("metaphor", {"arms": "all"}, "Option 'arms'"),
        ("metaphor", {"limit": "many"}, "Option 'limit'"),
        ("metaphor", {"seed": None}, "Option 'seed'"),
        ("metaphor", {"dtype": "float16"}, "Option 'dtype'"),
        ("metaphor", {"scoring": "judge"}, "expected 'rank' or 'generate', found 'judge'"),
        ("metaphor", {"data": 3}, "Option 'data'"),
        ("metaphor", {"sae": 3.5}, "saetask.load_sae"),
        ("metaphor", {"model": {}}, "saetask.load_model"),
        ("metaphor", {"items": [{"id": 1}]}, "saetask.data.Item"),
        ("metaphor", {"items": []}, "items has no items"),
        ("metaphor", {"items": iter(())}, "items has no items"),
        ("metaphor", {"fit_items": []}, "fit_items has no items"),
        ("metaphor", {"items": 3}, "saetask.data.Item"),
        ("metaphor", {"items": "a.jsonl"}, "not an object of the type str"),
        ("metaphor", {"limit": True}, "Option 'limit' of a run: expected a number, found True"),
        ("metaphor", {"limit": "5"}, "Option 'limit' of a run: expected a number, found '5'"),
        ("metaphor", {"seed": False}, "Option 'seed' of a run: expected a number, found False"),
    ],
)
def test_what_a_run_can_not_take_is_named(tmp_path, experiment, options, named) -> None:
    assert named in refusal(run, experiment, out=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_a_model_and_an_sae_that_change_places_are_refused(tmp_path, tiny_model, tiny_sae) -> None:
    for options, loader in (({"sae": tiny_model}, "load_sae"), ({"model": tiny_sae}, "load_model")):
        assert f"saetask.{loader} returns" in refusal(
            run, "metaphor", out=tmp_path / "r", **options
        )
    assert not (tmp_path / "r").exists()


def test_the_type_that_auto_stands_for_is_part_of_a_run(plugins, tiny_model, monkeypatch) -> None:
    identities = []
    for name in ("float32", "bfloat16"):
        monkeypatch.setenv("SAETASK_DTYPE", name)
        inputs = resolve_inputs("metaphor", {}, plugins).with_dtype()
        assert inputs.config.dtype == name
        identities.append(inputs.identity())
        named = resolve_inputs("metaphor", {"dtype": "float32"}, plugins).with_dtype()
        assert named.config.dtype == "float32", "an option goes before the variable"
    assert identities[0] == named.identity() != identities[1]
    at_hand = resolve_inputs("metaphor", {"model": tiny_model}, plugins).with_dtype()
    assert at_hand.config.dtype == "float32", "a model at hand has its own"


def test_a_model_at_hand_of_another_type_is_refused(plugins, tiny_model) -> None:
    inputs = resolve_inputs("metaphor", {"model": tiny_model, "dtype": "bfloat16"}, plugins)
    assert "in float32, and dtype is bfloat16" in refusal(inputs.load_model)


def test_items_of_an_iterator_are_kept(plugins) -> None:
    items = Touch().items()[:3]
    assert resolve_inputs(Touch(), {"items": iter(items)}, plugins).items == items


def test_values_are_converted_to_the_types_of_their_fields(plugins) -> None:
    options = {"limit": 40.0, "data": "a.jsonl", "sae": Path("folder"), "arms": ("saetask",)}
    config = resolve_inputs("metaphor", options, plugins).config
    assert (config.limit, config.data, config.sae) == (40, Path("a.jsonl"), "folder")
    assert config.arms == ["saetask"]


def test_a_home_folder_is_found(plugins, monkeypatch) -> None:
    monkeypatch.setenv("HOME", "/somewhere")
    config = resolve_inputs("metaphor", {"dictionary": "~/d"}, plugins).config
    assert config.dictionary == Path("/somewhere/d")


def test_a_task_and_a_config_are_taken_as_they_are(plugins) -> None:
    assert resolve_inputs(Touch(), {}, plugins).config == RunConfig("touch")
    config = RunConfig("metaphor", limit=30)
    assert resolve_inputs(config, {"seed": 2}, plugins).config == RunConfig(
        "metaphor", limit=30, seed=2
    )


def test_what_is_struck_out_is_part_of_a_run_and_nothing_struck_out_is_not(plugins) -> None:
    plain, empty, struck, other = (
        resolve_inputs("metaphor", options, plugins).identity()
        for options in ({}, {"without": []}, {"without": ["food"]}, {"without": ["rock"]})
    )
    assert plain == empty
    assert len({plain, struck, other}) == 3
