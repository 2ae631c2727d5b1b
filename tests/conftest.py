"""Tiers of tests, and fixtures: the default model, and a tiny one that an SAE fits exactly."""

import copy
import os
from pathlib import Path

import hypothesis
import pytest

os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is imported: a process of tests for each core
os.environ.pop("COLUMNS", None)  # the width of output, which tests set themselves
os.environ["HF_HUB_OFFLINE"] = "1"  # no test asks the hub; read when huggingface_hub is imported

import saetask
from saetask.plugins import PluginRegistry

TINY_HOOK = "blocks.2.hook_resid_post"
DEFAULT_MODEL_FIXTURES = {"model", "tokenizer", "default_sae"}
NO_CACHE = "only-slow-tests-load-the-default-model"
FAST_ARCHITECTURES = {"topk", "jumprelu", "transcoder"}
"""Architectures of SAEs that the default tier tries; the others are slow tests."""

hypothesis.settings.register_profile("fast", max_examples=15, deadline=None, derandomize=True)
hypothesis.settings.register_profile("ci", max_examples=50, deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "fast")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Marks what needs the default model as slow."""
    for item in items:
        if DEFAULT_MODEL_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


def pytest_generate_tests(metafunc):
    """Tries every architecture that SAE-Lens has registered, whichever they are."""
    if "any_architecture" in metafunc.fixturenames:
        from sae_lens.registry import SAE_CLASS_REGISTRY

        architectures = [
            pytest.param(name, marks=[pytest.mark.slow] * (name not in FAST_ARCHITECTURES))
            for name in sorted(SAE_CLASS_REGISTRY)
        ]
        metafunc.parametrize("any_architecture", architectures, indirect=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """Refuses the default model to a test that is not marked as slow, and to its fixtures."""
    with pytest.MonkeyPatch.context() as patch:
        if not item.get_closest_marker("slow"):
            patch.setenv("SAETASK_CACHE", f"{os.devnull}/{NO_CACHE}")
        return (yield)


@pytest.fixture(scope="session")
def model():
    """The default model, in float32 on the CPU: the tests' tolerances hold for that."""
    import torch

    return saetask.load_model(dtype=torch.float32, device="cpu")


@pytest.fixture(scope="session")
def default_sae():
    return saetask.load_sae(device="cpu")


@pytest.fixture(scope="session")
def tokenizer():
    """The default model's tokenizer, without the model."""
    from transformers import AutoTokenizer

    from saetask.models.loading import embedded_model_folder

    return AutoTokenizer.from_pretrained(embedded_model_folder())


@pytest.fixture(scope="session")
def tiny_tokenizer():
    """The tiny models' tokenizer: the default model's in small: `helpers/make_tokenizer.py`."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(Path(__file__).parent / "helpers" / "tokenizer")


@pytest.fixture(scope="session")
def sentences():
    """The embedded items of the task `metaphor`."""
    return PluginRegistry().get("task", "metaphor").items()


@pytest.fixture(scope="session")
def problems():
    """The embedded items of the task `word-problems`."""
    return PluginRegistry().get("task", "word-problems").items()


@pytest.fixture(scope="session")
def make_tiny_hf_model(tiny_tokenizer):
    """Makes a random Llama of 4 layers and width 32; a seed gives the same weights every time."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    def make(seed=0):
        config = LlamaConfig(
            vocab_size=len(tiny_tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=256,
            initializer_range=0.2,
            tie_word_embeddings=True,
            bos_token_id=tiny_tokenizer.bos_token_id,
            eos_token_id=tiny_tokenizer.eos_token_id,
            pad_token_id=tiny_tokenizer.pad_token_id,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return LlamaForCausalLM(config).eval()

    return make


@pytest.fixture(scope="session")
def make_tiny_bridge(make_tiny_hf_model, tiny_tokenizer):
    """Wraps a random Llama, or another model, as `load_model` wraps those that it loads."""
    from sae_lens.analysis.sae_transformer_bridge import SAETransformerBridge

    def make(hf_model=None):
        bridge = SAETransformerBridge.boot_transformers(
            "tiny-llama",
            hf_model=hf_model or make_tiny_hf_model(),
            tokenizer=copy.deepcopy(tiny_tokenizer),
            device="cpu",
        )
        bridge.eval()
        return bridge

    return make


@pytest.fixture(scope="session")
def tiny_model(make_tiny_bridge):
    return make_tiny_bridge()


@pytest.fixture(scope="session")
def hooked_transformer(tiny_tokenizer):
    """A random `HookedTransformer` of 4 layers and width 32."""
    from transformer_lens import HookedTransformer, HookedTransformerConfig

    config = HookedTransformerConfig(
        n_layers=4,
        d_model=32,
        n_ctx=64,
        d_head=8,
        d_mlp=64,
        d_vocab=len(tiny_tokenizer),
        act_fn="gelu",
        device="cpu",
        seed=0,
    )
    return HookedTransformer(config, tokenizer=copy.deepcopy(tiny_tokenizer)).eval()


@pytest.fixture(scope="session")
def make_tiny_sae():
    """Makes a top-k SAE whose features are the axes and their opposites: its decoding is exact."""
    import torch
    from sae_lens import TopKSAE, TopKSAEConfig
    from sae_lens.saes.sae import SAEMetadata

    def make(d_in=32, hook_name=TINY_HOOK, model_name="tiny-llama", **metadata):
        config = TopKSAEConfig(
            d_in=d_in,
            d_sae=2 * d_in,
            k=d_in,
            dtype="float32",
            device="cpu",
            metadata=SAEMetadata(hook_name=hook_name, model_name=model_name, **metadata),
        )
        sae = TopKSAE(config)
        axes = torch.cat([torch.eye(d_in), -torch.eye(d_in)])
        with torch.no_grad():
            sae.W_dec.copy_(axes)
            sae.W_enc.copy_(axes.T)
            sae.b_enc.zero_()
            sae.b_dec.zero_()
        return sae.eval()

    return make


@pytest.fixture(scope="session")
def make_memorising_sae():
    """Makes a top-1 SAE with a feature for every token of the probe texts, read at one hook point.

    It decodes exactly what it was made from, and anything else as the nearest of that.
    """
    import torch
    from sae_lens import TopKSAE, TopKSAEConfig
    from sae_lens.saes.sae import SAEMetadata

    from saetask.models.hooks import read_hook
    from saetask.saes.probe_text import probe_rows

    def make(model, hook_name=TINY_HOOK, bos=True, change=lambda rows: rows, **options):
        tokens = torch.tensor(probe_rows(model, bos))
        read = read_hook(model, tokens, hook_name)[:, int(bos) :].float()
        rows = change(read.flatten(0, 1))
        names = {"hook_name": hook_name, "model_name": "tiny", "prepend_bos": bos}
        metadata = SAEMetadata(**{**names, **options.pop("metadata", {})})
        config = TopKSAEConfig(rows.shape[1], len(rows), k=1, metadata=metadata, **options)
        sae = TopKSAE(config)
        squares = rows.pow(2).sum(-1)
        with torch.no_grad():
            sae.W_enc.copy_(rows.T)
            sae.b_enc.copy_(-squares / 2)
            sae.W_dec.copy_(rows * 2 / squares[:, None])
            sae.b_dec.zero_()
        return sae.eval()

    return make


@pytest.fixture(scope="session")
def make_memorising_transcoder():
    """Makes a transcoder that gives a block's MLP output from its input, exactly on probe texts.

    Its encoder is random; with more features than tokens, its decoder can interpolate.
    """
    import torch
    from sae_lens import Transcoder, TranscoderConfig
    from sae_lens.saes.sae import SAEMetadata

    from saetask.models.hooks import run_with_hook_outputs
    from saetask.saes.probe_text import probe_rows

    def make(model, layer):
        names = f"blocks.{layer}.mlp.hook_in", f"blocks.{layer}.hook_mlp_out"
        tokens = torch.tensor(probe_rows(model, bos=True))
        caught = run_with_hook_outputs(model, tokens, names).activations
        inputs, outputs = (caught[name][:, 1:].flatten(0, 1).float() for name in names)
        metadata = SAEMetadata(hook_name=names[0], hook_name_out=names[1], model_name="tiny")
        shape = {"d_in": inputs.shape[1], "d_sae": 1200, "d_out": outputs.shape[1]}
        config = TranscoderConfig(**shape, apply_b_dec_to_input=False, metadata=metadata)
        transcoder = Transcoder(config).eval()
        with torch.no_grad():
            generator = torch.Generator().manual_seed(0)
            transcoder.W_enc.copy_(torch.randn(inputs.shape[1], 1200, generator=generator))
            transcoder.b_enc.fill_(-(inputs @ transcoder.W_enc).std().item() / 2)
            features = transcoder.encode(inputs).double()
            transcoder.W_dec.copy_(torch.linalg.pinv(features) @ outputs.double())
        return transcoder

    return make


@pytest.fixture
def any_architecture(request):
    """A random SAE of an architecture that SAE-Lens has registered."""
    import torch
    from sae_lens.registry import SAE_CLASS_REGISTRY
    from sae_lens.saes.sae import SAEMetadata

    sae_class, config_class = SAE_CLASS_REGISTRY[request.param]
    known = config_class.__dataclass_fields__
    names = {"hook_name": "blocks.2.hook_resid_post"}
    wishes = {"k": 8, "kval_topk": 8, "n_heads": 4, "bottleneck_factor": 2}
    if "d_out" in known:
        names = {"hook_name": "blocks.2.mlp.hook_in", "hook_name_out": "blocks.2.hook_mlp_out"}
        wishes |= {"d_out": 32, "apply_b_dec_to_input": False}
    options = {name: value for name, value in wishes.items() if name in known}
    metadata = SAEMetadata(**names, model_name="tiny-llama")
    sae = sae_class(config_class(d_in=32, d_sae=64, metadata=metadata, **options))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in sae.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / 6)
    return sae.eval()


@pytest.fixture(scope="session")
def tiny_sae(make_tiny_sae):
    return make_tiny_sae()


@pytest.fixture(scope="session")
def tiny_sae_folder(tiny_sae, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saes") / "tiny"
    tiny_sae.save_model(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_model_folder(make_tiny_hf_model, tiny_tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    make_tiny_hf_model().save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def items_file(tmp_path):
    """Returns a function that writes rows (objects or raw lines) to a file."""
    import json

    def write(*rows, name="items.jsonl"):
        path = tmp_path / name
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    return write


@pytest.fixture
def harvest_config(tmp_path):
    """A harvest of 1,500 tokens of a text that is written to `tmp_path`, in shards of 16 rows."""
    import json

    from saetask.data.corpus import CorpusConfig, Source
    from saetask.training.config import HarvestConfig

    texts = [f"Text {i}. " + f"the {i} boats sail at dawn and return. " * 20 for i in range(60)]
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    (tmp_path / "texts.jsonl").write_text(lines)
    corpus = CorpusConfig([Source("texts.jsonl")], context_size=32, test_share=0.3)
    return HarvestConfig(TINY_HOOK, tokens=1500, corpus=corpus, rows_per_shard=16)


@pytest.fixture(scope="module")
def few_choices():
    """Detectors choose among fewer inputs and penalties, and the model's own notes are short.

    The detectors' own tests try all of them.
    """
    from tests.helpers.probe_choices import FEW_CHOICES, use_probe_config, use_settings

    with pytest.MonkeyPatch.context() as patch:
        use_probe_config(patch, FEW_CHOICES)
        use_settings(patch, self_note_tokens=4)
        yield


@pytest.fixture(scope="session")
def half_folder(make_tiny_hf_model, tiny_tokenizer, tmp_path_factory):
    """A model whose weights are stored in bfloat16, so that both types hold the same ones."""
    import torch

    folder = tmp_path_factory.mktemp("models") / "half"
    make_tiny_hf_model().to(torch.bfloat16).save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    return folder
