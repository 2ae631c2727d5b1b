"""Samples have the softmax's probabilities, and depend on their seed and not on their batch."""

import pytest
import torch

from saetask.models.generation import generate_texts
from saetask.models.sampling import GumbelNoise, Sampling

PROMPTS = [[5, 9, 400, 33, 801, 77, 9], [11, 12], [700, 9, 9, 9, 1030]]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_a_token_is_drawn_with_its_probability(temperature):
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0])
    seeds = range(4000)
    drawn = GumbelNoise(Sampling(temperature, seeds))(
        torch.zeros(len(seeds), 1), logits.expand(len(seeds), -1)
    )
    shares = torch.bincount(drawn.argmax(1), minlength=4) / len(seeds)
    assert torch.allclose(shares, (logits / temperature).softmax(0), atol=0.03)


def test_the_tokens_of_one_text_are_drawn_independently():
    noise = GumbelNoise(Sampling(1.0, [0, 1]))
    first, second = (noise(torch.zeros(2, 1), torch.zeros(2, 500)) for _ in range(2))
    assert not torch.equal(first[0], first[1]) and not torch.equal(first[0], second[0])


def test_a_sample_does_not_depend_on_its_batch(tiny_model):
    seeds = [3, 4, 5]
    together = generate_texts(tiny_model, PROMPTS, 12, Sampling(1.5, seeds))
    for prompt, seed, text in zip(PROMPTS, seeds, together):
        assert generate_texts(tiny_model, [prompt], 12, Sampling(1.5, [seed])) == [text]
    assert generate_texts(tiny_model, PROMPTS[:1], 12, Sampling(1.5, [6])) != together[:1]


def test_next_to_no_temperature_takes_the_most_probable_tokens(tiny_model):
    greedy = generate_texts(tiny_model, PROMPTS, 8)
    assert generate_texts(tiny_model, PROMPTS, 8, Sampling(1e-4, [1, 2, 3])) == greedy
