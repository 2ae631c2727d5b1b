"""The last projection is in float32 on every path, so that unlike candidates do not tie."""

import pytest
import torch

from saetask.inference.likelihood import Continuation, log_likelihoods, score_separately
from saetask.models import generation
from saetask.models.forward import row_logits
from saetask.models.hooks import log_probabilities_with_edit
from saetask.models.loading import load_model

ROW = [1, 504, 817, 282, 260, 1491]


@pytest.fixture(scope="module")
def half(tiny_model_folder):
    return load_model(tiny_model_folder, dtype=torch.bfloat16, device="cpu")


def is_rounded(values):
    """Whether all values are such as bfloat16 holds."""
    return torch.equal(values, values.to(torch.bfloat16).float())


def test_rows_and_trees_and_edits_have_exact_logits(half) -> None:
    logits = row_logits(half, torch.tensor(ROW))
    assert logits.dtype == torch.float32 and not is_rounded(logits)
    expected = logits.log_softmax(-1)[torch.arange(5), ROW[1:]]
    edited = log_probabilities_with_edit(half, [ROW], "blocks.1.hook_resid_post", lambda a: a)
    torch.testing.assert_close(edited[0], expected, atol=1e-5, rtol=0)
    alone = score_separately(half, Continuation(ROW[:3], ROW[3:]))
    assert alone == pytest.approx(expected[2:].sum().item(), abs=1e-5)
    (in_tree,) = log_likelihoods(half, [Continuation(ROW[:3], ROW[3:])])
    assert in_tree == pytest.approx(alone, abs=0.1), "trees round their attention otherwise"


def test_candidates_do_not_tie_by_rounding(half) -> None:
    answers = [[token] for token in range(100, 400)]
    scores = log_likelihoods(half, [Continuation(ROW, answer) for answer in answers])
    rounded = torch.tensor(scores).to(torch.bfloat16)
    assert len(set(scores)) > 0.99 * len(scores) > len(rounded.unique()), "bfloat16 would tie"


def test_generation_chooses_by_exact_logits(half, monkeypatch) -> None:
    seen = []
    hf_model = half.original_model
    generate = hf_model.generate

    def watched(*arguments, **options):
        found = generate(*arguments, **options, output_logits=True)
        seen.extend(found.logits)
        return found

    monkeypatch.setattr(hf_model, "generate", watched)
    generation.generate_texts(half, [ROW, ROW[:4]], 3)
    assert seen and all(step.dtype == torch.float32 and not is_rounded(step) for step in seen)
