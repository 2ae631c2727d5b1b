"""Texts that end with a pattern: the same as those that are written on and then cut."""

import pytest

from saetask.data.prompts import as_prompt
from saetask.inference.client import ModelClient
from saetask.inference.requests import GenerateRequest
from saetask.models.answer_end import AnswerEnd, until_end
from saetask.models.generation import generate_texts
from saetask.models.sampling import Sampling

PROMPTS = [[5, 9, 400, 33, 801, 77, 9], [11, 12], [700, 9, 9, 9, 1030], [44, 3]]


@pytest.mark.parametrize("temperature", [None, 1.5])
def test_a_text_that_is_stopped_is_the_whole_one_up_to_the_pattern(tiny_model, temperature):
    sampling = temperature and Sampling(temperature, [1, 2, 3, 4])
    whole = generate_texts(tiny_model, PROMPTS, 24, sampling)
    end = f"[{''.join(sorted({text[len(text) // 2] for text in whole if text}))}]"
    stopped = generate_texts(tiny_model, PROMPTS, 24, sampling, end)
    assert stopped == [until_end(text, end) for text in whole]
    assert stopped != whole


def test_a_stopped_text_does_not_depend_on_its_batch(tiny_model):
    end = "[aeiou]"
    together = generate_texts(tiny_model, PROMPTS, 16, None, end)
    assert together == [generate_texts(tiny_model, [p], 16, None, end)[0] for p in PROMPTS]


def test_a_row_that_has_ended_is_not_asked_again(tiny_tokenizer):
    import torch

    rows = torch.tensor([tiny_tokenizer.encode("the sea")[:1], tiny_tokenizer.encode("x1")[:1]])
    criterion = AnswerEnd(tiny_tokenizer, r"\Z", 1)
    assert criterion(rows, None).tolist() == [True, True]
    assert AnswerEnd(tiny_tokenizer, "never", 1)(rows, None).tolist() == [False, False]


def test_answers_with_another_end_are_other_answers(tiny_model, tmp_path):
    client = ModelClient(tiny_model, tmp_path / "answers.jsonl")
    request = GenerateRequest(as_prompt("The sea is"), 12)
    (whole,) = client.generate([request])
    (stopped,) = client.generate([request._replace(end=r"\S")])
    assert stopped == until_end(whole, r"\S") != whole
    again = ModelClient(tiny_model, tmp_path / "answers.jsonl")
    size = (tmp_path / "answers.jsonl").stat().st_size
    assert again.generate([request, request._replace(end=r"\S")]) == [whole, stopped]
    assert (tmp_path / "answers.jsonl").stat().st_size == size
