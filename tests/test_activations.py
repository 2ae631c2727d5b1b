import html
import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import saetask.activations
from saetask.activations import FeatureActivations, read_features, read_together
from saetask.dictionary.controls import random_sae
from saetask.errors import UserError
from saetask.models import context_size
from saetask.prompts import Prompt, RenderedPrompt, Span, as_prompt, render

few = settings(max_examples=40, deadline=None)

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


@pytest.fixture(scope="module")
def reading(model, default_sae):
    return read_features(model, default_sae, PROMPTS)


# Reading


def test_a_batch_is_read_like_each_prompt_alone(model, default_sae, reading):
    for item, prompt in enumerate(PROMPTS):
        assert_same_reading(read_features(model, default_sae, [prompt]), reading[item])


def test_small_batches_give_the_same_reading(monkeypatch, model, default_sae, reading):
    monkeypatch.setattr(saetask.activations, "TOKENS_PER_BATCH", 20)
    lengths = [len(p.token_ids) for p in reading.prompts]
    assert len(list(saetask.activations._batches_by_length(reading.prompts))) > 1
    assert lengths != sorted(lengths), "the prompts must come back in their own order"
    assert_same_reading(read_features(model, default_sae, PROMPTS), reading)


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_tokenizers_padding_side_changes_nothing(
    monkeypatch, model, default_sae, reading, side
):
    monkeypatch.setattr(model.tokenizer, "padding_side", side)
    assert_same_reading(read_features(model, default_sae, PROMPTS), reading)


def test_a_reading_equals_encoding_the_cached_activations_token_by_token(
    model, default_sae, reading
):
    alias = default_sae.cfg.metadata.hook_name
    block = re.fullmatch(r"blocks\.(\d+)\.hook_resid_post", alias)[1]
    canonical = f"blocks.{block}.hook_out"
    special = model.tokenizer.all_special_ids
    norm_limit = default_sae.cfg.metadata.norm_limit or float("inf")
    for item in (0, 1):
        rendered = reading.prompts[item]
        with torch.inference_mode():
            _, cache = model.run_with_cache(torch.tensor([rendered.token_ids]))
        matrix = np.zeros((len(rendered.token_ids), default_sae.cfg.d_sae), np.float32)
        for token, activation in enumerate(cache[canonical][0]):
            if rendered.token_ids[token] not in special and activation.norm() <= norm_limit:
                with torch.inference_mode():
                    matrix[token] = default_sae.encode(activation[None])[0].numpy()
        features = [np.flatnonzero(row > 0) for row in matrix]
        twin = FeatureActivations(
            [rendered],
            default_sae.cfg.d_sae,
            np.cumsum([0, *map(len, features)]),
            np.concatenate(features),
            matrix[matrix > 0],
        )
        assert_same_reading(reading[item], twin)


def test_special_tokens_have_no_firings_and_ordinary_ones_have(model, reading):
    ids = [token for prompt in reading.prompts for token in prompt.token_ids]
    special = np.isin(ids, model.tokenizer.all_special_ids)
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


def test_a_reading_is_sound_csr(reading, default_sae):
    assert reading.d_sae == default_sae.cfg.d_sae
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


def test_a_prompt_beyond_the_models_context_is_refused(tiny_model, tiny_sae):
    fitting = "a" + " b" * (context_size(tiny_model) - 2)
    assert len(read_features(tiny_model, tiny_sae, [fitting]).prompts[0].token_ids) == 256
    with pytest.raises(UserError, match=r"257 tokens.*256"):
        read_features(tiny_model, tiny_sae, ["short", fitting + " b"])


# Several SAEs at once


def test_reading_together_equals_reading_through_one_sae_at_a_time(
    monkeypatch, tiny_model, make_tiny_sae
):
    monkeypatch.setattr(saetask.activations, "TOKENS_PER_BATCH", 60)
    saes = [make_tiny_sae(), random_sae(tiny_model, make_tiny_sae(), [], 3)]
    together = read_together(tiny_model, saes, PROMPTS)
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
    found = read_together(tiny_model, [tiny_sae], prompts)
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
    everything = read_together(tiny_model, [make_tiny_sae()], [prompt])
    norms = np.linalg.norm(dense(everything.features[0]), axis=1)  # its SAE keeps the norm
    limit = float(np.median(norms[norms > 0]))
    limited = read_together(tiny_model, [make_tiny_sae(norm_limit=limit)], [prompt])
    signed = dense(limited.features[0])  # axes and their opposites: the activations themselves
    rows = signed[:, :32] - signed[:, 32:]
    rendered = render(tiny_model.tokenizer, prompt)
    places = [t for t in rendered.tokens_in(rendered.regions["text"]) if rows[t].any()]
    assert 0 < len(places) < len(rendered.tokens_in(rendered.regions["text"]))
    np.testing.assert_allclose(limited.raw[0]["text"], rows[places].mean(0), rtol=1e-4, atol=1e-4)


# Looking at a reading: random sparse ones, without a model


@st.composite
def random_activations(draw):
    d_sae = draw(st.integers(1, 6))
    prompts, rows = [], []
    for _ in range(draw(st.integers(1, 4))):
        words = draw(st.lists(st.sampled_from(["ab", "c", " dé", "<b>", "\n"]), min_size=1))
        ends = np.cumsum([0, *map(len, words)])
        spans = [Span(int(a), int(b)) for a, b in pairwise(ends)]
        part = sorted(draw(st.tuples(*[st.integers(0, int(ends[-1]))] * 2)))
        ids = list(range(len(words)))
        prompts.append(RenderedPrompt("".join(words), ids, spans, {"part": Span(*part)}))
        feature_sets = st.sets(st.integers(0, d_sae - 1))
        rows += [sorted(draw(feature_sets)) for _ in words]
    indptr = np.cumsum([0, *map(len, rows)])
    features = np.array([feature for row in rows for feature in row], np.int32)
    strengths = st.floats(0.125, 64, width=32)
    values = draw(st.lists(strengths, min_size=len(features), max_size=len(features)))
    return FeatureActivations(prompts, d_sae, indptr, features, np.array(values, np.float32))


@few
@given(random_activations())
def test_firings_are_the_csr_rows_with_their_text(activations):
    expected = []
    token_of_all = 0
    for item, prompt in enumerate(activations.prompts):
        for token, span in enumerate(prompt.token_spans):
            low, high = activations.indptr[token_of_all : token_of_all + 2]
            text = prompt.text[span.start : span.end]
            expected += [
                (item, token, span, text, feature, value)
                for feature, value in zip(
                    activations.features[low:high].tolist(), activations.values[low:high].tolist()
                )
            ]
            token_of_all += 1
    assert list(activations.firings()) == expected


@few
@given(random_activations(), st.sampled_from(["max", "sum"]), st.sampled_from([None, "part"]))
def test_pooling_equals_a_plain_loop(activations, how, region):
    expected = np.zeros((len(activations), activations.d_sae))
    for firing in activations.firings():
        prompt = activations.prompts[firing.item]
        if region is None or firing.span.overlaps(prompt.regions[region]):
            place = firing.item, firing.feature
            total = expected[place] + firing.value
            expected[place] = total if how == "sum" else max(expected[place], firing.value)
    pooled = activations.pooled(region, how)
    assert pooled.dtype == np.float32
    np.testing.assert_allclose(pooled.toarray(), expected, rtol=1e-5)


@few
@given(random_activations())
def test_density_counts_tokens_of_the_given_items(activations):
    last = len(activations) - 1
    expected = np.zeros(activations.d_sae)
    for firing in activations.firings():
        expected[firing.feature] += firing.item in (0, last)
    np.testing.assert_array_equal(activations.density(sorted({0, last})), expected)


@few
@given(random_activations())
def test_an_item_is_the_firings_of_its_prompt(activations):
    alone = [activations[item] for item in range(len(activations))]
    assert [list(a.prompts) for a in alone] == [[prompt] for prompt in activations.prompts]
    firings = [f._replace(item=item) for item, a in enumerate(alone) for f in a.firings()]
    assert firings == list(activations.firings())
    assert all(a.indptr[0] == 0 and a.indptr[-1] == len(a.values) for a in alone)


@few
@given(random_activations())
def test_items_are_counted_from_the_end_and_end_where_they_end(activations):
    assert [list(a.firings()) for a in activations] == [
        list(activations[item].firings()) for item in range(len(activations))
    ]
    last = activations[len(activations) - 1]
    assert list(activations[-1].firings()) == list(last.firings())
    with pytest.raises(IndexError):
        activations[len(activations)]


@few
@given(random_activations(), st.data())
def test_at_gives_the_firings_of_overlapping_tokens_only(activations, data):
    item = data.draw(st.integers(0, len(activations) - 1))
    length = len(activations.prompts[item].text)
    start, end = sorted(data.draw(st.tuples(st.integers(0, length), st.integers(0, length))))
    wanted = set(range(start, end))
    expected = [f for f in activations.firings() if f.item == item and wanted & set(range(*f.span))]
    assert activations.at(Span(start, end), item) == expected


@few
@given(random_activations(), st.integers(1, 30), st.sampled_from([None, "part"]))
def test_top_gives_the_strongest_firings_and_each_feature_of_an_item_once(activations, k, region):
    top = activations.top(k, region)
    assert [f.value for f in top] == sorted((f.value for f in top), reverse=True)
    strongest = {}
    for f in activations.firings():
        if region is None or f.span.overlaps(activations.prompts[f.item].regions[region]):
            strongest[f.item, f.feature] = max(f.value, strongest.get((f.item, f.feature), 0))
    assert len(top) == min(k, len(strongest))
    assert all(strongest.pop((f.item, f.feature)) == f.value for f in top)
    assert all(value <= top[-1].value for value in strongest.values())
    assert set(top) <= set(activations.firings())


def test_top_of_a_real_reading_is_its_strongest_value(reading):
    top = reading.top(5)
    assert top[0].value == reading.values.max()
    assert all(f.text == reading.prompts[f.item].text[slice(*f.span)] for f in top)


# As HTML


def shown_text(rendered_html):
    """The text a reader sees, with line breaks as they were."""
    return html.unescape(re.sub("<[^>]*>", "", rendered_html.replace("↵<br>", "\n")))


def test_html_escapes_the_prompt(tiny_model, tiny_sae):
    text = "a <script>alert('x')</script> & \"b\" 'c'"
    shown = read_features(tiny_model, tiny_sae, [text])._repr_html_()
    assert "<" not in re.sub("</?(p|span)( [^<>]*)?>", "", shown)
    assert shown_text(shown) == text


@pytest.mark.parametrize("spans", [[Span(0, 8)], [], [Span(8, 9)], [Span(0, 1)]])
def test_html_escapes_a_tag_within_a_token_and_between_tokens(spans):
    rendered = RenderedPrompt("<script>x", [0] * len(spans), spans, {})
    none = np.empty(0, np.int32)
    reading = FeatureActivations([rendered], 9, np.zeros(len(spans) + 1, int), none, none * 1.0)
    shown = reading._repr_html_()
    assert "<script>" not in shown
    assert shown_text(shown) == "<script>x"


@pytest.mark.parametrize(
    "text",
    [
        "two  blanks\n\nand a 🦔, é, 漢字 and שלום",
        "👩‍👩‍👧‍👦🦔🦔",
        " blank at both ends ",
        "the vocabulary lacks this at the \x1d end\x1d",
        "\x04",
    ],
)
@pytest.mark.parametrize("chat", [True, False])
def test_html_has_every_character_of_the_text_once(tiny_model, tiny_sae, text, chat):
    reading = read_features(tiny_model, tiny_sae, [as_prompt(text) if chat else text])
    assert shown_text(reading._repr_html_()) == reading.prompts[0].text


def test_html_names_the_features_of_a_token_strongest_first(tokenizer):
    rendered = render(tokenizer, "Oslo is")
    values = np.array([1, 4, 2], np.float32)
    indptr = np.array([0, 0, 3, *[3] * (len(rendered.token_ids) - 2)])
    reading = FeatureActivations([rendered], 99, indptr, np.array([3, 7, 90], np.int32), values)
    shown = reading._repr_html_()
    assert "title='feature 7: 4.00&#10;feature 90: 2.00&#10;feature 3: 1.00'" in shown
    assert shown.count("feature ") == 3
