import pytest
import torch

from saetask.saes import encoding as sae_encoding
from saetask.saes.encoding import (
    encode,
    encode_and_decode,
    encode_rows,
    ordinary_tokens,
    writes_residual,
)
from saetask.saes.extraction import read_features

ALL = torch.ones(6, dtype=torch.bool)


@pytest.fixture
def inputs():
    return torch.randn(6, 32, generator=torch.Generator().manual_seed(0))


# Rows together


@pytest.mark.parametrize("at_once", [1, 64 * 9, 2**25])
def test_rows_encoded_together_are_what_each_is_alone(any_architecture, monkeypatch, at_once):
    monkeypatch.setattr(sae_encoding, "ENTRIES_AT_ONCE", at_once)
    generator = torch.Generator().manual_seed(0)
    rows = [torch.randn(length, 32, generator=generator) for length in (6, 1, 3, 4, 2)]
    kept = [torch.rand(len(row), generator=generator) < 0.7 for row in rows]
    kept[2][:] = False
    found = encode_rows(any_architecture, rows, kept)
    assert len(found) == len(rows)
    for row, mask, sparse in zip(rows, kept, found):
        dense = torch.zeros(len(row), 64)
        with torch.inference_mode():
            dense[mask] = encode(any_architecture, row, mask)
        assert sparse.positions.tolist() == dense.nonzero()[:, 0].tolist()
        assert sparse.features.tolist() == dense.nonzero()[:, 1].tolist()
        again = torch.zeros(len(row), 64)
        again[sparse.positions, sparse.features] = torch.from_numpy(sparse.values)
        torch.testing.assert_close(again, dense, atol=1e-5, rtol=1e-4)


def test_no_rows_encode_to_nothing(make_tiny_sae):
    assert encode_rows(make_tiny_sae(), [], []) == []


# Which positions


def test_ordinary_tokens_are_neither_special_nor_beyond_the_norm_limit(make_tiny_sae):
    tokens = torch.tensor([1, 5, 6, 2, 7])
    activations = torch.tensor([1.0, 2.0, 4.0, 1.0, 3.0])[:, None] * torch.eye(5, 32)
    unlimited = ordinary_tokens(tokens, activations, make_tiny_sae(), {1, 2})
    assert unlimited.tolist() == [False, True, True, False, True]
    limited = ordinary_tokens(tokens, activations, make_tiny_sae(norm_limit=3.0), {1, 2})
    assert limited.tolist() == [False, True, False, False, True]


@pytest.mark.parametrize(
    ("bounds", "context_size", "expected"),
    [
        ([2, None], 128, [2, 3, 4, 5]),
        ([1, 4], 128, [1, 2, 3]),
        ([3], 128, [0, 1, 2]),
        ([None, None, 2], 128, [0, 2, 4]),
        ([1, -2], 6, [1, 2, 3]),
        ([1, -2], 128, [1, 2, 3, 4, 5]),
        ([-3, None], None, [3, 4, 5]),
        ([None], 128, [0, 1, 2, 3, 4, 5]),
        (None, None, [0, 1, 2, 3, 4, 5]),
    ],
)
def test_positions_outside_the_slice_trained_on_are_left_out(
    make_tiny_sae, inputs, bounds, context_size, expected
):
    sae = make_tiny_sae(seqpos_slice=bounds, context_size=context_size)
    kept = ordinary_tokens(torch.arange(10, 16), inputs, sae, {1})
    assert kept.nonzero()[:, 0].tolist() == expected


def test_nothing_fires_outside_the_slice(tiny_model, make_tiny_sae):
    text = "The bank of the river was steep."
    whole = read_features(tiny_model, make_tiny_sae(), [text])
    sliced = read_features(tiny_model, make_tiny_sae(seqpos_slice=[3, 5]), [text])
    assert {firing.token for firing in sliced.firings()} == {3, 4}
    assert list(sliced.firings()) == [f for f in whole.firings() if f.token in (3, 4)]


def test_running_text_begins_with_bos_only_if_the_saes_training_text_did(tiny_model, make_tiny_sae):
    readings = {
        bos: read_features(tiny_model, make_tiny_sae(prepend_bos=bos), ["The bank of the river."])
        for bos in (True, False, None)
    }
    tokens = {bos: reading.prompts[0].token_ids for bos, reading in readings.items()}
    assert tokens[True] == tokens[None] == [1, *tokens[False]]
    assert next(readings[True].firings()).token == 1
    assert next(readings[False].firings()).token == 0


# Attention heads


def test_an_sae_for_attention_heads_takes_them_flattened(make_tiny_sae, inputs):
    """SAE-Lens's `hook_z` SAEs take `[..., head, d_head]`; a live one must work so afterwards."""
    plain, sae = make_tiny_sae(), make_tiny_sae(hook_name="blocks.1.attn.hook_z")
    sae.turn_on_forward_pass_hook_z_reshaping()
    sae.cfg.reshape_activations = "hook_z"
    heads = inputs.unflatten(-1, (4, 8))
    torch.testing.assert_close(sae(heads), heads)
    features, output = encode_and_decode(sae, inputs, ALL)
    torch.testing.assert_close(features, plain.encode(inputs))
    torch.testing.assert_close(output, inputs)
    torch.testing.assert_close(sae(heads), heads)


def test_an_sae_for_one_head_reads_that_head(tiny_model, make_tiny_sae):
    name = "blocks.1.attn.hook_z"
    one = read_features(
        tiny_model, make_tiny_sae(d_in=8, hook_name=name, hook_head_index=2), ["A bank."]
    )
    every = read_features(tiny_model, make_tiny_sae(hook_name=name), ["A bank."])
    expected = [
        (f.token, f.feature % 32 - 16 + 8 * (f.feature >= 32), f.value)
        for f in every.firings()
        if 16 <= f.feature % 32 < 24
    ]
    assert sorted((f.token, f.feature, f.value) for f in one.firings()) == sorted(expected)


def test_only_directions_of_the_residual_stream_are_labelled(make_tiny_sae):
    assert writes_residual(make_tiny_sae(), 32)
    assert writes_residual(make_tiny_sae(hook_name="blocks.1.hook_mlp_out"), 32)
    assert not writes_residual(make_tiny_sae(hook_name="blocks.1.attn.hook_z"), 32)
    assert not writes_residual(make_tiny_sae(d_in=64, hook_name="blocks.1.mlp.hook_post"), 32)


# Architectures with ways of their own


def test_features_of_two_directions_keep_their_sign(tiny_model):
    from sae_lens import AbsTopKSAE, AbsTopKSAEConfig
    from sae_lens.saes.sae import SAEMetadata

    metadata = SAEMetadata(hook_name="blocks.2.hook_resid_post")
    sae = AbsTopKSAE(AbsTopKSAEConfig(32, 32, k=32, metadata=metadata))
    with torch.no_grad():
        sae.W_enc.copy_(torch.eye(32))
        sae.W_dec.copy_(torch.eye(32))
    reading = read_features(tiny_model, sae, ["The bank of the river."])
    assert (reading.values < 0).any()
    strongest = reading.top(3)
    assert [abs(f.value) for f in strongest] == sorted(abs(f.value) for f in strongest)[::-1]
    assert abs(strongest[0].value) == abs(reading.values).max()
    by_hand: dict[int, float] = {}
    for firing in reading.firings():
        if abs(firing.value) > abs(by_hand.get(firing.feature, 0)):
            by_hand[firing.feature] = firing.value
    pooled = reading.pooled().toarray()[0]
    assert {int(i): float(pooled[i]) for i in pooled.nonzero()[0]} == by_hand


def test_a_temporal_sae_sees_the_whole_row(inputs):
    """Positions that are left out are still context; dropping them would change the others."""
    from sae_lens import TemporalSAE, TemporalSAEConfig

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = TemporalSAEConfig(32, 64, n_heads=4, bottleneck_factor=2, kval_topk=8)
        sae = TemporalSAE(config).eval()
    kept = torch.tensor([False, True, False, True, True, True])
    with torch.inference_mode():
        expected, output = sae.encode(inputs[None])[0], sae(inputs[None])[0]
        torch.testing.assert_close(encode(sae, inputs, kept), expected[kept])
        torch.testing.assert_close(encode_and_decode(sae, inputs, kept)[1], output[kept])
        assert not torch.allclose(sae.encode(inputs[None, kept])[0], expected[kept])


def test_an_error_term_does_not_make_a_live_saes_reconstruction_exact(make_tiny_sae, inputs):
    sae = make_tiny_sae()
    with torch.no_grad():
        sae.W_dec[[0, 32]] = 0
    sae.use_error_term = True
    output = encode_and_decode(sae, inputs, ALL)[1]
    assert not output[:, 0].any()
