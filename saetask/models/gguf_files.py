"""Reads GGUF files: transformers' reader, and what it leaves out of a model's config.

transformers builds the config of most architectures from a short list of metadata keys and fills
the rest with the defaults of one checkpoint, so that a file of another model of the family would
compute something else without a word. What llama.cpp's metadata say about the computation is
stated in the config here; what no config can state is refused. Keys: the GGUF specification,
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from saetask.errors import UserError

LONG_FACTORS = "rope_factors_long.weight"
FREQUENCY_FACTORS = "rope_freqs.weight"
"""Divisors of the rotary frequencies, one for each (Llama 3.1 and later)."""


def gguf_config(path: Path) -> Any:
    """Returns the config of the model in a GGUF file.

    The config of a Mistral says until the weights are loaded that it is a Llama.

    Raises:
        UserError: transformers does not read files of this architecture, or cannot express how
            this one computes.
    """
    from transformers import AutoConfig
    from transformers.integrations.gguf.reader import read_gguf_metadata

    metadata, tensor_names = read_gguf_metadata(str(path))
    architecture = metadata["general.architecture"]
    try:
        config = AutoConfig.from_pretrained(path.parent, gguf_file=path.name)
    except ValueError as error:
        raise UserError(
            f"transformers reads no GGUF files of architecture '{architecture}'; "
            "give the model's folder in Hugging Face format"
        ) from error
    own = {
        key.removeprefix(f"{architecture}."): value
        for key, value in metadata.items()
        if key.startswith(f"{architecture}.")
    }
    _refuse_what_is_not_read(architecture, own, tensor_names)
    if architecture == "llama" and own.get("attention.sliding_window"):
        config = _as_mistral(config)
    _state_sizes(config, own, tensor_names)
    _state_rotary_positions(config, own)
    return config


def _as_mistral(config: Any) -> Any:
    """Returns the config of a Llama with a sliding window, which transformers calls Mistral."""
    from transformers import MistralConfig

    known = MistralConfig().to_dict()
    options = {key: value for key, value in config.to_dict().items() if key in known}
    mistral: Any = MistralConfig(**{**options, "architectures": None})
    mistral.model_type = "llama"  # whose names for tensors the file uses
    return mistral


def _refuse_what_is_not_read(
    architecture: str, metadata: dict[str, Any], tensor_names: Sequence[str]
) -> None:
    if LONG_FACTORS in tensor_names:
        raise UserError(
            "transformers does not read this GGUF file's long-context position factors; "
            "give the model's folder in Hugging Face format"
        )
    if architecture == "falcon" and metadata.get("attention.head_count_kv", 1) != 1:
        raise UserError(
            "transformers reads GGUF files of Falcon models with one key-value head only; "
            "give the model's folder in Hugging Face format"
        )


def _state_sizes(config: Any, metadata: dict[str, Any], tensor_names: Sequence[str]) -> None:
    """Sets what transformers fills with defaults: sizes, windows, caps, biases."""
    stated = {
        "head_dim": metadata.get("attention.key_length"),
        "n_positions": metadata.get("context_length"),
        "n_inner": metadata.get("feed_forward_length"),
        "layer_norm_epsilon": metadata.get("attention.layer_norm_epsilon"),
        "sliding_window": metadata.get("attention.sliding_window"),
        "attn_logit_softcapping": metadata.get("attn_logit_softcapping"),
        "final_logit_softcapping": metadata.get("final_logit_softcapping"),
        "attention_bias": any(name.endswith("attn_q.bias") for name in tensor_names),
        "mlp_bias": any(name.endswith("ffn_up.bias") for name in tensor_names),
    }
    if config.model_type == "gemma4_text":  # its layers differ in head dimension
        del stated["head_dim"]
    pattern = metadata.get("attention.sliding_window_pattern")
    if pattern is not None and hasattr(config, "layer_types"):
        stated["layer_types"] = _layer_types(pattern, config.num_hidden_layers)
    for name, value in stated.items():
        if value is not None and hasattr(config, name):
            setattr(config, name, value)
    pad_id = getattr(config, "pad_token_id", None)
    if pad_id is not None and pad_id >= config.vocab_size:  # the default of another vocabulary
        config.pad_token_id = None


def _layer_types(pattern: int | Sequence[bool], n_layers: int) -> list[str]:
    """Returns the kind of each layer, given which have a window, or that each n-th has none."""
    if isinstance(pattern, int):
        pattern = [(layer + 1) % pattern != 0 for layer in range(n_layers)]
    return ["sliding_attention" if sliding else "full_attention" for sliding in pattern]


def _state_rotary_positions(config: Any, metadata: dict[str, Any]) -> None:
    """Sets base, share and scaling of the rotary positions; of layers without window, if two kinds.

    Raises:
        UserError: The scaling is of a kind that transformers' reader does not know.
    """
    rope = getattr(config, "rope_parameters", None)
    if not rope:
        return
    rope = rope.get("full_attention", rope)
    if (base := metadata.get("rope.freq_base")) is not None:
        rope["rope_theta"] = base
    rotated = metadata.get("rope.dimension_count")
    head_dim = getattr(config, "head_dim", None) or (
        config.hidden_size // config.num_attention_heads
    )
    if rotated is not None and "partial_rotary_factor" in rope:
        rope["partial_rotary_factor"] = rotated / head_dim
    kind = metadata.get("rope.scaling.type", "none")
    if kind in ("linear", "yarn"):
        rope |= {"rope_type": kind, "factor": metadata["rope.scaling.factor"]}
    elif kind != "none":
        raise UserError(
            f"transformers does not read this GGUF file's position scaling '{kind}'; "
            "give the model's folder in Hugging Face format"
        )
    original = metadata.get("rope.scaling.original_context_length")
    if kind == "yarn" and original is not None:
        rope["original_max_position_embeddings"] = original


def apply_frequency_factors(hf_model: Any, path: Path) -> None:
    """Divides the rotary frequencies by the factors in the file, which transformers leaves out."""
    import torch
    from gguf import GGUFReader
    from transformers.integrations.gguf.reader import read_gguf_metadata

    if FREQUENCY_FACTORS not in read_gguf_metadata(str(path))[1]:
        return
    tensors = GGUFReader(path).tensors
    factors = next(torch.tensor(t.data) for t in tensors if t.name == FREQUENCY_FACTORS)
    for module in hf_model.modules():
        for name, buffer in module.named_buffers(recurse=False):
            if name in ("inv_freq", "original_inv_freq"):
                buffer.div_(factors.to(buffer))
