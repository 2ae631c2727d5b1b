"""False alarms and misses of the SAE check: the committed figures, and a part of them anew."""

import json

import pytest

from benchmarks import training
from benchmarks.pages import ROOT
from benchmarks.sae_check import TOPK, Trial, main, small_trials, summary

MEASURED = json.loads((ROOT / training.MEASURED).read_text(encoding="utf-8"))
CLEAR = {"2 layers away", "another model", "input x 2", "input x 1/2", "input x sqrt(d)/norm"}
"""Uses that an SAE with any training to speak of must not pass."""


def test_the_page_on_training_is_as_generated(capsys):
    assert training.main(["--check"]) == 0, capsys.readouterr().out


def test_the_table_counts_the_committed_checks():
    trials = [Trial(**row) for row in MEASURED["trials"]]
    assert MEASURED["summary"] == summary(trials)
    assert len({trial.subject for trial in trials}) >= 12
    assert not any(trial.refused for trial in trials if trial.fits), "a false alarm"


def test_every_key_of_a_recipe_is_in_the_table():
    keys = {key.name: key for key in training.recipe_keys()}
    assert keys["lr"].values == "number above 0" and keys["lr"].default == "0.0008"
    assert "harvest.corpus.sources[].share" in keys and "harvest.hook_name" in keys
    assert all(key.description and key.values for key in keys.values())


def test_what_is_given_must_pair_up(tmp_path):
    with pytest.raises(ValueError, match="shorter"):
        main(["--models", "a", "--out", str(tmp_path / "x.json")])


@pytest.mark.slow
def test_saes_of_five_architectures_pass_and_are_refused_elsewhere():
    """A language model and an SAE of each, from nothing."""
    names = ("llama", "gpt2", "gpt_neox", "gemma3_text", "qwen2")
    found = list(small_trials(names, TOPK[-1:], steps=60))
    assert sum(trial.fits for trial in found) == len(names)
    for trial in found:
        if trial.fits:
            assert not trial.refused, trial
    clear = [trial for trial in found if trial.kind in CLEAR]
    assert len(clear) > 40
    assert sum(not trial.refused for trial in clear) <= len(clear) // 20
