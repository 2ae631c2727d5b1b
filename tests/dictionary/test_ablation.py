"""Edits of a feature: exactly its part of the activation, and measured where it fires."""

import numpy as np
import pytest
import torch

from saetask.dictionary.falsify.ablation import (
    HORIZON,
    ablation_finding,
    compare_effects,
    edit_effects,
)
from saetask.models.hooks import log_probabilities_with_edit, read_hook
from saetask.saes.encoding import feature_contribution
from saetask.saes.interventions import N_DIRECTIONS, random_directions

ROW = [1, 504, 817, 282, 260, 1491, 904, 77, 1300, 12, 640, 808, 1900, 4, 55, 350]
LAST = "blocks.3.hook_resid_post"


@pytest.fixture
def make_sae():
    """Makes a ReLU SAE of two features: one on some activations of a hook point, one on all."""
    from sae_lens import StandardSAE, StandardSAEConfig
    from sae_lens.saes.sae import SAEMetadata

    def make(activation, directions, hook_name, **options):
        metadata = SAEMetadata(hook_name=hook_name, model_name="tiny")
        sae = StandardSAE(StandardSAEConfig(32, 2, metadata=metadata, **options))
        with torch.no_grad():
            sae.W_enc.zero_()
            sae.W_enc[:, 0] = activation / activation.norm()
            sae.b_enc.copy_(torch.tensor([-0.99 * activation.norm().item(), 5.0]))
            sae.W_dec.copy_(directions)
            sae.b_dec.zero_()
        return sae.eval()

    return make


@pytest.fixture
def directions():
    return torch.nn.functional.normalize(
        torch.randn(2, 32, generator=torch.Generator().manual_seed(0)), dim=1
    )


def test_log_probabilities_are_those_of_the_logits(tiny_model) -> None:
    rows = [ROW, ROW[::-1]]
    found = log_probabilities_with_edit(tiny_model, rows, LAST, None)
    with torch.inference_mode():
        logits = tiny_model(torch.tensor(rows)).log_softmax(-1)
    for number, row in enumerate(rows):
        expected = [logits[number, i, row[i + 1]].item() for i in range(len(row) - 1)]
        np.testing.assert_allclose(found[number].numpy(), expected, atol=1e-4)


def test_a_features_part_is_its_activation_times_its_direction(
    tiny_model, make_sae, directions
) -> None:
    inputs = read_hook(tiny_model, torch.tensor([ROW]), LAST)[0].float()
    kept = torch.ones(len(ROW), dtype=torch.bool)
    kept[0] = False
    sae = make_sae(inputs[5], directions, LAST)
    activations = sae.encode(inputs) * kept[:, None]
    assert activations[5, 0] > 0
    for feature in (0, 1):
        expected = activations[:, [feature]] * directions[feature]
        found = feature_contribution(sae, inputs, kept, feature)
        torch.testing.assert_close(found, expected.detach(), atol=1e-5, rtol=1e-5)


def test_a_normalisation_is_undone_in_a_features_part(tiny_model, make_sae, directions) -> None:
    inputs = read_hook(tiny_model, torch.tensor([ROW]), LAST)[0].float()
    sae = make_sae(inputs[5], directions, LAST, normalize_activations="layer_norm")
    found = feature_contribution(sae, inputs, torch.ones(len(ROW), dtype=torch.bool), 1)
    spread = inputs.std(-1, keepdim=True)
    torch.testing.assert_close(found, 5.0 * spread * directions[1], atol=1e-3, rtol=1e-3)


def test_effects_are_those_of_editing_one_row_at_a_time(tiny_model, make_sae, directions) -> None:
    hook = "blocks.2.hook_resid_post"
    inputs = read_hook(tiny_model, torch.tensor([ROW]), hook)[0].float()
    sae = make_sae(inputs[5], directions, hook)
    random = random_directions(32, [0])
    activation = sae.encode(inputs)[5, 0].item()
    assert (sae.encode(inputs)[:, 0] > 0).nonzero().tolist() == [[5]], "it fires once"

    def mean_log_probability(edit):
        def edited(a):
            a = a.clone()
            a[0, 5] += edit
            return a

        found = log_probabilities_with_edit(tiny_model, [ROW], hook, edited)[0]
        return found[5 : 5 + HORIZON].mean().item()

    before = mean_log_probability(0)
    edits = [-activation * directions[0], activation * directions[0], *(activation * random)]
    expected = [mean_log_probability(edit) - before for edit in edits]
    found = edit_effects(tiny_model, sae, ROW, 0, random)
    np.testing.assert_allclose(found, expected, atol=2e-5)
    assert np.abs(expected[:2]).min() > 1e-3, "the edits do something"


def test_a_feature_that_is_silent_or_fires_last_has_no_effects(
    tiny_model, make_sae, directions
) -> None:
    inputs = read_hook(tiny_model, torch.tensor([ROW]), LAST)[0].float()
    silent = make_sae(10 * inputs[5], directions, LAST)
    last = make_sae(inputs[-1], directions, LAST)
    assert (last.encode(inputs)[:, 0] > 0).nonzero().tolist() == [[len(ROW) - 1]]
    random = random_directions(32, [0])
    assert edit_effects(tiny_model, silent, ROW, 0, random) is None
    assert edit_effects(tiny_model, last, ROW, 0, random) is None


def test_a_feature_that_writes_the_next_token_is_causal(tiny_model, make_sae) -> None:
    # Both features write the embedding of the token that the texts repeat, at the last block.
    token = 817
    written = tiny_model.W_U[:, token].detach().float()
    directions = torch.stack([written, written])
    sae = make_sae(torch.ones(32), directions / written.norm(), LAST)
    random = random_directions(32, [3])
    texts = [[1, *[token] * n] for n in range(8, 16)]
    effects = np.array([edit_effects(tiny_model, sae, text, 1, random) for text in texts])
    found = compare_effects(effects, 0)
    assert found.ablated < found.random_range[0] <= found.random_range[1]
    assert ablation_finding(found, found.p_value) == "causal"


def test_directions_are_of_length_one_and_follow_the_seed() -> None:
    one, same, other = (random_directions(32, [seed, 1]) for seed in (0, 0, 1))
    assert one.shape == (N_DIRECTIONS, 32)
    torch.testing.assert_close(one.norm(dim=1), torch.ones(N_DIRECTIONS))
    assert torch.equal(one, same) and not torch.allclose(one, other)


def effects_with(ablated, amplified, n_texts=12):
    generator = np.random.default_rng(0)
    effects = generator.normal(-0.1, 0.02, (n_texts, 2 + N_DIRECTIONS))
    effects[:, 0] += ablated
    effects[:, 1] += amplified
    return effects


def test_figures_are_means_over_texts() -> None:
    effects = effects_with(-1.0, 0.0)
    found = compare_effects(effects, 0)
    assert found.ablated == pytest.approx(effects[:, 0].mean())
    assert found.amplified == pytest.approx(effects[:, 1].mean())
    assert found.random == pytest.approx(effects[:, 2:].mean())
    means = effects[:, 2:].mean(0)
    assert found.random_range == (pytest.approx(means.min()), pytest.approx(means.max()))
    assert found.ablated_p == found.p_value == 2 / 2**12 < found.amplified_p


@pytest.mark.parametrize(("ablated", "amplified"), [(-1, 0), (1, 0), (0, 1), (0, -1)])
def test_either_edit_and_either_direction_counts(ablated, amplified) -> None:
    found = compare_effects(effects_with(ablated, amplified), 0)
    assert ablation_finding(found, found.p_value) == "causal"
    assert ablation_finding(found, 0.06) == "no effect shown"


def test_a_difference_within_the_range_of_random_directions_is_no_effect() -> None:
    effects = effects_with(-0.3, 0.0)
    effects[:, 2] -= 3.0  # one random direction does more
    effects[:, 3] += 3.0
    found = compare_effects(effects, 0)
    assert found.ablated_p < 0.05
    assert ablation_finding(found, found.ablated_p) == "no effect shown"
