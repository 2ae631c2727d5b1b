"""Removals of features: what edits do, ranked among features that are active at the same tokens."""

import numpy as np
import pytest
import torch

from saetask.models.gradients import log_odds_gradient
from saetask.models.hooks import log_probabilities_with_edit
from saetask.saes.direction_effects import RemovalEffects, editable_text, removal_effects
from saetask.saes.encoding import feature_contribution
from saetask.saes.metrics import ReconstructionInputs, read_reconstruction_inputs

HOOK = "blocks.2.hook_resid_post"
PROMPT = [1, 504, 817, 282, 260, 1491, 904, 77]
ANSWERS = ([1300], [12])
STEP = 0.02
"""Share of a feature that the finite edits remove or add."""
WIDTH, N_FEATURES = 32, 60


@pytest.fixture
def make_sae():
    """Makes a ReLU SAE with given decoder directions, one row of the encoder and bias each."""
    from sae_lens import StandardSAE, StandardSAEConfig
    from sae_lens.saes.sae import SAEMetadata

    def make(directions, encoder=None, bias=1.0):
        metadata = SAEMetadata(hook_name=HOOK, model_name="tiny")
        sae = StandardSAE(StandardSAEConfig(WIDTH, len(directions), metadata=metadata))
        with torch.no_grad():
            sae.W_dec.copy_(directions)
            sae.W_enc.copy_(torch.zeros_like(sae.W_enc) if encoder is None else encoder)
            sae.b_enc.fill_(bias)
            sae.b_dec.zero_()
        return sae.eval()

    return make


def drawn(n, seed=0):
    return torch.randn(n, WIDTH, generator=torch.Generator().manual_seed(seed))


def one_token(sae, gradient):
    """A text of one token at which the gradient is given."""
    row = torch.ones(1, WIDTH)
    inputs = ReconstructionInputs(row, row, torch.tensor([True]))
    return editable_text(sae, inputs, gradient[None])


def log_odds(model, edit):
    def edited(activation):
        changed = activation.clone()
        changed[:, : len(PROMPT)] += edit
        return changed

    first, second = (
        log_probabilities_with_edit(model, [[*PROMPT, *answer]], HOOK, edited)[0, -1].item()
        for answer in ANSWERS
    )
    return first - second


def test_effects_are_those_of_editing_row_by_row(tiny_model, make_sae) -> None:
    sae = make_sae(drawn(5), 0.02 * drawn(5, seed=1).T, bias=2.0)
    inputs = read_reconstruction_inputs(tiny_model, sae, PROMPT)
    gradient = log_odds_gradient(tiny_model, PROMPT, ANSWERS, HOOK)
    found = removal_effects(sae, [editable_text(sae, inputs, gradient)], 0)
    removed = feature_contribution(sae, inputs.inputs, inputs.kept, 0)
    units = torch.nn.functional.normalize(sae.W_dec, dim=-1).detach()
    firing = sae.encode(inputs.inputs).detach() > 0
    together = (firing & firing[:, [0]])[inputs.kept].sum(0)
    order = sorted(range(1, 5), key=lambda feature: -together[feature])
    assert together.min() > 0, "every other feature is a control"

    def effect(edit):  # a removal's, scaled up from a small share of it
        return (log_odds(tiny_model, STEP * edit) - log_odds(tiny_model, -STEP * edit)) / STEP / 2

    lengths = removed.norm(dim=-1, keepdim=True)
    expected = [effect(-removed), *(effect(-lengths * units[each]) for each in order)]
    actual = [found.feature, *found.controls]
    np.testing.assert_allclose(actual, expected, rtol=0.02, atol=0.02 * np.abs(expected).max())


def test_the_direction_that_the_answer_depends_on_is_first(make_sae) -> None:
    directions, gradient = drawn(100), drawn(1, seed=7)[0]
    directions[40] = -gradient
    directions[41] -= directions[41] @ gradient / (gradient @ gradient) * gradient
    sae = make_sae(directions)
    text = one_token(sae, gradient)
    planted, inert = (removal_effects(sae, [text], feature) for feature in (40, 41))
    assert (planted.rank, planted.p, len(planted.controls)) == (1, 1 / 100, 99)
    assert planted.feature == pytest.approx(gradient.norm().item() * directions[40].norm().item())
    assert inert.rank > 95 and inert.feature == pytest.approx(0, abs=1e-4)


def test_p_values_are_uniform_where_no_feature_is_special(make_sae) -> None:
    sae = make_sae(drawn(N_FEATURES))
    text = one_token(sae, drawn(1, seed=3)[0])
    p_values = [removal_effects(sae, [text], feature).p for feature in range(N_FEATURES)]
    levels = np.arange(1, N_FEATURES + 1) / N_FEATURES
    np.testing.assert_allclose(sorted(p_values), levels)


def test_over_texts_a_control_is_one_direction_in_all_of_them(make_sae) -> None:
    sae = make_sae(drawn(10))
    gradients = drawn(2, seed=5)
    both = removal_effects(sae, [one_token(sae, each) for each in gradients], 0)
    apart = [removal_effects(sae, [one_token(sae, each)], 0) for each in gradients]
    assert both.feature == pytest.approx(np.mean([each.feature for each in apart]))
    np.testing.assert_allclose(both.controls, np.mean([each.controls for each in apart], axis=0))


def test_controls_are_active_at_the_same_tokens_those_at_most_of_them_first(make_sae) -> None:
    encoder = torch.zeros(WIDTH, 4)  # a feature fires at the tokens whose axis it reads
    for feature, axes in enumerate([[0, 1], [1, 2], [2, 3], [0, 1]]):
        encoder[axes, feature] = 1.0
    directions = torch.eye(WIDTH)[:4]
    sae = make_sae(directions, encoder, bias=-0.5)
    rows = torch.eye(WIDTH)[:4]
    inputs = ReconstructionInputs(rows, rows, torch.ones(4, dtype=torch.bool))
    gradient = torch.arange(4 * WIDTH).reshape(4, WIDTH).float()
    text = editable_text(sae, inputs, gradient)
    found = removal_effects(sae, [text], 0)
    # Feature 0 fires at the tokens 0 and 1 with 0.5; 3 at both, 1 at one of them, 2 at neither.
    expected = [-0.5 * (gradient[0, axis] + gradient[1, axis]) for axis in (3, 1)]
    np.testing.assert_allclose(found.controls, expected, rtol=1e-5)
    assert len(removal_effects(sae, [text], 0, n_controls=1).controls) == 1


def test_without_controls_nothing_is_shown(make_sae) -> None:
    sae = make_sae(drawn(1))
    found = removal_effects(sae, [one_token(sae, drawn(1, seed=2)[0])], 0)
    assert (len(found.controls), found.rank, found.p) == (0, 1, 1.0)


def test_effects_of_either_sign_count_and_equal_ones_as_well() -> None:
    assert RemovalEffects(-0.2, np.array([0.2, -0.3, 0.1])).rank == 3
    assert RemovalEffects(0.0, np.zeros(9)).p == 1.0
