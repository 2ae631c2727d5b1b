"""The fast Matryoshka BatchTopK training SAE against SAE-Lens's own."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sae_lens.saes.matryoshka_batchtopk_sae import (
    MatryoshkaBatchTopKTrainingSAE,
    MatryoshkaBatchTopKTrainingSAEConfig,
)
from sae_lens.saes.sae import TrainStepInput

from saetask.training.sparse_matryoshka import SparseMatryoshkaTrainingSAE, largest


def make_pair(
    rescale: bool = True,
) -> tuple[MatryoshkaBatchTopKTrainingSAE, SparseMatryoshkaTrainingSAE]:
    torch.manual_seed(0)

    def config() -> MatryoshkaBatchTopKTrainingSAEConfig:
        return MatryoshkaBatchTopKTrainingSAEConfig(
            d_in=24,
            d_sae=96,
            k=5.5,
            rescale_acts_by_decoder_norm=rescale,
            matryoshka_widths=[8, 32, 96],
        )

    slow = MatryoshkaBatchTopKTrainingSAE(config())
    for parameter in slow.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    fast = SparseMatryoshkaTrainingSAE(config())
    fast.load_state_dict(slow.state_dict())
    return slow, fast


def make_step(n_dead: int = 0) -> TrainStepInput:
    return TrainStepInput(
        sae_in=torch.randn(50, 24),
        coefficients={},
        dead_neuron_mask=torch.arange(96) < n_dead if n_dead else None,
        n_training_steps=0,
        is_logging_step=False,
    )


@pytest.mark.parametrize("rescale", [True, False])
@pytest.mark.parametrize("n_dead", [0, 4, 40])
def test_every_loss_gradient_and_threshold_equal_sae_lens(rescale: bool, n_dead: int) -> None:
    slow, fast = make_pair(rescale)
    for _ in range(3):  # the threshold changes which scores are compared
        step = make_step(n_dead)
        for sae in (slow, fast):
            sae.zero_grad()
        expected, found = (sae.training_forward_pass(step) for sae in (slow, fast))
        for output in (expected, found):
            output.loss.backward()
        torch.testing.assert_close(found.loss, expected.loss)
        assert found.losses.keys() == expected.losses.keys()
        for name, loss in expected.losses.items():
            torch.testing.assert_close(found.losses[name], loss, msg=name)
        torch.testing.assert_close(fast.topk_threshold, slow.topk_threshold)
        for (name, theirs), (_, ours) in zip(slow.named_parameters(), fast.named_parameters()):
            torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-5, rtol=1e-4, msg=name)


def test_reconstruction_and_feature_activations_equal_sae_lens() -> None:
    slow, fast = make_pair()
    step = make_step()
    expected, found = (sae.training_forward_pass(step) for sae in (slow, fast))
    torch.testing.assert_close(found.feature_acts.to_dense(), expected.feature_acts)
    torch.testing.assert_close(found.sae_out, expected.sae_out)


@given(
    st.lists(st.integers(-40, 40), min_size=1, max_size=60, unique=True),
    st.integers(0, 60),
    st.floats(-50, 50),
)
def test_the_largest_scores_do_not_depend_on_where_they_are_searched(
    scores: list[int], n: int, above: float
) -> None:
    n = min(n, len(scores))
    tensor = torch.tensor(scores, dtype=torch.float32)
    expected = sorted(sorted(range(len(scores)), key=scores.__getitem__, reverse=True)[:n])
    assert largest(tensor, n, above).tolist() == expected
