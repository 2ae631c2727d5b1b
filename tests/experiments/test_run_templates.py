"""The date that the prompts of a run are told, and how its candidates are ranked."""

import datetime
import json
import types

import pytest
import yaml

import saetask
from saetask import RunConfig, run
from saetask.errors import UserError
from saetask.experiments import run_folder, run_inputs
from saetask.experiments.context import ExperimentSettings

pytestmark = pytest.mark.usefixtures("few_choices")

QUICK = ExperimentSettings(note_samples=4, make_baselines=list)
DATED = "Today is {{ strftime_now('%d %B %Y') }}. "


def set_today(monkeypatch, day):
    class Date(datetime.date):
        @classmethod
        def today(cls):
            return datetime.date.fromisoformat(day)

    monkeypatch.setattr(run_folder, "datetime", types.SimpleNamespace(date=Date))


@pytest.fixture(scope="module")
def config(make_tiny_hf_model, tiny_tokenizer, tiny_sae_folder, tmp_path_factory):
    import copy

    folder = tmp_path_factory.mktemp("dated")
    tokenizer = copy.deepcopy(tiny_tokenizer)
    tokenizer.chat_template = DATED + tokenizer.chat_template
    make_tiny_hf_model().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return RunConfig(
        "metaphor",
        model=str(folder),
        sae=str(tiny_sae_folder),
        limit=40,
        folds=3,
        arms=["original", "saetask"],
        ranking="pmi",
        allow_sae_mismatch=True,
    )


@pytest.fixture(scope="module", autouse=True)
def loaded_once(config):
    with pytest.MonkeyPatch.context() as patch:
        loaded = saetask.load_model(config.model)
        patch.setattr(run_inputs, "load_model", lambda name, **_: loaded)
        yield


def test_a_run_that_goes_on_another_day_asks_the_same_prompts(config, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        set_today(patch, "2025-03-01")
        folder = run(config, out=tmp_path / "run", settings=QUICK).folder
    before = (folder / "items.jsonl").read_text()
    answers = (folder / "answers.jsonl").read_text()
    assert yaml.safe_load((folder / "config.yaml").read_text())["date"] == "2025-03-01"
    (folder / "items.jsonl").unlink()
    with monkeypatch.context() as patch:
        set_today(patch, "2025-03-02")
        run(config, out=folder, settings=QUICK)
    assert (folder / "items.jsonl").read_text() == before
    assert (folder / "answers.jsonl").read_text() == answers
    ranking = json.loads((folder / "summary.json").read_text())["ranking"]
    assert (ranking["method"], ranking["n_prefixes"]) == ("pmi", 0)
    assert ranking["n_tied_by_arm"].keys() == {"original", "saetask"}
    assert 0 <= ranking["n_tied"] < 3
    with pytest.raises(UserError, match="told the date 2025-03-01, not 2024-01-01"):
        run(config, out=folder, settings=QUICK, date="2024-01-01")


def test_a_date_that_is_none_is_refused_before_anything_is_loaded(config, tmp_path):
    with pytest.raises(UserError, match="--date is '1st of March'"):
        run(config, out=tmp_path / "run", date="1st of March")
    assert not (tmp_path / "run").exists()


def test_an_option_that_the_template_lacks_is_refused(config, tmp_path):
    with pytest.raises(UserError, match="no variable 'enable_thinking'"):
        run(config, out=tmp_path / "run", template_options={"enable_thinking": "false"})
