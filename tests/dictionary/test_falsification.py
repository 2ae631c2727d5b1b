"""The whole attempt on a tiny model, with an SAE whose features are known: words, all, nothing."""

import copy
import json
import shutil

import numpy as np
import pytest

from saetask import Dictionary
from saetask.cli.main import main
from saetask.dictionary.falsify.ablation import AblationResult
from saetask.dictionary.falsify.base import FalsifyConfig, SkippedTest
from saetask.dictionary.falsify.document import FALSIFICATION
from saetask.dictionary.falsify.feature_tests import FeatureTests, describe_tests
from saetask.dictionary.falsify.injection import InjectionResult, StrategyResult
from saetask.dictionary.falsify.runner import falsify
from saetask.dictionary.falsify.text_pool import (
    OWN_CONTEXT,
    context_rows,
    file_rows,
    read_text_pool,
)
from saetask.dictionary.store import FEATURES
from saetask.saes.corpus_extraction import extract_token_activations
from tests.helpers.refusals import refusal
from tests.helpers.sending import SendingEngine
from tests.helpers.words import ALWAYS, DEAD, SEA


@pytest.fixture(scope="module")
def dictionary(word_folder):
    return Dictionary.load(word_folder)


@pytest.fixture(scope="module")
def found(tiny_model, word_sae, dictionary, word_corpus):
    config = FalsifyConfig((SEA, DEAD, ALWAYS), texts=8, data=str(word_corpus))
    return falsify(tiny_model, word_sae, dictionary, config).to_dict()


def test_an_engine_of_other_processes_finds_the_same(
    found, tiny_model, word_sae, dictionary, word_corpus
) -> None:
    config = FalsifyConfig((SEA, DEAD, ALWAYS), texts=8, data=str(word_corpus))
    engine = SendingEngine(tiny_model)
    elsewhere = falsify(tiny_model, word_sae, dictionary, config, executor=engine)
    assert elsewhere.to_dict() == found
    assert engine.works == ["_read_rows", "run_feature_tests"], "all that needs the model"


def test_a_word_is_found_to_be_a_word(found) -> None:
    tokens = found["features"][0]["injection"]
    assert tokens["finding"] == "token-driven"
    assert tokens["n_texts"] == 8 and tokens["p_value"] == 1 / 2**8
    for way in tokens["strategies"]:
        assert (way["injected_share"], way["control_share"]) == (1, 0), way


def test_what_can_not_be_tried_says_why(found) -> None:
    dead, always = found["features"][1:]
    assert dead["injection"] == {"finding": "no contexts", "reason": "it never fired"}
    assert dead["ablation"]["finding"] == "no contexts"
    assert "fires in 0 of" in dead["ablation"]["reason"]
    assert "silent in 0 of" in always["injection"]["reason"]
    assert always["ablation"]["finding"] in ("causal", "no effect shown")


def test_what_came_of_it_is_written_with_its_settings(found, dictionary) -> None:
    written = json.loads((dictionary.folder / FALSIFICATION).read_text())
    assert written["features"] == found["features"]
    assert written["settings"]["seed"] == 0 and written["settings"]["texts"] == 8
    assert written["model"] == dictionary.manifest.model.to_dict()
    assert written["sae"]["fingerprint"] == dictionary.manifest.sae.fingerprint


def test_stored_contexts_will_do_and_the_seed_decides(tiny_model, word_sae, dictionary) -> None:
    configs = (FalsifyConfig((SEA, 1), texts=6, seed=seed) for seed in (0, 1))
    one, other = (falsify(tiny_model, word_sae, dictionary, c).to_dict() for c in configs)
    assert [e["injection"]["finding"] for e in one["features"]] == ["token-driven"] * 2
    effects = [[e["ablation"]["random"] for e in each["features"]] for each in (one, other)]
    assert effects[0] != effects[1]


def test_p_values_are_corrected_over_the_features_that_were_tried() -> None:
    def injected(p):
        return InjectionResult(24, [StrategyResult("spread", 1.0, 1.0, 0.0, p)])

    def edited(p):
        return AblationResult(24, -1.0, 0.0, 0.0, (-0.1, 0.1), p, 1.0)

    parts = [
        (injected(0.01), SkippedTest("x")),
        (SkippedTest("x"), edited(0.04)),
        (injected(0.04), edited(0.2)),
        (injected(0.9), SkippedTest("x")),
    ]
    tests = [FeatureTests(i, "", *pair) for i, pair in enumerate(parts)]
    entries = [entry.to_dict() for entry in describe_tests(tests)]
    # Benjamini-Hochberg: p times the number tried over its rank, made monotone from above.
    q_values = [entry["injection"].get("q_value") for entry in entries]
    assert q_values == [pytest.approx(0.03), None, pytest.approx(0.06), pytest.approx(0.9)]
    assert [e["injection"]["finding"] for e in entries[::2]] == ["token-driven", "undecided"]
    assert [entries[i]["ablation"]["q_value"] for i in (1, 2)] == [pytest.approx(0.08), 0.2]


# The texts


def test_stored_contexts_become_the_rows_they_were(dictionary, tiny_model, word_sae) -> None:
    tokenizer = tiny_model.tokenizer
    rows = list(context_rows(dictionary, [SEA], tokenizer, 3, seed=0))
    own = [row for row in rows if row.source == OWN_CONTEXT]
    assert len(own) >= 10 and len(rows) == len(own) + 3
    assert len({row.document for row in rows}) == len(rows)
    assert all(row.token_ids[0] == tokenizer.bos_token_id for row in rows)
    for row in own:
        fires = extract_token_activations(tiny_model, [word_sae], [row])[0].features
        assert SEA in fires


def test_a_context_with_half_a_character_is_left_out(
    dictionary, tiny_tokenizer, monkeypatch
) -> None:
    # The replacement character is a token of its own, so retokenising would not complain.
    stored = {"document": "d", "tokens": [" the"] * 20}
    broken = {"document": "e", "tokens": [" the"] * 20 + ["\ufffd"]}
    monkeypatch.setattr(dictionary, "contexts", lambda feature: [stored, broken])
    assert [row.document for row in context_rows(dictionary, [SEA], tiny_tokenizer, 0, 0)] == ["d"]


def test_a_pool_says_where_features_fire(tiny_model, word_sae, word_corpus) -> None:
    features = [SEA, ALWAYS]
    rows = list(file_rows(word_corpus, tiny_model.tokenizer, 48))[:100]
    own = [row._replace(source=OWN_CONTEXT) for row in rows[:20]]
    pool = read_text_pool(tiny_model, word_sae, [*own, *rows[20:]], features, 10**6)
    assert len({row.document for row in rows}) == len(rows), "one row a document comes first"
    token = tiny_model.tokenizer(" sea")["input_ids"][-1]
    holds = np.array([token in row.token_ids for row in rows])
    np.testing.assert_array_equal(pool.maxima[:, 0] > 0, holds)
    assert len(pool.firing(0)) == holds.sum() and len(pool.silent(0)) == (~holds).sum()
    assert not pool.silent(1)
    assert np.flatnonzero(pool.frequent[0]).tolist() == [token]
    counts = np.bincount(np.concatenate([row.token_ids for row in rows[20:]]))
    np.testing.assert_array_equal(pool.counts[: len(counts)], counts)
    assert len(read_text_pool(tiny_model, word_sae, rows, [SEA], 5).rows) == 64, "enough is enough"


# Refusals


def test_another_sae_is_refused(tiny_model, word_sae, dictionary) -> None:
    config = FalsifyConfig((SEA,))
    other = copy.deepcopy(word_sae)
    other.W_enc.data += 1
    assert "another sae" in refusal(falsify, tiny_model, other, dictionary, config)


def test_texts_on_which_nothing_can_be_tried_are_refused(
    tiny_model, word_sae, dictionary, tmp_path
) -> None:
    (tmp_path / "few.jsonl").write_text(json.dumps({"text": "The road was long. " * 10}) + "\n")
    config = FalsifyConfig((SEA,), data=str(tmp_path / "few.jsonl"))
    message = refusal(falsify, tiny_model, word_sae, dictionary, config)
    assert "No feature could be tried on the 1 texts" in message and "--data" in message


def test_the_command_prints_a_table_or_json(word_folder, word_pair, word_corpus, capsys) -> None:
    command = ["dictionary", "falsify", str(word_folder), "--features", f"{SEA},{DEAD}", *word_pair]
    command += ["--texts", "6", "--data", str(word_corpus), "--allow-sae-mismatch"]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "token-driven" in printed and f"feature {DEAD}: no injection test" in printed
    written = (word_folder / FALSIFICATION).read_text()
    assert main([*command, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document == json.loads(written), "the same command gives the same figures"


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--features", "999"], "There is no feature 999"),
        (["--features", "1,a"], "'a' is no whole number"),
        (["--features", str(DEAD)], "No contexts"),
        (["--features", "1", "--texts", "5"], "--texts is 5"),
        (["--features", "1", "--data", "none.jsonl"], "none.jsonl does not exist"),
        ([], "features"),
    ],
)
def test_bad_input_is_refused_before_a_model_is_loaded(
    word_folder, flags, says, capsys, monkeypatch
) -> None:
    monkeypatch.setattr("saetask.models.loading.load_model", None)
    assert main(["dictionary", "falsify", str(word_folder), *flags]) == 2
    assert says in capsys.readouterr().err


def test_an_sae_that_does_not_fit_is_refused(word_folder, word_pair, capsys) -> None:
    assert main(["dictionary", "falsify", str(word_folder), "--features", "1", *word_pair]) == 2
    assert "--allow-sae-mismatch" in capsys.readouterr().err


def test_a_damaged_dictionary_is_refused(word_folder, tmp_path, capsys) -> None:
    shutil.copytree(word_folder, tmp_path / "copy", ignore=shutil.ignore_patterns("work"))
    (tmp_path / "copy" / FEATURES).write_bytes(b"PAR1")
    assert main(["dictionary", "falsify", str(tmp_path / "copy"), "--features", "1"]) == 2
    assert FEATURES in capsys.readouterr().err
