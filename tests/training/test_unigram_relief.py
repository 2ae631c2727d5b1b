"""The relief from unigrams: its table and its loss in the plain way, and what it does."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from saetask import TrainConfig, UserError, load_sae
from saetask.training.activation_store import MANIFEST, ActivationShards, TrainingData, shard_name
from saetask.training.recipe import check_recipe
from saetask.training.trainer import TrainingJob, fit_and_save, make_sae
from saetask.training.unigram_relief import PRIOR_COUNT, TokenMeans, relieve_unigrams
from saetask.utils.files import write_json
from tests.helpers.refusals import refusal

D_IN, N_TOPICS, D_SAE, SHARE = 32, 16, 64, 0.25


@pytest.fixture
def recipe(harvest_config) -> TrainConfig:
    return TrainConfig(
        harvest_config,
        model="tiny",
        d_sae=D_SAE,
        options={"k": 4},
        samples=64 * 400,
        batch_size=64,
        lr=3e-3,
        relieved_share=SHARE,
    )


@pytest.fixture
def planted(tmp_path) -> ActivationShards:
    """Activations that are three topics and, much stronger, a token; all of them at random."""
    generator = torch.manual_seed(0)
    directions = torch.linalg.qr(torch.randn(D_IN, D_IN, generator=generator)).Q
    topics = torch.rand(4000, N_TOPICS, generator=generator).topk(3).indices
    tokens = torch.randint(N_TOPICS, D_IN, (4000,), generator=generator)
    activations = 10 * directions[topics].sum(1) + 30 * directions[tokens]
    folder = tmp_path / "planted"
    folder.mkdir()
    tensors = {"activations": activations.bfloat16(), "token_ids": tokens.int()}
    save_file(tensors, folder / shard_name(0))
    write_json(folder / MANIFEST, {"identity": "", "shards": 1, "norm_limit": 100.0})
    return ActivationShards(folder)


def test_the_table_has_each_tokens_shrunken_mean(planted) -> None:
    data = TrainingData.from_shards(planted)
    indices = torch.tensor([5, 0, 3999])
    found = TokenMeans(data).at(indices)
    every = data.normalised(planted.rows(torch.arange(len(planted))))
    for index, mean in zip(indices, found):
        own = every[planted.token_ids() == planted.token_ids()[index]]
        torch.testing.assert_close(mean, own.sum(0) / (len(own) + PRIOR_COUNT))


@pytest.mark.parametrize("architecture", ["topk", "batchtopk"])
def test_the_loss_is_that_of_the_relieved_features_and_the_table(
    recipe, planted, architecture
) -> None:
    """The slow twin decodes with the other features set to zero."""
    from sae_lens.saes.sae import TrainStepInput

    data = TrainingData.from_shards(planted)
    sae = make_sae(replace(recipe, architecture=architecture), data)
    batch, means = data.normalised(planted.rows(torch.arange(64))), torch.randn(64, D_IN)
    given = TrainStepInput(
        sae_in=batch,
        coefficients={},
        dead_neuron_mask=None,
        n_training_steps=0,
        is_logging_step=False,
    )
    before = sae.training_forward_pass(given)
    n = int(SHARE * D_SAE)
    relieve_unigrams(sae, 3.0, n, iter([means]))
    after = sae.training_forward_pass(given)
    acts = before.feature_acts.detach()
    acts = (acts.to_dense() if acts.is_sparse else acts).clone()
    acts[:, n:] = 0
    expected = 3 * (sae.decode(acts) + means - batch).pow(2).sum(-1).mean()
    torch.testing.assert_close(after.losses["unigram_relief"], expected)
    torch.testing.assert_close(after.loss, before.loss + expected)


def directions_learnt(folder, shards: ActivationShards) -> float:
    """Mean share of the relieved features' decoder directions that lies in the topics' space."""
    sae, n = load_sae(folder), int(SHARE * D_SAE)
    generator = torch.manual_seed(0)
    directions = torch.linalg.qr(torch.randn(D_IN, D_IN, generator=generator)).Q
    decoder = torch.nn.functional.normalize(sae.W_dec[:n].detach().float(), dim=-1)
    return (decoder @ directions[:N_TOPICS].T).pow(2).sum(-1).mean().item()


def test_relieved_features_are_about_topics_and_the_sae_still_reconstructs(
    recipe, planted, tmp_path
) -> None:
    torch.set_num_threads(1)
    every = planted.rows(torch.arange(len(planted)))
    shares, errors = [], []
    for coefficient in (0.0, 2.0):
        config = replace(recipe, unigram_relief=coefficient, initial_decoder="random")
        out = tmp_path / f"{coefficient}"
        fit_and_save(TrainingJob(config, out, "tiny", "", 1, "cpu"), planted)
        shares.append(directions_learnt(out, planted))
        output = load_sae(out)(every)
        errors.append(((output - every).pow(2).sum() / every.pow(2).sum()).item())
    assert shares[1] > shares[0] + 0.3
    assert errors[1] < errors[0] + 0.02


def test_a_killed_training_goes_on_with_the_same_tokens(
    recipe, planted, tmp_path, monkeypatch
) -> None:
    from saetask.training import record

    torch.set_num_threads(1)
    config = replace(recipe, unigram_relief=1.0, samples=64 * 60, checkpoint_steps=25)
    job = TrainingJob(config, tmp_path / "whole", "tiny", "", 1, "cpu")
    fit_and_save(job, planted)
    real = record.save_checkpoint

    def killed(trainer, path) -> None:
        real(trainer, path)
        raise KeyboardInterrupt

    monkeypatch.setattr(record, "save_checkpoint", killed)
    resumed = replace(job, out=tmp_path / "killed")
    with pytest.raises(KeyboardInterrupt):
        fit_and_save(resumed, planted)
    monkeypatch.setattr(record, "save_checkpoint", real)
    fit_and_save(resumed, planted)
    whole, found = load_sae(job.out), load_sae(resumed.out)
    torch.testing.assert_close(found.W_dec, whole.W_dec, atol=1e-3, rtol=1e-2)


def test_an_architecture_without_k_is_refused(recipe) -> None:
    config = replace(recipe, unigram_relief=1.0, architecture="jumprelu", options={})
    assert "can not be had with 'jumprelu'" in refusal(check_recipe, config)


def test_activations_of_an_earlier_version_are_refused(planted, tmp_path) -> None:
    tensors = {"activations": planted.shards[0]}
    save_file(tensors, tmp_path / "planted" / shard_name(0))
    with pytest.raises(UserError, match="earlier version"):
        ActivationShards(tmp_path / "planted").token_ids()
