"""The statistic by which two ways of using an SAE are compared."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from saetask.saes.probe_text import PROBE_TEXTS, PROBE_TOKENS, probe_rows
from saetask.saes.usage import FLOOR, TokenErrors, Usage, compare, constant, thinned, token_errors

SEEDS = st.integers(0, 2**32 - 1)


def random_errors(seed, rows=8, positions=12, kept=0.8):
    rng = np.random.default_rng(seed)
    values = rng.gamma(2, 1, (3, rows, positions))
    values[:, rng.random((rows, positions)) > kept] = math.nan
    return TokenErrors(*torch.from_numpy(values))


@given(seed=SEEDS)
def test_the_comparison_is_that_of_a_loop_over_texts_and_tokens(seed):
    own, other = random_errors(seed), random_errors(seed + 1)
    means = []
    for row in range(8):
        ratios = []
        for position in range(12):
            shares = [e.error[row, position] / e.deviation[row, position] for e in (own, other)]
            if not any(share.isnan() for share in shares):
                ratios.append(math.log((shares[1] + FLOOR) / (shares[0] + FLOOR)))
        if ratios:
            means.append(np.mean(ratios))
    found = compare(own, other)
    assert found.log_ratio == pytest.approx(np.mean(means))
    assert found.standard_error == pytest.approx(np.std(means, ddof=1) / len(means) ** 0.5)


@given(seed=SEEDS)
def test_a_use_is_as_good_as_itself_and_the_order_reverses_the_sign(seed):
    own, other = random_errors(seed), random_errors(seed + 1)
    assert compare(own, own) == pytest.approx((0, 0), abs=1e-12)
    forward, back = compare(own, other), compare(other, own)
    assert forward.log_ratio == pytest.approx(-back.log_ratio)
    assert forward.standard_error == pytest.approx(back.standard_error)


def test_one_token_of_huge_error_or_variance_decides_nothing():
    """With pooled sums it would: that is how an attention sink once refused a good SAE."""
    own = random_errors(0, kept=1)
    other = own._replace(error=own.error * 1.2)
    spiked = other._replace(deviation=other.deviation.clone())
    spiked.deviation[0, 0] *= 1e6
    assert spiked.fvu < own.fvu / 10
    assert compare(own, spiked).log_ratio > 0


def test_too_few_texts_decide_nothing():
    own = random_errors(0, rows=2)
    found = compare(own, own._replace(error=own.error / 100))
    assert found.log_ratio < 0 and not found.below(0, 3)


def test_rows_of_other_length_are_compared_at_their_ends():
    """A row without BOS is one shorter, and its tokens are those at the end."""
    own = random_errors(0, kept=1)
    shorter = TokenErrors(*(part[:, 1:] for part in own))
    assert compare(own, shorter) == pytest.approx((0, 0), abs=1e-12)


def test_the_mean_leaves_all_of_the_variance():
    own = random_errors(0)
    assert constant(own).fvu == pytest.approx(1)


def test_a_reconstruction_that_is_not_a_number_has_no_finite_figure(make_tiny_sae):
    sae = make_tiny_sae()
    with torch.no_grad():
        sae.b_dec[0] = math.nan
    inputs = torch.randn(3, 5, 32)
    found = token_errors(sae, Usage(inputs, inputs, torch.ones(3, 5, dtype=torch.bool)))
    assert math.isnan(found.fvu)


def test_a_position_is_reconstructed_by_its_strongest_features(make_tiny_sae):
    """Strength is what a feature adds: the decoder's vectors differ in length."""
    sae = make_tiny_sae()
    with torch.no_grad():
        sae.W_enc[:, ::2] *= 10
        sae.W_dec[::2] /= 10
    inputs = torch.randn(3, 5, 32, generator=torch.Generator().manual_seed(0))
    kept = torch.ones(3, 5, dtype=torch.bool)
    kept[0, 0] = False
    most = torch.arange(15.0).reshape(3, 5)
    most[0, 0] = math.nan
    found = token_errors(sae, Usage(inputs, inputs, kept), most)
    for row, position in kept.nonzero().tolist():
        rest = inputs[row, position].pow(2).sort(descending=True).values[int(most[row, position]) :]
        assert found.error[row, position].item() == pytest.approx(rest.sum().item(), rel=1e-4)
    assert found.error[0, 0].isnan()


def test_a_limit_that_no_position_reaches_changes_nothing(tiny_sae):
    inputs = torch.randn(3, 5, 32)
    whole = Usage(inputs, inputs, torch.ones(3, 5, dtype=torch.bool))
    plain, limited = (
        token_errors(tiny_sae, whole),
        token_errors(tiny_sae, whole, torch.full((3, 5), 99)),
    )
    assert limited.fvu == pytest.approx(plain.fvu, abs=1e-9)


def test_thinning_keeps_tokens_of_every_text():
    inputs = torch.zeros(8, 49, 2)
    kept = torch.ones(8, 49, dtype=torch.bool)
    kept[:, 0] = False
    few = thinned(Usage(inputs, inputs, kept), 24).kept
    assert few.sum() == 24 and few.any(1).all() and not few[:, 0].any()


# Probe texts


@pytest.mark.parametrize("bos", [True, False])
def test_every_probe_text_is_a_row_of_equal_length(tiny_model, bos):
    rows = probe_rows(tiny_model, bos)
    tokenizer = tiny_model.tokenizer
    assert {len(row) for row in rows} == {PROBE_TOKENS + bos}
    for row, text in zip(rows, PROBE_TEXTS):
        assert (row[0] == tokenizer.bos_token_id) == bos
        assert text.startswith(tokenizer.decode(row[int(bos) :])[:40])


def test_a_short_context_cuts_the_rows(hooked_transformer, monkeypatch):
    monkeypatch.setattr("saetask.saes.probe_text.context_size", lambda model: 16)
    assert {len(row) for row in probe_rows(hooked_transformer, bos=True)} == {16}


def test_short_texts_are_continued_by_the_next(tiny_model, monkeypatch):
    monkeypatch.setattr("saetask.saes.probe_text.PROBE_TEXTS", ("a b c", "d e", "f g"))
    rows = probe_rows(tiny_model, bos=False)
    assert len(rows) == 3 and len({len(row) for row in rows}) == 1
    assert len({tuple(row) for row in rows}) == 3
