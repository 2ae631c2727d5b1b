"""Language models: loading them as TransformerLens bridges, and the few calls made on them.

What is particular to TransformerLens lives in this file, in `hooks.py` and in `unwrapped.py`.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saetask.default_model import DEFAULT_MODEL, embedded_model_folder
from saetask.errors import UserError, did_you_mean
from saetask.unwrapped import unwrapped

if TYPE_CHECKING:
    import torch
    from jaxtyping import Bool, Float, Int
    from sae_lens.analysis.sae_transformer_bridge import SAETransformerBridge
    from transformer_lens import HookedTransformer
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import PreTrainedTokenizerBase

    Model = SAETransformerBridge | TransformerBridge | HookedTransformer


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
    """Returns `"cuda"` where a CUDA device is at hand, else `"cpu"`."""
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
    if path.suffix == ".gguf":
        if not path.is_file():
            raise UserError(f"Model file {path} does not exist.")
        return _boot(str(path.parent), dtype, device, gguf_file=path.name)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise UserError(f"Model folder {path} has no config.json; is it a Hugging Face model?")
        return _boot(str(path), dtype, device)
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", str(spec)) or str(spec).startswith("."):
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
    """Returns the name the model was loaded under; of a folder, its last part."""
    name = str(model.cfg.model_name)
    return Path(name).name if Path(name).is_absolute() else name


def context_size(model: "Model") -> int:
    """Returns the longest prompt the model takes, in tokens."""
    return int(model.cfg.n_ctx)


def model_device(model: "Model") -> "torch.device":
    """Returns the device of the model's parameters."""
    return next(model.parameters()).device


def model_fingerprint(model: "Model") -> str:
    """Returns a short hash of the model's parameters; see `parameters_fingerprint`."""
    return parameters_fingerprint(model.named_parameters())


def parameters_fingerprint(parameters: "Iterable[tuple[str, torch.Tensor]]") -> str:
    """Hashes parameters by name, shape and leading values (as bfloat16, whatever their dtype)."""
    import torch

    digest = hashlib.sha256()
    for name, parameter in sorted(parameters, key=lambda pair: pair[0]):
        head = parameter.detach().flatten()[:16].to(torch.bfloat16).cpu().view(torch.int16)
        digest.update(f"{name}{tuple(parameter.shape)}{head.tolist()}".encode())
    return digest.hexdigest()[:16]


def tree_logits(
    model: "Model",
    token_ids: "Int[torch.Tensor, 'node']",
    positions: "Int[torch.Tensor, 'node']",
    visible: "Bool[torch.Tensor, 'node node']",
    needed: "Int[torch.Tensor, 'needed']",
) -> "Float[torch.Tensor, 'needed vocab']":
    """Runs a tree of tokens as one row and returns the logits after the nodes `needed`.

    Args:
        model: The model to run.
        token_ids: A token a node; a parent stands before its children.
        positions: Depth of each node.
        visible: Which nodes each node attends to: its ancestors and itself.
        needed: Nodes whose next-token logits are wanted, ascending.
    """
    import torch

    device = model_device(model)
    hf_model: Any = model.original_model
    dtype = next(hf_model.parameters()).dtype
    mask = torch.zeros(visible.shape, dtype=dtype).masked_fill_(~visible, torch.finfo(dtype).min)
    with torch.inference_mode(), unwrapped(model):
        output = hf_model(
            input_ids=token_ids[None].to(device),
            position_ids=positions[None].to(device),
            attention_mask=mask[None, None].to(device),
            use_cache=False,
            logits_to_keep=needed.to(device),
        )
    return output.logits[0].cpu()


def logits_of(
    model: "Model", tokens: "Int[torch.Tensor, 'batch pos']"
) -> "Float[torch.Tensor, 'batch pos vocab']":
    """Runs rows of tokens, without hooks of ours or with them; keeps no keys and values."""
    hf_model: Any = getattr(model, "original_model", None)
    caches = getattr(getattr(hf_model, "config", None), "use_cache", None) is not None
    options: dict[str, Any] = {"use_cache": False} if caches else {}
    return model(tokens.to(model_device(model)), return_type="logits", **options)


def row_logits(
    model: "Model", token_ids: "Int[torch.Tensor, 'pos']"
) -> "Float[torch.Tensor, 'pos vocab']":
    """Runs one row of tokens and returns the logits after each."""
    import torch

    with torch.inference_mode(), unwrapped(model):
        return logits_of(model, token_ids[None])[0].cpu()


def unembed(
    model: "Model", directions: "Float[torch.Tensor, 'n d_model']"
) -> "Float[torch.Tensor, 'n vocab']":
    """Projects residual-stream directions through the final norm's weight and the unembedding."""
    directions = directions.to(model_device(model))
    scale = getattr(getattr(model, "ln_final", None), "weight", None)
    if scale is not None:
        directions = directions * scale.float()
    return (directions @ model.W_U.float()).cpu()


def token_embeddings(model: "Model") -> "Float[torch.Tensor, 'vocab d_model']":
    """Returns the input embedding of every token, float32."""
    return model.W_E.detach().float().cpu()


def generate_texts(
    model: "Model", prompts: Sequence[Sequence[int]], max_new_tokens: int
) -> list[str]:
    """Generates greedily after each prompt, as one left-padded batch; returns the new text."""
    import torch

    if not prompts:
        return []
    tokenizer = model_tokenizer(model)
    width = max(len(prompt) for prompt in prompts)
    pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
    tokens = torch.tensor([[*[pad_id] * (width - len(p)), *p] for p in prompts])
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
    device = model_device(model)
    hf_model: Any = model.original_model
    with torch.inference_mode(), unwrapped(model):
        output = hf_model.generate(
            input_ids=tokens.to(device),
            attention_mask=mask.to(device),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            pad_token_id=pad_id,
        )
    return [str(tokenizer.decode(row[width:], skip_special_tokens=True)) for row in output.cpu()]
