"""The random control of an SAE: other directions, the same densities, whatever the architecture."""

import numpy as np
import pytest
import torch
from sae_lens import TopKSAE

from saetask.data.corpus import TokenRow
from saetask.saes.corpus_extraction import extract_token_activations
from saetask.saes.random_sae import control_directions, random_sae

SENTENCE = "the old ship left a bank of some river and men sang songs about kings and bread"


@pytest.fixture(scope="module")
def rows(tiny_tokenizer):
    generator = np.random.default_rng(0)
    texts = [" ".join(generator.permutation(SENTENCE.split())) for _ in range(80)]
    return [
        TokenRow("texts", str(n), tiny_tokenizer(text)["input_ids"]) for n, text in enumerate(texts)
    ]


def densities(firings):
    return np.bincount(firings.features, minlength=firings.d_sae) / len(firings.token_ids)


def test_each_feature_fires_as_often_as_the_saes_own(any_architecture, tiny_model, rows):
    control = random_sae(tiny_model, any_architecture, rows)
    own, found = map(
        densities, extract_token_activations(tiny_model, [any_architecture, control], rows)
    )
    assert own.any()
    if isinstance(any_architecture, TopKSAE):
        # Which features fire is up to the directions: as many do on each token.
        assert found.sum() == pytest.approx(own.sum(), rel=0.35)
        assert control.cfg.to_dict() == any_architecture.cfg.to_dict()
    else:
        # Texts that share their first word have one and the same activation there.
        np.testing.assert_allclose(found, own, atol=0.006)


def test_directions_are_random_and_the_seeds(any_architecture, tiny_model, rows):
    first, again, other = (random_sae(tiny_model, any_architecture, rows, s) for s in (1, 1, 2))
    directions = control_directions(any_architecture, 1)
    torch.testing.assert_close(directions.norm(dim=1), torch.ones(64))
    encoder = torch.nn.functional.normalize(first.W_enc.detach().T, dim=1)
    torch.testing.assert_close(encoder, directions)
    torch.testing.assert_close(again.W_enc, first.W_enc)
    assert not torch.allclose(other.W_enc, first.W_enc)


def test_densities_hold_roughly_on_other_rows(any_architecture, tiny_model, rows):
    control = random_sae(tiny_model, any_architecture, rows[:40])
    own, found = map(
        densities, extract_token_activations(tiny_model, [any_architecture, control], rows[40:])
    )
    assert found.sum() == pytest.approx(own.sum(), rel=0.35)
