"""A model in float32 for a while: the same numbers as one loaded so, and itself again after."""

import pytest
import torch

from saetask.models import precision
from saetask.models.content import model_content
from saetask.models.forward import row_logits
from saetask.models.loading import load_model
from saetask.models.precision import fits_in_float32, in_float32

ROW = torch.tensor([1, 504, 817, 282, 260, 1491])


@pytest.fixture
def half(half_folder):
    return load_model(half_folder, dtype=torch.bfloat16, device="cpu")


def test_a_converted_model_computes_what_one_in_float32_does(half, half_folder) -> None:
    expected = row_logits(load_model(half_folder, dtype=torch.float32, device="cpu"), ROW)
    rounded = row_logits(half, ROW)
    with in_float32(half):
        assert {p.dtype for p in half.parameters()} == {torch.float32}
        torch.testing.assert_close(row_logits(half, ROW), expected, rtol=0, atol=0)
    assert (rounded - expected).abs().max() > 1e-3, "bfloat16 gives other numbers"


@pytest.mark.parametrize("failing", [False, True])
def test_the_weights_come_back_exactly(half, failing) -> None:
    before, logits = model_content(half), row_logits(half, ROW)
    tied = half.original_model.get_output_embeddings(), half.original_model.get_input_embeddings()
    try:
        with in_float32(half):
            assert model_content(half) != before
            if failing:
                raise InterruptedError
    except InterruptedError:
        pass
    assert model_content(half) == before
    assert torch.equal(row_logits(half, ROW), logits)
    assert tied[0].weight.data_ptr() == tied[1].weight.data_ptr()


def test_a_model_in_float32_stays_as_it_is(tiny_model) -> None:
    places = [p.data_ptr() for p in tiny_model.parameters()]
    with in_float32(tiny_model):
        assert [p.data_ptr() for p in tiny_model.parameters()] == places


def test_a_large_model_is_not_converted(half, tiny_model, monkeypatch) -> None:
    assert fits_in_float32(half)
    monkeypatch.setattr(precision, "MOST_PARAMETERS", 1000)
    assert not fits_in_float32(half) and fits_in_float32(tiny_model)
