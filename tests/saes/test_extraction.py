import re
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

import saetask.saes.extraction
from saetask.data.prompts import Prompt, Span, as_prompt
from saetask.data.rendering import render
from saetask.errors import UserError
from saetask.inference.client import ModelClient
from saetask.inference.requests import GenerateRequest, RankRequest
from saetask.models.loading import context_size
from saetask.saes.activations import FeatureActivations
from saetask.saes.extraction import extract_features, extract_features_from_passes, read_features
from saetask.saes.random_sae import random_sae
from tests.helpers.refusals import refusal

PROMPTS = [
    "The bank of the river was green.",
    as_prompt("Is the bank of the river a place to put money? 🦔"),
    Prompt([{"role": "user", "content": "Anna went to Oslo."}], "She"),
    "Spring.",
]


def dense(activations):
    """`[n_tokens, d_sae]`"""
    matrix = np.zeros((len(activations.indptr) - 1, activations.d_sae), np.float32)
    rows = np.repeat(np.arange(len(matrix)), np.diff(activations.indptr))
    matrix[rows, activations.features] = activations.values
    return matrix


def assert_same_reading(a, b):
    """Equal up to float32 noise, which may swap near-ties at the end of a token's top k."""
    assert [p.token_ids for p in a.prompts] == [p.token_ids for p in b.prompts]
    for one, other in zip(dense(a), dense(b), strict=True):
        both, either = (one > 0) & (other > 0), (one > 0) | (other > 0)
        np.testing.assert_allclose(one[both], other[both], rtol=1e-3, atol=1e-3)
        assert both.sum() >= 0.95 * either.sum()


class Pair(NamedTuple):
    """A model, and an SAE that fits it."""

    model: Any
    sae: Any


@pytest.fixture(scope="module", params=["tiny", pytest.param("default", marks=pytest.mark.slow)])
def pair(request):
    """The tiny model with its SAE, and the default ones."""
    names = {"tiny": ("tiny_model", "tiny_sae"), "default": ("model", "default_sae")}
    return Pair(*map(request.getfixturevalue, names[request.param]))


@pytest.fixture(scope="module")
def reading(pair):
    return read_features(*pair, PROMPTS)


# Reading


def test_a_batch_is_read_like_each_prompt_alone(pair, reading):
    for item, prompt in enumerate(PROMPTS):
        assert_same_reading(read_features(*pair, [prompt]), reading[item])


def test_small_batches_give_the_same_reading(monkeypatch, pair, reading):
    monkeypatch.setattr(saetask.saes.extraction, "TOKENS_PER_BATCH", 20)
    lengths = [len(p.token_ids) for p in reading.prompts]
    assert lengths != sorted(lengths), "the prompts must come back in their own order"
    assert_same_reading(read_features(*pair, PROMPTS), reading)


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_tokenizers_padding_side_changes_nothing(monkeypatch, pair, reading, side):
    monkeypatch.setattr(pair.model.tokenizer, "padding_side", side)
    assert_same_reading(read_features(*pair, PROMPTS), reading)


def test_a_reading_equals_encoding_the_cached_activations_token_by_token(pair, reading):
    alias = pair.sae.cfg.metadata.hook_name
    block = re.fullmatch(r"blocks\.(\d+)\.hook_resid_post", alias)[1]
    canonical = f"blocks.{block}.hook_out"
    special = pair.model.tokenizer.all_special_ids
    norm_limit = pair.sae.cfg.metadata.norm_limit or float("inf")
    for item in (0, 1):
        rendered = reading.prompts[item]
        with torch.inference_mode():
            _, cache = pair.model.run_with_cache(torch.tensor([rendered.token_ids]))
        matrix = np.zeros((len(rendered.token_ids), pair.sae.cfg.d_sae), np.float32)
        for token, activation in enumerate(cache[canonical][0]):
            if rendered.token_ids[token] not in special and activation.norm() <= norm_limit:
                with torch.inference_mode():
                    matrix[token] = pair.sae.encode(activation[None])[0].numpy()
        features = [np.flatnonzero(row > 0) for row in matrix]
        twin = FeatureActivations(
            [rendered],
            pair.sae.cfg.d_sae,
            np.cumsum([0, *map(len, features)]),
            np.concatenate(features),
            matrix[matrix > 0],
        )
        assert_same_reading(reading[item], twin)


def test_special_tokens_have_no_firings_and_ordinary_ones_have(pair, reading):
    ids = [token for prompt in reading.prompts for token in prompt.token_ids]
    special = np.isin(ids, pair.model.tokenizer.all_special_ids)
    counts = np.diff(reading.indptr)
    assert special.sum() >= 2
    assert not counts[special].any()
    assert (counts[~special] > 0).mean() > 0.9


def test_tokens_beyond_the_saes_norm_limit_have_no_firings(tiny_model, make_tiny_sae):
    prompts = ["The bank of the river was green."]
    everything = read_features(tiny_model, make_tiny_sae(), prompts)
    norms = np.linalg.norm(dense(everything), axis=1)  # its SAE keeps the norm
    limit = float(np.median(norms[1:]))
    limited = read_features(tiny_model, make_tiny_sae(norm_limit=limit), prompts)
    kept = np.diff(limited.indptr) > 0
    np.testing.assert_array_equal(kept[1:], norms[1:] <= limit)
    assert kept.any()
    np.testing.assert_allclose(dense(limited)[kept], dense(everything)[kept], rtol=1e-5)


def test_a_reading_is_sound_csr(reading, pair):
    assert reading.d_sae == pair.sae.cfg.d_sae
    assert len(reading.indptr) == 1 + sum(len(p.token_ids) for p in reading.prompts)
    assert reading.indptr[0] == 0
    assert reading.indptr[-1] == len(reading.features) == len(reading.values)
    assert (np.diff(reading.indptr) >= 0).all()
    assert (reading.values > 0).all()
    assert reading.features.dtype == np.int32
    assert reading.values.dtype == np.float32
    for low, high in pairwise(reading.indptr):
        assert (np.diff(reading.features[low:high]) > 0).all(), "a feature fires once on a token"


def test_no_prompts_give_an_empty_reading(tiny_model, tiny_sae):
    empty = read_features(tiny_model, tiny_sae, [])
    assert len(empty) == 0
    assert list(empty.firings()) == empty.top() == []
    assert empty.pooled().shape == (0, tiny_sae.cfg.d_sae)


def test_one_prompt_is_read_as_a_list_of_one(tiny_model, tiny_sae):
    for prompt in ("The bank of the river.", as_prompt("The bank of the river.")):
        one, listed = (read_features(tiny_model, tiny_sae, p) for p in (prompt, [prompt]))
        assert len(one) == 1
        assert list(one.firings()) == list(listed.firings())


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize(
    "wrong",
    [
        {"role": "user", "content": "Hi"},
        [{"role": "user", "content": "Hi"}],
        {"a"},
        None,
        [None],
        b"Hi",
        [b"Hi"],
        3,
        [["Hi"]],
    ],
    ids=repr,
)
def test_what_is_no_prompt_is_refused_in_one_line(tiny_model, tiny_sae, wrong, chat):
    assert "give a string, a saetask" in refusal(read_features, tiny_model, tiny_sae, wrong, chat)


def test_an_iterator_of_prompts_is_read_as_a_list(tiny_model, tiny_sae):
    texts = ["one", "two"]
    assert len(read_features(tiny_model, tiny_sae, iter(texts)).prompts) == 2


def test_a_prompt_beyond_the_models_context_is_refused(tiny_model, tiny_sae):
    fitting = "a" + " b" * (context_size(tiny_model) - 2)
    assert len(read_features(tiny_model, tiny_sae, [fitting]).prompts[0].token_ids) == 256
    with pytest.raises(UserError, match=r"257 tokens.*256"):
        read_features(tiny_model, tiny_sae, ["short", fitting + " b"])


# Several SAEs at once


def test_reading_together_equals_reading_through_one_sae_at_a_time(
    monkeypatch, tiny_model, make_tiny_sae
):
    monkeypatch.setattr(saetask.saes.extraction, "TOKENS_PER_BATCH", 60)
    saes = [make_tiny_sae(), random_sae(tiny_model, make_tiny_sae(), [], 3)]
    together = extract_features(tiny_model, saes, PROMPTS)
    for sae, found in zip(saes, together.features, strict=True):
        alone = read_features(tiny_model, sae, PROMPTS)
        assert [p.token_ids for p in found.prompts] == [p.token_ids for p in alone.prompts]
        np.testing.assert_array_equal(dense(found), dense(alone))
    assert not np.array_equal(*(dense(found) for found in together.features))


def test_raw_means_equal_those_over_a_regions_ordinary_tokens_one_prompt_at_a_time(
    tiny_model, tiny_sae
):
    prompts = [prompt if isinstance(prompt, Prompt) else as_prompt(prompt) for prompt in PROMPTS]
    prompts = [
        replace(p, spans={"text": Span(0, len(p.content)), "none": Span(0, 0)}) for p in prompts
    ]
    found = extract_features(tiny_model, [tiny_sae], prompts)
    special = tiny_model.tokenizer.all_special_ids
    for prompt, means in zip(prompts, found.raw, strict=True):
        rendered = render(tiny_model.tokenizer, prompt)
        with torch.inference_mode():
            _, cache = tiny_model.run_with_cache(torch.tensor([rendered.token_ids]))
        rows = cache["blocks.2.hook_out"][0].numpy()
        assert means.keys() == rendered.regions.keys() == {"text", "end", "none", "answer"}
        for name, region in rendered.regions.items():
            places = [t for t in rendered.tokens_in(region) if rendered.token_ids[t] not in special]
            expected = rows[places].mean(0) if places else np.zeros(rows.shape[1])
            np.testing.assert_allclose(means[name], expected, rtol=1e-4, atol=1e-5)
        assert not means["none"].any() and means["text"].any()


def test_raw_means_leave_out_tokens_beyond_the_saes_norm_limit(tiny_model, make_tiny_sae):
    prompt = as_prompt("The bank of the river was green.")
    everything = extract_features(tiny_model, [make_tiny_sae()], [prompt])
    norms = np.linalg.norm(dense(everything.features[0]), axis=1)  # its SAE keeps the norm
    limit = float(np.median(norms[norms > 0]))
    limited = extract_features(tiny_model, [make_tiny_sae(norm_limit=limit)], [prompt])
    signed = dense(limited.features[0])  # axes and their opposites: the activations themselves
    rows = signed[:, :32] - signed[:, 32:]
    rendered = render(tiny_model.tokenizer, prompt)
    places = [t for t in rendered.tokens_in(rendered.regions["text"]) if rows[t].any()]
    assert 0 < len(places) < len(rendered.tokens_in(rendered.regions["text"]))
    np.testing.assert_allclose(limited.raw[0]["text"], rows[places].mean(0), rtol=1e-4, atol=1e-4)


# Reading while the model is asked


def asking(model, prompt, candidates):
    """Returns a function that asks about a prompt, once: the answer is kept."""
    client = ModelClient(model)
    if candidates:
        return partial(client.rank, [RankRequest(prompt, candidates)])
    return partial(client.generate, [GenerateRequest(prompt, 3)])


@pytest.mark.parametrize("candidates", [(" yes", " no, never", " no"), ()])
@pytest.mark.parametrize("trees", [True, False])
def test_the_pass_that_asks_gives_the_same_reading(
    monkeypatch, tiny_model, tiny_sae, candidates, trees
):
    prompt = Prompt([{"role": "user", "content": "Is the bank green?"}], "She says")
    expected = extract_features(tiny_model, [tiny_sae], [prompt])
    monkeypatch.setattr("saetask.inference.likelihood.supports_token_trees", lambda model: trees)
    ask = asking(tiny_model, prompt, candidates)
    with monkeypatch.context() as patch:
        patch.setattr("saetask.saes.extraction.read_hook", None)  # no pass of its own
        found = extract_features_from_passes(ask, tiny_model, [tiny_sae], prompt)
    assert_same_reading(found.features[0], expected.features[0])
    assert found.raw[0].keys() == expected.raw[0].keys()
    for name, mean in expected.raw[0].items():
        np.testing.assert_allclose(found.raw[0][name], mean, rtol=1e-3, atol=1e-4)


def test_where_the_answer_is_known_the_prompt_is_read_by_a_pass_of_its_own(tiny_model, tiny_sae):
    prompt = as_prompt("Is the bank green?")
    ask = asking(tiny_model, prompt, (" yes", " no"))
    ask()
    found = extract_features_from_passes(ask, tiny_model, [tiny_sae], prompt)
    alone = read_features(tiny_model, tiny_sae, [prompt])
    np.testing.assert_array_equal(dense(found.features[0]), dense(alone))


def test_top_of_a_real_reading_is_its_strongest_value(reading):
    top = reading.top(5)
    assert top[0].value == reading.values.max()
    assert all(f.text == reading.prompts[f.item].text[slice(*f.span)] for f in top)
