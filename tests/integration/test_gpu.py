"""On a GPU everything is what it is on the CPU, to a GPU's rounding."""

import json

import pytest
import torch

from saetask import TrainConfig, check_sae, load_model, load_sae, read_features, train
from saetask.inference.likelihood import Continuation, log_likelihoods
from saetask.models.generation import generate_texts
from saetask.training import runner as training
from saetask.training.harvest import harvest

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
TEXTS = ["The harbour was quiet when the ferry came in.", "Anna counted twelve crates."]


@pytest.fixture(scope="module")
def there():
    return load_model(dtype=torch.float32, device="cuda")


@pytest.fixture(params=["cpu", "cuda"])
def placed_sae(request):
    return load_sae(device=request.param)


@pytest.fixture
def prompts(tokenizer):
    return [tokenizer(text)["input_ids"] for text in TEXTS]


def test_by_default_model_and_sae_are_on_the_gpu():
    assert load_model().cfg.device.startswith("cuda")
    assert load_sae().W_dec.device.type == "cuda"


def test_a_reading_has_the_same_features(there, placed_sae, model, default_sae):
    found = read_features(there, placed_sae, TEXTS).pooled().toarray()
    expected = read_features(model, default_sae, TEXTS).pooled().toarray()
    assert ((found > 0) != (expected > 0)).mean() < 1e-4, "near-ties among the strongest"
    assert abs(found - expected).max() < 1e-2 * expected.max()


def test_the_sae_fits_the_model_there(there, placed_sae, model, default_sae):
    expected = check_sae(model, default_sae)
    assert check_sae(there, placed_sae) == pytest.approx(expected, rel=1e-2)


def test_answers_are_ranked_alike(there, model, prompts):
    continuations = [Continuation(prompt, [504, token]) for prompt in prompts for token in (28, 30)]
    expected = log_likelihoods(model, continuations)
    assert log_likelihoods(there, continuations) == pytest.approx(expected, abs=1e-2)


def test_texts_are_generated(there, model, prompts):
    assert generate_texts(there, prompts, 8) == generate_texts(model, prompts, 8)


def test_bfloat16_answers_nearly_alike(model, prompts):
    half = load_model(dtype=torch.bfloat16, device="cuda")
    continuations = [Continuation(prompt, [504]) for prompt in prompts]
    expected = log_likelihoods(model, continuations)
    assert log_likelihoods(half, continuations) == pytest.approx(expected, abs=0.3)


@pytest.fixture
def tiny_there(tiny_model_folder):
    return load_model(tiny_model_folder, dtype=torch.float32, device="cuda")


def test_a_harvest_has_the_same_activations(tiny_there, tiny_model, harvest_config, tmp_path):
    found = harvest(tiny_there, harvest_config, tmp_path / "there", tmp_path)
    expected = harvest(tiny_model, harvest_config, tmp_path / "here", tmp_path)
    everything = torch.arange(len(expected))
    found, expected = found.rows(everything), expected.rows(everything)
    torch.testing.assert_close(found, expected, atol=2e-2, rtol=2e-2)


@pytest.mark.parametrize("architecture", ["topk", "jumprelu"])
def test_an_sae_is_trained_there(tiny_there, harvest_config, tmp_path, architecture, monkeypatch):
    monkeypatch.setattr(training, "load_model", lambda spec: tiny_there)
    config = TrainConfig(
        harvest_config,
        model="tiny",
        architecture=architecture,
        d_sae=64,
        options={"k": 4} if architecture == "topk" else {},
        samples=64 * 60,
        batch_size=64,
        test_tokens=200,
    )
    train(config, tmp_path / "sae", tmp_path)
    lines = (tmp_path / "sae" / "training.jsonl").read_text().splitlines()
    fvu = [json.loads(line)["fvu"] for line in lines]
    assert fvu[-1] < fvu[0]
