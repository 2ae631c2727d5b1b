"""Other uses of an SAE: what counts as a better one where more features are active."""

import pytest
import torch
from sae_lens import JumpReLUSAE, JumpReLUSAEConfig

from saetask.saes.alternatives import rescaled
from saetask.saes.fit import BETTER, N_ERRORS
from saetask.saes.usage import Usage, compare, token_errors

THRESHOLD = 1.0


def axes_sae(bias=0.0, threshold=THRESHOLD):
    """A JumpReLU SAE whose features are the axes and their opposites, and pass a threshold."""
    sae = JumpReLUSAE(JumpReLUSAEConfig(d_in=32, d_sae=64, dtype="float32", device="cpu"))
    axes = torch.cat([torch.eye(32), -torch.eye(32)])
    with torch.no_grad():
        sae.W_dec.copy_(axes)
        sae.W_enc.copy_(axes.T)
        sae.b_enc.zero_()
        sae.b_dec.fill_(bias)
        sae.threshold.fill_(threshold)
    return sae.eval()


def usage(scale=1.0, bias=0.0):
    inputs = torch.randn(8, 20, 32, generator=torch.Generator().manual_seed(0)) + bias
    return Usage(inputs * scale, inputs * scale, torch.ones(8, 20, dtype=torch.bool))


def better(sae, own):
    """Returns the other scales that count as better, by description."""
    errors = token_errors(sae, own)
    trials = {other.description: other.against(sae, errors) for other in rescaled(sae, own)}
    return {n for n, trial in trials.items() if trial and trial.fit.below(BETTER, N_ERRORS)}


def test_a_larger_input_that_only_lets_more_features_pass_is_no_better_use():
    sae, own = axes_sae(), usage()
    larger = next(other for other in rescaled(sae, own) if "by 1.5" in other.description)
    as_it_is = token_errors(sae, own)
    alone = larger.errors(sae)
    assert alone.fvu < 0.8 * as_it_is.fvu and alone.l0 > 1.1 * as_it_is.l0
    assert better(sae, own) == set()


def test_a_relu_is_not_judged_by_a_scale_that_activates_more_features():
    """Its features shrink less with a larger input, even if no more of them are let through."""
    sae, own = axes_sae(threshold=0.0), usage()
    with torch.no_grad():
        sae.b_enc.fill_(-THRESHOLD)  # what passes is smaller by it
    larger = next(other for other in rescaled(sae, own) if "by 1.5" in other.description)
    errors = token_errors(sae, own)
    as_many = larger.errors(sae, most=errors.active)
    assert compare(errors, as_many).below(BETTER, N_ERRORS)
    assert better(sae, own) == set()


@pytest.mark.parametrize("factor", [0.6, 0.7])
def test_an_input_somewhat_too_small_is_seen_although_its_right_scale_activates_more(factor):
    sae = axes_sae(bias=1.0)
    own = usage(factor, bias=1.0)
    names = better(sae, own)
    assert any("by 1.5" in name for name in names), names
    right = next(other for other in rescaled(sae, own) if "by 1.5" in other.description)
    assert right.errors(sae).l0 > 1.1 * token_errors(sae, own).l0


def test_a_right_scale_is_not_refused_for_another():
    assert better(axes_sae(bias=1.0), usage(bias=1.0)) == set()
