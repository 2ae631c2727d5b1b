"""Each family of models through load, read, rank, generate, logit lens, check and training.

Every model is a tiny random one, saved as a folder and loaded from it; what transformers computes
with the same weights is the reference. None has a chat template: base models are read and asked
like any other.
"""

import copy
import json

import pytest
import torch

from saetask import TrainConfig, load_model, load_sae, train
from saetask.data.corpus import CorpusConfig, Source
from saetask.data.prompts import as_prompt
from saetask.data.rendering import render
from saetask.errors import UserError
from saetask.inference.client import GenerateRequest, ModelClient
from saetask.inference.likelihood import Continuation, log_likelihoods
from saetask.models.embedding import unembed
from saetask.models.hooks import read_hook
from saetask.saes.compatibility import check_sae
from saetask.saes.extraction import read_features
from saetask.saes.logit_lens import promotions
from saetask.training.config import HarvestConfig
from tests.helpers.tiny_models import FAMILIES, WINDOW, build, save

FAST = ("llama", "gemma3_text", "gpt2", "bloom")
"""Families that the default tier tries; the others are slow tests."""
COMPUTED_OTHERWISE = ("cohere",)
"""Families for which TransformerLens's bridge computes something else than transformers."""
HOOK_KINDS = (
    "hook_resid_pre",
    "hook_resid_post",
    "hook_attn_out",
    "hook_mlp_out",
    "attn.hook_z",
    "mlp.hook_post",
)
WITHOUT_HOOK = {"gpt_oss": ("attn.hook_z", "mlp.hook_post")}
TEXT = "The bank of the river was steep."
LONG_TEXT = f"{TEXT} Anna walked to the house on the hill, and ate bread and honey there. {TEXT}"


def marked(family):
    return pytest.param(family, marks=[] if family in FAST else [pytest.mark.slow])


@pytest.fixture(
    scope="module", params=[marked(name) for name in FAMILIES if name not in COMPUTED_OTHERWISE]
)
def family(request):
    return request.param


@pytest.fixture(scope="module")
def hf_model(family, tiny_tokenizer):
    """What transformers computes: never wrapped by a bridge."""
    return build(family, tiny_tokenizer)


@pytest.fixture(scope="module")
def folder(hf_model, tiny_tokenizer, tmp_path_factory):
    tokenizer = copy.deepcopy(tiny_tokenizer)
    tokenizer.chat_template = None
    return save(hf_model, tokenizer, tmp_path_factory.mktemp("families") / "base-model")


@pytest.fixture(scope="module")
def any_model(folder):
    return load_model(folder, dtype=torch.float32, device="cpu")


def hf_log_likelihoods(hf_model, continuations):
    """Asks transformers' model for one candidate at a time."""
    found = []
    for prompt, answer in continuations:
        with torch.inference_mode():
            logits = hf_model(torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 : -1]
        chosen = logits.log_softmax(-1).gather(1, torch.tensor(answer)[:, None])
        found.append(chosen.sum().item())
    return found


def hf_greedy(hf_model, token_ids, n):
    """Takes the most likely token again and again, each time with a pass over the whole row."""
    new = []
    for _ in range(n):
        with torch.inference_mode():
            new.append(int(hf_model(torch.tensor([[*token_ids, *new]])).logits[0, -1].argmax()))
    return new


def final_norm_of(hf_model):
    """Returns the last of the norms outside the blocks."""
    norms = [name for name, _ in hf_model.named_modules() if "norm" in name or "ln_f" in name]
    depth = min(name.count(".") for name in norms)
    return hf_model.get_submodule([name for name in norms if name.count(".") == depth][-1])


def test_a_reading_is_what_the_hf_models_hidden_states_encode_to(
    any_model, hf_model, make_tiny_sae
):
    sae = make_tiny_sae(hook_name="blocks.1.hook_resid_post")
    reading = read_features(any_model, sae, [TEXT, as_prompt("Anna went."), "Two texts at once."])
    for number, prompt in enumerate(reading.prompts):
        assert prompt.token_ids[0] == any_model.tokenizer.bos_token_id
        with torch.inference_mode():
            tokens = torch.tensor([prompt.token_ids])
            states = hf_model(tokens, output_hidden_states=True).hidden_states[2][0]
            expected = sae.encode(states)
        found = torch.zeros_like(expected)
        for firing in reading[number].firings():
            found[firing.token, firing.feature] = firing.value
        torch.testing.assert_close(found[1:], expected[1:], atol=1e-4, rtol=1e-4)
        assert not found[0].any(), "BOS is not read"


@pytest.mark.parametrize("kind", HOOK_KINDS)
def test_hook_points_go_by_their_old_names(any_model, family, kind):
    if kind in WITHOUT_HOOK.get(family, ()):
        pytest.skip(f"the bridge has no {kind} in this family")
    tokens = torch.tensor([[1, 504, 817, 282]])
    first, second = (read_hook(any_model, tokens, f"blocks.{n}.{kind}") for n in (1, 2))
    assert first.shape[:2] == (1, 4) and first.shape[2] % 32 == 0
    assert first.isfinite().all()
    assert not torch.allclose(first, second)


@pytest.mark.parametrize("text", [TEXT, LONG_TEXT], ids=["short", "beyond-the-window"])
def test_ranking_equals_the_hf_models_likelihoods_one_by_one(any_model, hf_model, text):
    prompts = [render(any_model.tokenizer, t).token_ids for t in (text, "The bank")]
    assert (len(prompts[0]) > 2 * WINDOW) == (text == LONG_TEXT)
    answers = [any_model.tokenizer(text)["input_ids"] for text in (" steep", " of a river", " no")]
    continuations = [Continuation(prompt, answer) for prompt in prompts for answer in answers]
    expected = hf_log_likelihoods(hf_model, continuations)
    assert log_likelihoods(any_model, continuations) == pytest.approx(expected, abs=1e-3)


def test_generating_is_greedy_as_in_the_hf_model_one_by_one(any_model, hf_model):
    texts = (TEXT, "The bank")
    found = ModelClient(any_model).generate([GenerateRequest(as_prompt(t), 4) for t in texts])
    for text, answer in zip(texts, found, strict=True):
        prompt = render(any_model.tokenizer, as_prompt(text)).token_ids
        expected = hf_greedy(hf_model, prompt, 4)
        decoded = any_model.tokenizer.decode(expected, skip_special_tokens=True)
        assert answer.strip() == decoded.strip()


def test_the_logit_lens_is_the_hf_models_own_norm_and_head_of_the_direction(
    any_model, hf_model, make_tiny_sae
):
    sae = make_tiny_sae(hook_name="blocks.1.hook_resid_post")
    with torch.no_grad():
        sae.W_dec.copy_(torch.randn(64, 32, generator=torch.Generator().manual_seed(0)))
    head = hf_model.get_output_embeddings()
    norm = final_norm_of(hf_model)
    with torch.inference_mode():
        directions = sae.W_dec[:5]
        ones = torch.ones(1, 32)
        centres = torch.allclose(norm(ones), norm(-ones), atol=1e-3)
        sized = directions - directions.mean(-1, keepdim=True) if centres else directions
        # A norm divides by the size of what comes in; half the difference drops the biases.
        behind = (norm(directions) - norm(-directions)) / 2
        behind *= sized.pow(2).mean(-1, keepdim=True).sqrt()
        expected = head(behind) - head(torch.zeros(1, 32))
    torch.testing.assert_close(unembed(any_model, directions), expected, atol=1e-3, rtol=1e-3)
    found = promotions(any_model, sae, range(5))
    for feature, row in enumerate(expected):
        tokens = [any_model.tokenizer.decode([token]) for token in row.topk(10).indices.tolist()]
        assert found[feature].promoted == tokens


def test_an_sae_passes_at_its_own_layer_and_no_other(any_model, make_memorising_sae):
    sae = make_memorising_sae(any_model, "blocks.1.hook_resid_post")
    figures = check_sae(any_model, sae)
    assert figures == pytest.approx((0, 1, 1), abs=0.03)
    sae.cfg.metadata.hook_name = "blocks.2.hook_resid_post"
    with pytest.raises(UserError, match=r"at layer 1 \(blocks\.1\.hook_resid_post\)"):
        check_sae(any_model, sae)


def test_a_tokenizer_without_bos_is_read_without(any_model, make_memorising_sae, monkeypatch):
    sae = make_memorising_sae(any_model, "blocks.1.hook_resid_post", bos=False)
    sae.cfg.metadata.prepend_bos = True
    monkeypatch.setattr(any_model, "tokenizer", copy.deepcopy(any_model.tokenizer))
    any_model.tokenizer.bos_token = None  # after it is set: the bridge gives a new one a BOS
    assert check_sae(any_model, sae).fvu < 1e-3
    assert next(read_features(any_model, sae, [TEXT]).firings()).token == 0


def test_an_sae_trains_on_the_folder(folder, any_model, tmp_path):
    lines = [json.dumps({"text": f"Text {i}. " + f"the {i} boats sail. " * 9}) for i in range(40)]
    (tmp_path / "texts.jsonl").write_text("\n".join(lines))
    corpus = CorpusConfig([Source("texts.jsonl")], context_size=32, test_share=0.3)
    harvest = HarvestConfig("blocks.1.hook_resid_post", 500, corpus, rows_per_shard=16)
    recipe = TrainConfig(harvest, str(folder), d_sae=64, options={"k": 8})
    recipe = TrainConfig(
        **{**vars(recipe), "samples": 640, "batch_size": 64, "test_tokens": 100, "warm_up_steps": 2}
    )
    metrics = train(recipe, tmp_path / "sae", tmp_path)
    assert 0 < metrics["normalised_mse"] < 2
    reading = read_features(any_model, load_sae(tmp_path / "sae", device="cpu"), [TEXT])
    assert next(reading.firings()).value > 0


@pytest.mark.parametrize("name", COMPUTED_OTHERWISE)
def test_a_family_that_the_bridge_computes_otherwise_is_refused(name, tiny_tokenizer, tmp_path):
    save(build(name, tiny_tokenizer), tiny_tokenizer, tmp_path)
    with pytest.raises(UserError, match="computes other logits than transformers for Cohere"):
        load_model(tmp_path, dtype=torch.float32, device="cpu")
