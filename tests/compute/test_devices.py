"""The model, the SAE, or both are on another device, and every number stays what it was.

It is a pretended device, so that a machine without a GPU finds out what does not go together;
`test_gpu.py` says the same of a real one.
"""

import copy
import json
import sys

import pytest
import torch

from saetask import Dictionary, RunConfig, check_sae, read_features, run
from saetask.inference.likelihood import Continuation, log_likelihoods
from saetask.models.content import model_content
from saetask.models.forward import generate_texts
from saetask.training.config import TrainConfig
from saetask.training.harvest import harvest
from saetask.training.trainer import LOG, TrainingJob, fit_and_save
from tests.helpers.pretend_device import PRETEND, pretended
from tests.helpers.words import NOUNS, build_dictionary, make_word_sae, write_corpus

TEXTS = ["The harbour was quiet when the ferry came in.", "Anna counted twelve crates."]
RUN = sys.modules["saetask.experiments.run_inputs"]


@pytest.fixture
def device():
    with pretended() as counted:
        yield counted


@pytest.fixture
def there(device, make_tiny_hf_model, make_tiny_bridge):
    """The tiny model, on the device."""
    bridge = make_tiny_bridge(make_tiny_hf_model().to(PRETEND))
    assert {parameter.device for parameter in bridge.parameters()} == {PRETEND}
    return bridge


@pytest.fixture(params=["sae here", "sae there"])
def placed_sae(request, there, tiny_sae):
    sae = copy.deepcopy(tiny_sae)
    return sae.to(PRETEND) if request.param == "sae there" else sae


def answers(folder):
    rows = map(json.loads, (folder / "items.jsonl").read_text().splitlines())
    return [(row["id"], row["arm"], row["parsed"]) for row in rows]


def numbers(read):
    return [*read.features.tolist(), *read.values.tolist()]


def nearly(expected):
    """Rounding may differ: torch chooses its kernels by the name of the device."""
    return pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_a_reading_is_the_same(there, placed_sae, tiny_model, tiny_sae):
    expected = numbers(read_features(tiny_model, tiny_sae, TEXTS))
    assert numbers(read_features(there, placed_sae, TEXTS)) == nearly(expected)


def test_every_architecture_is_read(there, any_architecture, tiny_model):
    expected = numbers(read_features(tiny_model, any_architecture, TEXTS))
    found = numbers(read_features(there, any_architecture.to(PRETEND), TEXTS))
    assert found == nearly(expected)


def test_an_sae_is_checked_with_the_same_figures(there, placed_sae, tiny_model, tiny_sae):
    expected = check_sae(tiny_model, tiny_sae, allow_mismatch=True)
    assert check_sae(there, placed_sae, allow_mismatch=True) == pytest.approx(expected, abs=1e-4)


def test_answers_are_ranked_and_generated_alike(there, tiny_model, tiny_tokenizer):
    prompts = [tiny_tokenizer(text)["input_ids"] for text in TEXTS]
    continuations = [Continuation(prompt, [504, token]) for prompt in prompts for token in (28, 30)]
    expected = log_likelihoods(tiny_model, continuations)
    assert log_likelihoods(there, continuations) == nearly(expected)
    assert generate_texts(there, prompts, 4) == generate_texts(tiny_model, prompts, 4)


@pytest.mark.slow  # a minute, since everything on a pretended device is
@pytest.mark.usefixtures("few_choices")
def test_a_run_has_the_same_answers(there, tiny_model, tiny_sae, tmp_path, monkeypatch):
    arms = ["original", "saetask"]
    config = RunConfig("metaphor", model="tiny", sae="tiny", limit=36, folds=3, arms=arms)
    moved = copy.deepcopy(tiny_sae).to(PRETEND)
    for name, model, sae in (("here", tiny_model, tiny_sae), ("there", there, moved)):
        monkeypatch.setattr(RUN, "load_model", lambda *_, model=model, **__: model)
        monkeypatch.setattr(RUN, "load_sae", lambda *_, sae=sae, **__: sae)
        run(config, out=tmp_path / name)
    found, expected = (answers(tmp_path / name) for name in ("there", "here"))
    assert found == expected


def test_a_harvest_has_the_same_activations_and_waits_once_a_shard(
    there, tiny_model, harvest_config, tmp_path, device, monkeypatch
):
    here = harvest(tiny_model, harvest_config, tmp_path / "here", tmp_path)
    content = model_content(there)
    monkeypatch.setattr("saetask.training.harvest.model_content", lambda _: content)
    device.waits.clear()
    shards = harvest(there, harvest_config, tmp_path / "there", tmp_path)
    everything = torch.arange(len(here))
    torch.testing.assert_close(shards.rows(everything), here.rows(everything), atol=1e-2, rtol=1e-2)
    waits = [wait for wait in device.waits if "masking_utils" not in wait]  # of transformers
    assert [wait.split(":")[-2] for wait in waits].count("_to_copy in harvest.py") == len(
        shards.shards
    )
    assert len(waits) == len(shards.shards) + 1, "and once where wrappers are tried"


def test_an_sae_is_trained(there, harvest_config, tmp_path, monkeypatch):
    # Adam is fused on devices that torch knows.
    known = "_get_fused_kernels_supported_devices"
    monkeypatch.setattr(sys.modules["torch.optim.optimizer"], known, lambda: [PRETEND.type])
    config = TrainConfig(
        harvest_config, architecture="jumprelu", d_sae=64, samples=64 * 40, batch_size=64
    )
    shards = harvest(there, harvest_config, tmp_path / "shards", tmp_path)
    job = TrainingJob(config, tmp_path / "sae", "tiny", "abc", len(shards.shards), str(PRETEND))
    fit_and_save(job, shards)
    fvu = [json.loads(line)["fvu"] for line in (tmp_path / "sae" / LOG).read_text().splitlines()]
    assert fvu[-1] < fvu[0]


def test_a_dictionary_is_built(there, tiny_model, tiny_tokenizer, tmp_path):
    sae, corpus = make_word_sae(tiny_model, tiny_tokenizer), write_corpus(tmp_path / "texts.jsonl")
    here = build_dictionary(tiny_model, sae, corpus, tmp_path / "here")
    found = build_dictionary(there, sae.to(PRETEND), corpus, tmp_path / "there")
    assert {path.name for path in found.iterdir()} == {path.name for path in here.iterdir()}
    cards = [
        [Dictionary.load(folder).feature(i) for i in range(len(NOUNS))] for folder in (found, here)
    ]
    assert [card.row["density"] for card in cards[0]] == pytest.approx(
        [c.row["density"] for c in cards[1]]
    )
