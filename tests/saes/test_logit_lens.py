"""Logit-lens labels against the unembedding by hand."""

import copy

import torch

from saetask.models.embedding import unembed
from saetask.models.loading import bridge_of
from saetask.saes.logit_lens import logit_lens_labels, promotions
from tests.helpers.tiny_models import build


def test_unembed_is_norm_weight_then_unembedding(tiny_model) -> None:
    directions = torch.randn(3, 32)
    hf_model = tiny_model.original_model
    weight = hf_model.get_output_embeddings().weight
    expected = (directions * tiny_model.ln_final.weight) @ weight.T
    torch.testing.assert_close(unembed(tiny_model, directions), expected, atol=1e-4, rtol=1e-4)


def test_a_label_names_a_token_that_the_feature_promotes(tiny_model, tiny_sae) -> None:
    labels = logit_lens_labels(tiny_model, tiny_sae, [0, 5])
    assert set(labels) == {0, 5}
    tokenizer = tiny_model.tokenizer
    for feature, label in labels.items():
        assert label.startswith("promotes '")
        top = unembed(tiny_model, tiny_sae.W_dec[[feature]]).topk(12).indices[0]
        promoted = {tokenizer.decode([int(i)]).strip().lower() for i in top}
        assert label.split("'")[1] in promoted


def test_an_unembedding_of_another_width_gives_no_tokens(tiny_tokenizer, tiny_sae) -> None:
    hf_model = build("opt", tiny_tokenizer, word_embed_proj_dim=16, do_layer_norm_before=False)
    tokenizer = copy.deepcopy(tiny_tokenizer)
    model = bridge_of(hf_model, tokenizer, "opt", torch.float32, "cpu")
    assert promotions(model, tiny_sae, [3])[3].promoted == []


def test_no_features_no_labels(tiny_model, tiny_sae) -> None:
    assert logit_lens_labels(tiny_model, tiny_sae, []) == {}
