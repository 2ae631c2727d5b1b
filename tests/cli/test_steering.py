"""The command steer: answers before and after, beside random pushes of the same norm."""

import json

import pytest

from saetask.cli.main import main
from saetask.data.prompts import as_prompt
from saetask.inference.client import ModelClient
from saetask.inference.requests import GenerateRequest, RankRequest
from saetask.saes.feature_edits import FeatureEdit, features_edited
from saetask.session.steering import N_RANDOM, steer_prompt

PROMPT = "The tea was boiling today."
CANDIDATES = (" warm", " cold")


@pytest.fixture(scope="module")
def tiny(tiny_model_folder, tiny_sae_folder):
    return ["--model", str(tiny_model_folder), "--sae", str(tiny_sae_folder)]


def run(capsys, *words):
    code = main([str(word) for word in words])
    return code, *capsys.readouterr()


def test_answers_are_those_of_the_client_without_and_with_the_edit(tiny_model, tiny_sae):
    prompt, edit = as_prompt(PROMPT), FeatureEdit({3: 6.0})
    found = steer_prompt(tiny_model, tiny_sae, prompt, CANDIDATES, edit, 5)
    for answers, given in ((found.before, FeatureEdit()), (found.after, edit)):
        with features_edited(tiny_model, tiny_sae, given):
            client = ModelClient(tiny_model)
            assert [answers.text] == client.generate([GenerateRequest(prompt, 5)])
            (ranked,) = client.rank([RankRequest(prompt, CANDIDATES)])
        assert list(answers.log_likelihoods.values()) == pytest.approx(ranked.scores, abs=1e-5)
    assert found.before.log_likelihoods != found.after.log_likelihoods
    assert found.relative_norm > 0


def test_random_pushes_differ_and_repeat_by_their_seed(tiny_model, tiny_sae):
    prompt, edit = as_prompt(PROMPT), FeatureEdit({3: 6.0})
    one, same, other = (
        steer_prompt(tiny_model, tiny_sae, prompt, CANDIDATES, edit, 2, seed) for seed in (0, 0, 1)
    )
    assert one.random == same.random != other.random
    assert len({tuple(each.log_likelihoods.values()) for each in one.random}) == N_RANDOM


def test_an_edit_of_nothing_answers_as_before(tiny_model, tiny_sae):
    found = steer_prompt(tiny_model, tiny_sae, as_prompt(PROMPT), CANDIDATES, FeatureEdit(), 5)
    assert found.before == found.after == found.random[0]
    assert found.relative_norm == 0


def test_the_document_says_what_was_done(tiny, capsys):
    flags = ["--feature", 3, "--strength", 4, "--ablate", 7, "--max-new-tokens", 3, "--json"]
    code, out, _ = run(capsys, "steer", PROMPT, *flags, *tiny)
    document = json.loads(out)
    assert code == 0 and document["steered"] == {"feature 3": [3]}
    assert document["ablated"] == {"feature 7": [7]} and document["strength"] == 4
    assert document["typical_activations"]["3"] > 0
    assert set(document["before"]) == {"text", "log_likelihoods"} == set(document["random"][0])


def test_a_task_asks_about_the_prompt_and_its_candidates_are_ranked(tiny, capsys):
    sentence = ["The ship sailed at noon.", "--target", "sailed", "--max-new-tokens", 3]
    code, out, _ = run(capsys, "steer", *sentence, "--feature", 3, *tiny)
    assert code == 0 and "literal" in out and "random: lowest" in out
    assert "3 (" in out and "of its norm" in out


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "Nothing to steer"),
        (["--feature", "99"], "There is no feature 99"),
        (["--concept", "food"], "no dictionary"),
        (["--feature", "3", "--task", "metaphr"], "metaphr"),
        (["--feature", "3", "--max-new-tokens", "0"], "--max-new-tokens"),
        (["--feature", "3", "--strength", "nan"], "The strength of 3 is nan"),
        (["--feature", "3", "--strength", "1e30"], "from -1000 to 1000"),
    ],
)
def test_a_mistake_is_one_line(tiny, capsys, flags, said):
    code, out, err = run(capsys, "steer", PROMPT, *flags, *tiny)
    said_last = err.splitlines()[-1]
    assert (code, out) == (2, "") and said_last.startswith("saetask: ") and said in said_last


def test_an_empty_prompt_is_refused(tiny, capsys):
    code, _, err = run(capsys, "steer", " ", "--feature", 3, *tiny)
    assert code == 2 and "The prompt is empty" in err
