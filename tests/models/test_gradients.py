"""Gradients of log-odds: what finite differences give, for answers of any length."""

import pytest
import torch

from saetask.models.gradients import log_odds_gradient
from saetask.models.hooks import log_probabilities_with_edit, resolve_hook_name
from tests.helpers.refusals import refusal

HOOK = "blocks.2.hook_resid_post"
PROMPT = [1, 504, 817, 282, 260, 1491, 904]
STEP = 0.05


def log_odds(model, answers, edit):
    """The slow obvious twin: each answer by a row of its own, with the prompt's part edited."""

    def edited(activation):
        changed = activation.clone()
        changed[:, : len(PROMPT)] += edit
        return changed

    found = [
        log_probabilities_with_edit(model, [[*PROMPT, *answer]], HOOK, edited)[0]
        for answer in answers
    ]
    first, second = (each[len(PROMPT) - 1 :].double().sum() for each in found)
    return (first - second).item()


@pytest.mark.parametrize(
    "answers", [([77], [1300]), ([77, 12], [77, 640, 808]), ([77, 12, 4], [900])], ids=len
)
def test_the_gradient_is_that_of_finite_differences(tiny_model, answers) -> None:
    gradient = log_odds_gradient(tiny_model, PROMPT, answers, HOOK)
    assert gradient.shape == (len(PROMPT), 32)
    for seed in range(6):
        edit = STEP * torch.randn(7, 32, generator=torch.Generator().manual_seed(seed))
        step = log_odds(tiny_model, answers, edit) - log_odds(tiny_model, answers, -edit)
        assert 2 * (gradient * edit).sum().item() == pytest.approx(step, rel=0.02, abs=2e-4)
    assert gradient.abs().max() > 1e-2, "the answers depend on the activation"


def test_answers_with_a_common_beginning_depend_on_what_differs(tiny_model) -> None:
    same = log_odds_gradient(tiny_model, PROMPT, ([77, 12], [77, 12]), HOOK)
    torch.testing.assert_close(same, torch.zeros_like(same))


def test_no_gradient_is_left_on_the_model(tiny_model) -> None:
    log_odds_gradient(tiny_model, PROMPT, ([77], [12]), HOOK)
    assert all(parameter.grad is None for parameter in tiny_model.parameters())


def test_an_unknown_hook_point_is_one_line(tiny_model) -> None:
    message = refusal(log_odds_gradient, tiny_model, PROMPT, ([77], [12]), "blocks.9.hook_out")
    assert "blocks.9.hook_out" in message
    assert resolve_hook_name(tiny_model, HOOK)
