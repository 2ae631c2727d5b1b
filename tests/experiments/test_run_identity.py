"""A run folder is refused once model, SAE, dictionary, plugins or settings have other content."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import saetask
from saetask import load_model, run
from saetask.data.prompts import as_prompt
from saetask.experiments.run_folder import JOURNAL
from saetask.experiments.run_identity import IDENTITY, claim_identity, run_identity
from saetask.inference.client import ModelClient, RankRequest
from saetask.plugins import PluginRegistry
from tests.helpers.probe_choices import QuickProbe
from tests.helpers.refusals import refusal
from tests.helpers.touch_task import NO_BASELINE, Touch, TouchNote, make_context

EXAMPLE = Path(__file__).parents[1] / "example_plugin" / "saetask_coin_words.py"


@pytest.fixture
def folder(tmp_path, tiny_model, tiny_sae):
    """A folder with the identity of a run of the tiny model."""
    claim_identity(tmp_path, identity_of(tiny_model, tiny_sae), has_answers=False)
    return tmp_path


def identity_of(model, sae, settings=NO_BASELINE, annotators=(), **changes):
    context = replace(make_context(model, sae, QuickProbe), **changes)
    return run_identity([context], annotators, settings)


def refusal_of(folder, *arguments, **options):
    """The line by which another identity is refused; the folder stays as it is."""
    before = (folder / IDENTITY).read_bytes()
    line = refusal(claim_identity, folder, identity_of(*arguments, **options), has_answers=True)
    assert str(folder) in line
    assert "choose another --out" in line
    assert (folder / IDENTITY).read_bytes() == before
    return line


def test_the_same_content_goes_on(folder, tiny_model, tiny_sae):
    before = (folder / IDENTITY).read_bytes()
    claim_identity(folder, identity_of(tiny_model, tiny_sae), has_answers=True)
    assert (folder / IDENTITY).read_bytes() == before


def test_without_answers_the_folder_is_claimed_anew(folder, tiny_sae, make_tiny_bridge):
    model = make_tiny_bridge()
    model.tokenizer.chat_template += " "
    before = json.loads((folder / IDENTITY).read_text())["model"]
    claim_identity(folder, identity_of(model, tiny_sae), has_answers=False)
    after = json.loads((folder / IDENTITY).read_text())["model"]
    assert {name for name in after if after[name] != before[name]} == {"chat_template"}


def test_other_weights_are_refused(folder, tiny_sae, make_tiny_bridge, make_tiny_hf_model):
    other = make_tiny_bridge(make_tiny_hf_model(seed=1))
    assert "another model (other weights)" in refusal_of(folder, other, tiny_sae)


def test_another_chat_template_is_refused(folder, tiny_sae, make_tiny_bridge):
    other = make_tiny_bridge()
    other.tokenizer.chat_template += " "
    assert "another model (other chat template)" in refusal_of(folder, other, tiny_sae)


def test_another_dtype_is_refused(tmp_path, tiny_sae, tiny_model_folder):
    exact, rounded = (
        load_model(tiny_model_folder, dtype=dtype) for dtype in (torch.float32, torch.bfloat16)
    )
    claim_identity(tmp_path, identity_of(exact, tiny_sae), has_answers=False)
    assert "another model (other dtype)" in refusal_of(tmp_path, rounded, tiny_sae)


def test_another_sae_is_refused(folder, tiny_model, make_tiny_sae):
    other = make_tiny_sae()
    with torch.no_grad():
        other.b_enc[-1] += 0.001
    assert "another SAE" in refusal_of(folder, tiny_model, other)


def test_other_settings_are_refused(folder, tiny_model, tiny_sae):
    other = replace(NO_BASELINE, note_samples=3)
    assert "other settings" in refusal_of(folder, tiny_model, tiny_sae, settings=other)


def test_another_annotator_is_refused(folder, tiny_model, tiny_sae):
    line = refusal_of(folder, tiny_model, tiny_sae, annotators=[TouchNote()])
    assert "annotator touch-note" in line


def test_other_code_of_a_plugin_is_refused(folder, tiny_model, tiny_sae, tmp_path_factory):
    for number in range(2):
        path = tmp_path_factory.mktemp("plugin") / "coins.py"
        path.write_text(EXAMPLE.read_text() + "\n# changed" * number)
        task = PluginRegistry([path]).get("task", "coin-words")
        identity = identity_of(tiny_model, tiny_sae, task=task)
        if number == 0:
            claim_identity(folder, identity, has_answers=False)
    line = refusal(claim_identity, folder, identity, has_answers=True)
    assert "another version of task coin-words" in line


def test_a_plugin_that_saetask_ships_has_the_version_of_saetask(tiny_model, tiny_sae):
    task = PluginRegistry().get("task", "metaphor")
    identity = identity_of(tiny_model, tiny_sae, task=task)
    assert identity.plugins["task metaphor"] == f"saetask {saetask.__version__}"
    assert Touch().name in str(identity_of(tiny_model, tiny_sae).plugins)


def test_answers_in_a_journal_are_of_one_model(
    tmp_path, tiny_model, make_tiny_bridge, make_tiny_hf_model
):
    request = RankRequest(as_prompt("Is it warm?"), (" yes", " no"))
    path = tmp_path / JOURNAL
    (first,) = ModelClient(tiny_model, path).rank([request])
    other = make_tiny_bridge(make_tiny_hf_model(seed=1))
    (second,) = ModelClient(other, path).rank([request])
    assert list(first.log_likelihoods) != list(second.log_likelihoods)
    (alone,) = ModelClient(other).rank([request])
    assert list(second.log_likelihoods) == list(alone.log_likelihoods)
    assert len(path.read_text().splitlines()) == 2


@pytest.mark.slow  # two runs; the pieces are tried above
@pytest.mark.usefixtures("few_choices")
def test_weights_saved_over_a_runs_model_are_refused(
    tmp_path, tiny_model_folder, tiny_sae_folder, make_tiny_hf_model
):
    model = shutil.copytree(tiny_model_folder, tmp_path / "model")
    config = {"model": str(model), "sae": str(tiny_sae_folder), "arms": ["original", "saetask"]}
    options = {"settings": NO_BASELINE, "limit": 48, "folds": 2, "out": tmp_path / "run"}
    folder = run("metaphor", **config, **options).folder
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(json.loads(before[IDENTITY])["model"]) >= {"weights", "chat_template"}
    make_tiny_hf_model(seed=1).save_pretrained(model)
    line = refusal(run, "metaphor", allow_sae_mismatch=False, **config, **options)
    assert "another model (other weights)" in line
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
