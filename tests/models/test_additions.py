"""Vectors that are added at tokens of a prompt: in ranking, in generation, and for it alone."""

import json

import numpy as np
import pytest
import torch

from saetask.data.prompts import Prompt
from saetask.errors import UserError
from saetask.inference.client import ModelClient
from saetask.inference.requests import GenerateRequest, RankRequest, tokenise
from saetask.models.additions import Addition, added
from saetask.models.hooks import log_probabilities_with_edit

HOOK = "blocks.2.hook_resid_post"
PROMPT = Prompt([{"role": "user", "content": "The tea was boiling today."}], "It was", {})
CANDIDATES = (" warm", " very cold")


def addition(scale=4.0, tokens=(3, 5)):
    vectors = np.random.default_rng(0).normal(size=(len(tokens), 32)).astype(np.float32)
    return Addition(HOOK, tokens, scale * vectors)


def moved(model, request):
    """Returns the log-likelihoods that an edit of whole rows gives, a row each candidate."""
    prompt_ids, answers = tokenise(model, request)
    given, found = request.addition, []
    for answer in answers:

        def edit(activation):
            changed = activation.clone()
            for token, vector in zip(given.tokens, given.vectors):
                changed[0, token] += torch.tensor(vector)
            return changed

        row = [*prompt_ids, *answer]
        values = log_probabilities_with_edit(model, [row], HOOK, edit)[0]
        found.append(float(values[len(prompt_ids) - 1 :].sum()))
    return found


def test_candidates_are_ranked_as_in_rows_with_the_vectors(tiny_model):
    plain = RankRequest(PROMPT, CANDIDATES)
    request = plain._replace(addition=addition())
    other = plain._replace(addition=addition(-4.0))
    found = ModelClient(tiny_model).rank([request, plain, other])
    for response, asked in zip(found[::2], (request, other)):
        assert response.scores == pytest.approx(moved(tiny_model, asked), abs=1e-4)
    alone = ModelClient(tiny_model).rank([plain])
    assert found[1].scores == pytest.approx(alone[0].scores, abs=1e-5)
    assert np.abs(found[0].scores - found[1].scores).max() > 1e-2


def test_answers_are_kept_by_what_was_added(tiny_model, tmp_path):
    plain = RankRequest(PROMPT, CANDIDATES)
    requests = [plain, *(plain._replace(addition=addition(scale)) for scale in (1.0, 2.0))]
    first = ModelClient(tiny_model, tmp_path / "answers.jsonl").rank(requests)
    assert len(json.loads((tmp_path / "answers.jsonl").read_text())) == 3
    again = ModelClient(tiny_model, tmp_path / "answers.jsonl").rank(requests[::-1])
    assert [r.scores.tolist() for r in again[::-1]] == [r.scores.tolist() for r in first]


def test_generation_with_a_cache_equals_passes_over_the_whole_text(tiny_model):
    request = GenerateRequest(PROMPT, 6, addition=addition())
    (text,) = ModelClient(tiny_model).generate([request])
    prompt_ids = tokenise(tiny_model, request).prompt_ids
    row = list(prompt_ids)
    with added(tiny_model, addition(), len(prompt_ids)), torch.inference_mode():
        for _ in range(6):
            row.append(int(tiny_model(torch.tensor([row]))[0, -1].argmax()))
    assert text == tiny_model.tokenizer.decode(row[len(prompt_ids) :], skip_special_tokens=True)
    assert text != ModelClient(tiny_model).generate([GenerateRequest(PROMPT, 6)])[0]


def test_a_context_without_a_pass_is_an_error(tiny_model):
    with pytest.raises(UserError, match="never reached"), added(tiny_model, addition(), 9):
        pass
