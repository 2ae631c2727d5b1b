"""The fast TopK training SAE against SAE-Lens's own."""

import pytest
import torch
from sae_lens.saes.sae import TrainStepInput
from sae_lens.saes.topk_sae import TopKTrainingSAE, TopKTrainingSAEConfig

from saetask.training.sparse_topk import SparseTopKTrainingSAE


def make_pair(rescale: bool) -> tuple[TopKTrainingSAE, SparseTopKTrainingSAE]:
    torch.manual_seed(0)
    options = {"d_in": 24, "d_sae": 96, "k": 5, "rescale_acts_by_decoder_norm": rescale}
    slow = TopKTrainingSAE(TopKTrainingSAEConfig(**options))
    for parameter in slow.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    fast = SparseTopKTrainingSAE(TopKTrainingSAEConfig(**options))
    fast.load_state_dict(slow.state_dict())
    return slow, fast


@pytest.mark.parametrize("rescale", [True, False])
@pytest.mark.parametrize("n_dead", [0, 4, 40])
def test_loss_and_every_gradient_equal_sae_lens(rescale: bool, n_dead: int) -> None:
    slow, fast = make_pair(rescale)
    mask = torch.arange(96) < n_dead if n_dead else None
    step = TrainStepInput(
        sae_in=torch.randn(50, 24),
        coefficients={},
        dead_neuron_mask=mask,
        n_training_steps=0,
        is_logging_step=False,
    )
    losses = []
    for sae in (slow, fast):
        output = sae.training_forward_pass(step)
        output.loss.backward()
        losses.append(output.loss.item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    for (name, expected), (_, found) in zip(slow.named_parameters(), fast.named_parameters()):
        assert expected.grad is not None and found.grad is not None
        torch.testing.assert_close(found.grad, expected.grad, atol=1e-5, rtol=1e-4, msg=name)


def test_reported_feature_activations_equal_sae_lens() -> None:
    slow, fast = make_pair(rescale=True)
    step = TrainStepInput(
        sae_in=torch.randn(9, 24),
        coefficients={},
        dead_neuron_mask=None,
        n_training_steps=0,
        is_logging_step=False,
    )
    expected = slow.training_forward_pass(step).feature_acts
    found = fast.training_forward_pass(step).feature_acts.to_dense()
    torch.testing.assert_close(found, expected)
