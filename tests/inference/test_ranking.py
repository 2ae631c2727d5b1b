"""Rankings of candidates, ties, prefixes, and the lengths of requests."""

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saetask.data.prompts import Prompt
from saetask.data.rendering import render
from saetask.errors import UserError
from saetask.inference.client import ModelClient
from saetask.inference.likelihood import Continuation, score_separately
from saetask.inference.ranking import (
    NEUTRAL_PREMISE,
    begins_another,
    is_tied,
    likeliest,
    neutral_prompt,
    normalised,
)
from saetask.inference.requests import GenerateRequest, RankRequest
from saetask.models.loading import context_size, model_tokenizer

ENDINGS = (" The room was hot", " The room was hot and dry.", " no")
PROMPT = Prompt([{"role": "user", "content": "Is it warm?"}], "Answer:")


def ask(model, ranking, *requests, journal=None):
    return ModelClient(model, journal, ranking=ranking).rank(requests)


# scores


def test_each_ranking_is_made_of_the_same_log_likelihoods(tiny_model, tmp_path):
    request = RankRequest(PROMPT, ENDINGS)
    (plain,) = ask(tiny_model, "likelihood", request, journal=tmp_path / "answers.jsonl")
    tokenizer, raw = model_tokenizer(tiny_model), plain.log_likelihoods
    n_tokens = [len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in ENDINGS]
    premise = render(tokenizer, Prompt([{"role": "user", "content": NEUTRAL_PREMISE}], "Answer:"))
    neutral = [
        score_separately(
            tiny_model,
            Continuation(premise.token_ids, tokenizer(t, add_special_tokens=False)["input_ids"]),
        )
        for t in ENDINGS
    ]
    expected = {
        "likelihood": raw,
        "per-token": raw / n_tokens,
        "per-character": raw / [16, 25, 2],
        "per-byte": raw / [16, 25, 2],
        "pmi": raw - neutral,
    }
    for ranking, scores in expected.items():
        (found,) = ask(tiny_model, ranking, request, journal=tmp_path / "answers.jsonl")
        assert found.scores == pytest.approx(scores, abs=1e-4)
        assert (found.log_likelihoods == raw).all()


def test_bytes_and_characters_differ_where_letters_do():
    raw = np.array([-6.0, -6.0])
    assert normalised("per-character", raw, [" é", " ab"], []).tolist() == [-6, -3]
    assert normalised("per-byte", raw, [" é", " ab"], []).tolist() == [-3, -3]


def test_a_prefix_can_lose_once_length_counts():
    raw = np.array([-6.4, -7.0])
    for ranking in ("per-token", "per-character", "per-byte"):
        scores = normalised(ranking, raw, ENDINGS[:2], [4, 7])
        assert scores[0] < scores[1]
    assert normalised("likelihood", raw, ENDINGS[:2], [4, 7])[0] > raw[1]


def test_the_neutral_premise_holds_nothing_of_the_item_or_of_a_note():
    noted = Prompt([{"role": "system", "content": "A note."}, *PROMPT.messages], "Answer:")
    assert neutral_prompt(noted) == neutral_prompt(PROMPT.with_content("Another?"))


# prefixes and ties


def test_a_prefix_is_warned_of_once_with_its_count_before_anything_is_asked(
    tiny_model, capsys, monkeypatch
):
    client = ModelClient(tiny_model)
    requests = [
        RankRequest(PROMPT.with_content(f"Number {i}?"), ENDINGS if i < 2 else (" yes", " no"))
        for i in range(3)
    ]
    client.rank(requests)
    client.rank([RankRequest(PROMPT, ENDINGS)])
    lines = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert len(lines) == 1
    assert "in 2 of 3 prompts" in lines[0] and "--ranking" in lines[0]
    assert client.count_prefixes(requests) == 2
    ask(tiny_model, "per-byte", *requests)
    assert "warning" not in capsys.readouterr().err


def test_equal_candidates_are_refused_and_the_item_named(tiny_model):
    with pytest.raises(
        UserError, match=r"Item 'q7': .*' no' and ' no' are the same tokens"
    ) as caught:
        ask(tiny_model, "likelihood", RankRequest(PROMPT, (" no", " yes", " no"), "q7"))
    assert "\n" not in str(caught.value)


rows = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=4), max_size=5)


@given(rows)
def test_a_prefix_is_found_wherever_it_stands(rows):
    pairs = [(a, b) for i, a in enumerate(rows) for j, b in enumerate(rows) if i != j]
    assert begins_another(rows) == any(b[: len(a)] == a for a, b in pairs)


def test_neither_order_nor_text_decides_a_tie():
    wins = {"a": 0, "b": 0}
    for item in map(str, range(200)):
        winner = ("a", "b")[likeliest([-1.0, -1.0], ["a", "b"], item)]
        assert winner == ("b", "a")[likeliest([-1.0, -1.0], ["b", "a"], item)]
        wins[winner] += 1
    assert min(wins.values()) > 60
    assert likeliest([-2.0, -1.0, -3.0], ["a", "b", "c"], "0") == 1
    assert [is_tied(s) for s in ([-1, -1, -2], [-1, -2, -2], [-1.0], [])] == [
        True,
        False,
        False,
        False,
    ]


# lengths


def of_length(model, n_tokens):
    """Returns a prompt of a number of tokens."""
    head = len(render(model_tokenizer(model), PROMPT.with_content("a")).token_ids)
    return PROMPT.with_content("a" + " b" * (n_tokens - head))


def test_a_prompt_with_its_longest_candidate_must_fit_into_the_context(tiny_model):
    limit, answers = context_size(tiny_model), (" yes", " yes no yes")
    fitting = of_length(tiny_model, limit - 3)
    assert len(render(model_tokenizer(tiny_model), fitting).token_ids) == limit - 3
    assert np.isfinite(ask(tiny_model, "likelihood", RankRequest(fitting, answers))[0].scores).all()
    asked = RankRequest(of_length(tiny_model, limit - 2), answers, "long-1")
    with pytest.raises(UserError, match=rf"Item 'long-1': .* {limit - 2} tokens .* 3, .* {limit};"):
        ask(tiny_model, "likelihood", RankRequest(PROMPT, answers), asked)


def test_a_prompt_with_the_tokens_to_generate_must_fit_into_the_context(tiny_model):
    limit, client = context_size(tiny_model), ModelClient(tiny_model)
    client.generate([GenerateRequest(of_length(tiny_model, limit - 5), 5)])
    with pytest.raises(UserError, match=rf"Prompt 'a b b.* {limit - 4} tokens .* 5, .* {limit};"):
        client.generate([GenerateRequest(of_length(tiny_model, limit - 4), 5)])


def test_the_context_is_what_transformers_says(tiny_model, monkeypatch):
    assert context_size(tiny_model) == 256
    for wrong in (None, 10**9, 2048):
        monkeypatch.setattr(tiny_model.cfg, "n_ctx", wrong)
        assert context_size(tiny_model) == 256


def test_a_bos_token_without_an_embedding_is_not_used(make_tiny_bridge):
    model = make_tiny_bridge()
    model.tokenizer = copy.deepcopy(model.tokenizer)
    model.tokenizer.chat_template = None
    model.tokenizer.add_special_tokens({"bos_token": "<|a new one|>"})
    assert model.tokenizer.bos_token_id >= model.cfg.d_vocab
    (response,) = ask(model, "likelihood", RankRequest(PROMPT, (" yes", " no")))
    assert np.isfinite(response.scores).all()
    assert model_tokenizer(model).bos_token_id is None
