"""The parts of a run in the two types that models load in, whatever this processor is fast in.

Figures in bfloat16, a number format with 8 significant bits, are those in float32 up to rounding.
"""

from dataclasses import replace

import pytest
import torch

from saetask import Session, SessionConfig, TrainConfig, load_model, load_sae, read_features, train
from saetask.cli.options import ModelOptions
from saetask.data.prompts import as_prompt
from saetask.data.rendering import render
from saetask.inference.client import GenerateRequest, ModelClient, RankRequest
from saetask.models.hooks import read_hook
from saetask.saes.compatibility import check_sae
from saetask.saes.logit_lens import promotions
from tests.conftest import TINY_HOOK

TEXTS = ("The bank of the river was steep.", "Anna walked to the house at noon and ate bread.")
ROUNDING = {"float32": 1e-4, "bfloat16": 0.3}
"""Differences allowed between numbers whose size is about 1 to 10."""


@pytest.fixture(scope="module")
def reference(tiny_model_folder):
    return load_model(tiny_model_folder, dtype=torch.float32, device="cpu")


@pytest.fixture(params=ROUNDING)
def dtype(request, monkeypatch):
    monkeypatch.setenv("SAETASK_DTYPE", request.param)
    return request.param


@pytest.fixture
def loaded_model(dtype, tiny_model_folder):
    loaded = load_model(tiny_model_folder, device="cpu")
    assert str(next(loaded.parameters()).dtype) == f"torch.{dtype}"
    return loaded


def test_readings_agree(loaded_model, dtype, reference, tiny_sae):
    for text in TEXTS:
        tokens = torch.tensor([render(loaded_model.tokenizer, text).token_ids])
        found, expected = (
            read_hook(m, tokens, TINY_HOOK).float() for m in (loaded_model, reference)
        )
        torch.testing.assert_close(found, expected, atol=ROUNDING[dtype], rtol=0)
    reading = read_features(loaded_model, tiny_sae, TEXTS)
    assert reading.values.dtype == "float32" and reading.values.min() > 0


def test_rankings_agree(loaded_model, dtype, reference):
    requests = [RankRequest(as_prompt(text), (" steep", " a river bank", " no")) for text in TEXTS]
    found, expected = (ModelClient(m).rank(requests) for m in (loaded_model, reference))
    for a, b in zip(found, expected, strict=True):
        assert a.log_likelihoods == pytest.approx(b.log_likelihoods, abs=ROUNDING[dtype])


def test_generation_does_not_depend_on_the_batch(loaded_model):
    requests = [GenerateRequest(as_prompt(text), 3) for text in TEXTS]
    together = ModelClient(loaded_model).generate(requests)
    assert together == [ModelClient(loaded_model).generate([request])[0] for request in requests]


def test_the_check_of_an_sae_agrees(loaded_model, dtype, make_memorising_sae):
    figures = check_sae(loaded_model, make_memorising_sae(loaded_model))
    assert figures == pytest.approx((0, 1, 1), abs=0.03 + ROUNDING[dtype] / 10)


def test_the_logit_lens_agrees(loaded_model, reference, tiny_sae):
    found, expected = (promotions(m, tiny_sae, range(3)) for m in (loaded_model, reference))
    for feature in range(3):
        first, second = (set(p[feature].promoted) for p in (found, expected))
        assert len(first & second) >= 8, "all but ties within rounding"


def test_an_sae_trains(loaded_model, tiny_model_folder, harvest_config, tmp_path):
    recipe = TrainConfig(
        replace(harvest_config, tokens=500),
        str(tiny_model_folder),
        d_sae=64,
        options={"k": 8},
        samples=640,
        batch_size=64,
        test_tokens=100,
    )
    metrics = train(recipe, tmp_path / "sae", tmp_path)
    assert 0 < metrics["normalised_mse"] < 2
    read_features(loaded_model, load_sae(tmp_path / "sae", device="cpu"), TEXTS)


@pytest.mark.parametrize("wanted", ROUNDING)
def test_the_type_of_a_session_or_command_goes_before_the_variable(
    wanted, tiny_model_folder, tiny_sae_folder, monkeypatch
) -> None:
    monkeypatch.setenv("SAETASK_DTYPE", next(name for name in ROUNDING if name != wanted))
    session = Session(tiny_model_folder, tiny_sae_folder, config=SessionConfig(dtype=wanted))
    options = ModelOptions(str(tiny_model_folder), str(tiny_sae_folder), dtype=wanted)
    for model in (session.model, options.load()[0]):
        assert next(model.parameters()).dtype == getattr(torch, wanted)
