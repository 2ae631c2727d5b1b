import numpy as np
import pytest
import torch

from saetask.data.rendering import render
from saetask.models.hooks import read_hook
from saetask.saes.metrics import cross_entropy_recovered, measure, reconstruction
from saetask.saes.probe_text import PROBE_TEXTS

# Figures


@pytest.fixture(scope="module")
def lossy_sae(make_tiny_sae):
    """Drops the first two axes, keeps half of the third, and adds a little everywhere."""
    sae = make_tiny_sae()
    with torch.no_grad():
        sae.W_dec[[0, 1, 32, 33]] = 0
        sae.W_dec[[2, 34]] *= 0.5
        sae.b_dec.fill_(0.01)
    return sae


def test_figures_equal_those_computed_by_hand(lossy_sae):
    inputs = np.random.default_rng(0).normal(1, 2, (50, 32)).astype(np.float32)
    inputs[:, 5] = 0  # features 5 and 37: the bias is subtracted, so 37 fires and 5 never does
    batches = [torch.from_numpy(part) for part in (inputs[:7], inputs[7:8], inputs[8:])]
    with torch.inference_mode():
        output = lossy_sae(torch.from_numpy(inputs)).numpy().astype(np.float64)
        features = lossy_sae.encode(torch.from_numpy(inputs)).numpy()
    inputs = inputs.astype(np.float64)
    found = measure(lossy_sae, iter(batches))
    error = ((output - inputs) ** 2).sum()
    assert error > 1
    assert found.normalised_mse == pytest.approx(error / (inputs**2).sum(), rel=1e-5)
    variance = ((inputs - inputs.mean(0)) ** 2).sum()
    assert found.fvu == pytest.approx(error / variance, rel=1e-5)
    assert found.l0 == pytest.approx((features > 0).sum(1).mean())
    assert found.alive_share == pytest.approx((features > 0).any(0).mean())
    assert found.alive_share < 1
    assert found.n_tokens == 50


def test_batching_does_not_change_figures(lossy_sae):
    inputs = torch.randn(40, 32, generator=torch.Generator().manual_seed(0)) + 3
    whole = measure(lossy_sae, iter([inputs]))
    assert measure(lossy_sae, iter(inputs.split(3))) == pytest.approx(whole, rel=1e-6)


def test_an_sae_that_says_the_mean_has_an_fvu_of_1(make_tiny_sae):
    inputs = torch.randn(200, 32, generator=torch.Generator().manual_seed(0)) + 3
    sae = make_tiny_sae()
    with torch.no_grad():
        sae.W_dec.zero_()
        sae.b_dec.copy_(inputs.mean(0))
    found = measure(sae, iter([inputs]))
    assert found.fvu == pytest.approx(1, rel=1e-5)
    assert found.normalised_mse < 0.5


def test_reconstruction_leaves_special_tokens_out(tiny_model, lossy_sae):
    texts = ["The bank of the river.", "Anna went to Oslo<|im_end|> again."]
    special = tiny_model.tokenizer.all_special_ids
    rows = [render(tiny_model.tokenizer, text).token_ids for text in texts]
    assert sum(token in special for row in rows for token in row) == 2  # BOS: typed ones are text
    kept = [
        read_hook(tiny_model, torch.tensor([row]), "blocks.2.hook_resid_post")[0][
            torch.tensor([token not in special for token in row])
        ]
        for row in rows
    ]
    found = reconstruction(tiny_model, lossy_sae, texts)
    assert found.n_tokens == sum(map(len, rows)) - 2
    assert found == pytest.approx(measure(lossy_sae, iter(kept)), rel=1e-5)


# The loss that reconstruction keeps


@pytest.fixture(scope="module")
def probe_rows(tiny_model):
    return [render(tiny_model.tokenizer, text).token_ids for text in (PROBE_TEXTS[0], "Anna went.")]


def test_an_exact_sae_recovers_the_whole_loss(tiny_model, tiny_sae, probe_rows):
    found = cross_entropy_recovered(tiny_model, tiny_sae, probe_rows)
    assert found == pytest.approx(1, abs=1e-3)


def test_an_sae_that_says_zero_recovers_nothing(tiny_model, make_tiny_sae, probe_rows):
    sae = make_tiny_sae()
    with torch.no_grad():
        sae.W_dec.zero_()
    assert cross_entropy_recovered(tiny_model, sae, probe_rows) == pytest.approx(0, abs=1e-3)


def test_the_default_sae_recovers_most_of_the_loss(model, default_sae):
    rows = [render(model.tokenizer, PROBE_TEXTS[0]).token_ids[:40]]
    assert 0.8 < cross_entropy_recovered(model, default_sae, rows) < 1.05
