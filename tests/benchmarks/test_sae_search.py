"""The search for SAEs, on the tiny model: its rows, and what a second start does not do again."""

import json

import numpy as np
import pytest
import torch
import yaml

from benchmarks import sae_search
from benchmarks.sae_figures import same_direction_share, unigram_shares


def test_unigram_shares_count_a_features_most_frequent_token() -> None:
    features = np.repeat([0, 1, 2, 3], [20, 20, 9, 10])
    tokens = np.concatenate([[7] * 20, [7] * 5 + [*range(100, 115)], [7] * 9, range(10)])
    shares = unigram_shares(features, tokens, 5)
    np.testing.assert_allclose(shares, [1, 0.25, np.nan, 0.1, np.nan])


def test_directions_are_the_same_whatever_their_length_and_order(make_tiny_sae) -> None:
    one, other = make_tiny_sae(), make_tiny_sae()
    with torch.no_grad():
        other.W_dec.copy_(3 * other.W_dec.flip(0))
    assert same_direction_share(one, other) == 1
    with torch.no_grad():
        other.W_dec[: len(other.W_dec) // 2] = torch.randn(32, generator=torch.manual_seed(0))
        other.W_dec[len(other.W_dec) // 2 :] = other.W_dec[0]
    assert same_direction_share(one, other) == 0


@pytest.fixture
def search_file(harvest_config, tmp_path):
    """A search over two layers; its text is that of `harvest_config`."""
    recipe = {
        "model": "tiny",
        "harvest": {
            "hook_name": "blocks.{layer}.hook_resid_post",
            "tokens": 1000,
            "corpus": {
                "sources": [{"path": "texts.jsonl"}],
                "context_size": 32,
                "test_share": 0.2,
                "selection_share": 0.3,
            },
            "rows_per_shard": 16,
        },
        "samples": 1280,
        "batch_size": 64,
        "test_tokens": 200,
    }
    shape = {"architecture": "topk", "d_sae": 64, "options": {"k": 4}}
    saes = [{"layer": layer, "seed": seed, **shape} for layer, seed in ((1, 0), (2, 0), (2, 1))]
    probing = [{"name": "metaphor", "task": "metaphor", "limit": 60}]
    path = tmp_path / "search.yaml"
    path.write_text(yaml.safe_dump({"recipe": recipe, "saes": saes, "probing": probing}))
    return path


def test_a_search_measures_every_sae_once(
    search_file, tmp_path, tiny_model, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(sae_search, "load_model", lambda spec: tiny_model)
    out = tmp_path / "table.json"
    given = [str(search_file), str(tmp_path / "work"), "--out", str(out)]
    assert sae_search.main(given) == 0
    printed, first = capsys.readouterr().out, out.read_text()
    rows = json.loads(first)["saes"]
    assert [row["layer"] for row in rows] == [1, 2, 2]
    alone, *twins = [row["same_direction"] for row in rows]
    assert alone is None and all(0 <= share <= 1 for share in twins)
    for row in rows:
        assert row["name"] in printed
        assert 0 < row["normalised_mse"] < 1 and row["l0"] <= 4
        assert 0 < row["unigram_share"] <= 1
        hook = f"blocks.{row['layer']}.hook_resid_post"
        assert row["probing"]["metaphor"]["hook_name"] == hook
        assert [*row["probing"]["metaphor"]["auroc"]] == ["1", "2", "4", "8"]
    assert rows[0]["probing"] != rows[1]["probing"]
    monkeypatch.setattr(sae_search, "fit_and_save", lambda *given: pytest.fail("trained again"))
    monkeypatch.setattr(sae_search, "probe_all", lambda *given: pytest.fail("probed again"))
    assert sae_search.main(given) == 0
    assert out.read_text() == first


def test_a_recipe_that_contradicts_itself_is_refused_first(
    search_file, tmp_path, tiny_model, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(sae_search, "load_model", lambda spec: tiny_model)
    search_file.write_text(search_file.read_text().replace("k: 4", "k: 400", 1))
    assert sae_search.main([str(search_file), str(tmp_path / "work")]) == 2
    assert "options.k" in capsys.readouterr().err
    assert not (tmp_path / "work").exists()
