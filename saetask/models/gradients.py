"""Gradients of an answer's log-odds with respect to an activation."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from saetask.errors import UserError
from saetask.models.forward import logits_of, right_padded
from saetask.models.hooks import resolve_hook_name, with_hooks
from saetask.models.loading import model_name

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float

    from saetask.models.loading import Model


def log_odds_gradient(
    model: "Model",
    prompt_ids: Sequence[int],
    answers: tuple[Sequence[int], Sequence[int]],
    hook_name: str,
) -> "Float[torch.Tensor, 'pos width']":
    """Returns the gradient of the log-odds of one answer against another after a prompt.

    Its product with a small change of the activation is the change of the log-odds: one backward
    pass gives the effect of any number of edits, to first order (attribution patching: Syed et al.
    2023, arXiv 2310.10348). The backward pass ends at the hook point.

    Args:
        model: The model to run; its own hooks stay as they are.
        prompt_ids: The prompt.
        answers: Token ids of the two answers.
        hook_name: A hook point, canonical or alias.

    Returns:
        In nats per unit of the activation, at the prompt's positions, in the model's dtype.

    Raises:
        UserError: The hook point does not exist, or the run never reached it.
    """
    import torch

    reached: list[torch.Tensor] = []

    def cut(activation: "torch.Tensor", hook: Any) -> "torch.Tensor":
        reached.append(activation.detach().requires_grad_())
        return reached[-1]

    # Answers of one token, and equal beginnings of longer ones, need one row for both.
    read = [tuple([*prompt_ids, *answer[:-1]]) for answer in answers]
    rows = list(dict.fromkeys(read))
    hooks = [(resolve_hook_name(model, hook_name), cut)]
    with torch.enable_grad(), with_hooks(model, hooks):
        logits = logits_of(model, right_padded(rows)).float()
        if not reached:
            raise UserError(f"Running {model_name(model)} never reached hook point '{hook_name}'.")
        first, second = (
            _log_likelihood(logits[rows.index(row)], len(prompt_ids), answer)
            for row, answer in zip(read, answers)
        )
        (gradient,) = torch.autograd.grad(first - second, reached[0])
    return gradient.sum(0).flatten(1)[: len(prompt_ids)]


def _log_likelihood(
    logits: "Float[torch.Tensor, 'pos vocab']", n_prompt: int, answer: Sequence[int]
) -> "torch.Tensor":
    """Returns the log-likelihood of an answer, in nats, as a scalar tensor."""
    import torch

    following = logits[n_prompt - 1 : n_prompt - 1 + len(answer)].log_softmax(-1)
    tokens = torch.tensor(list(answer), dtype=torch.long, device=following.device)
    return following.gather(-1, tokens[:, None]).sum()
