"""Writes a model of transformers as a GGUF file, the way llama.cpp's converter lays it out."""

import json
import re
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from gguf import MODEL_ARCH_NAMES, GGUFWriter, TokenType, get_tensor_name_map

ARCHITECTURES = {
    "mistral": "llama",
    "gemma3_text": "gemma3",
    "gpt_neox": "gptneox",
    "phi": "phi2",
}
"""llama.cpp's name of a family, where it is not transformers'."""
NORMS_PLUS_ONE = ("gemma", "gemma2", "gemma3", "nemotron")


def write_gguf(
    model: Any,
    tokenizer: Any,
    path: Path,
    more_tensors: dict[str, torch.Tensor] | None = None,
    **metadata: Any,
) -> Path:
    """Writes a model in float32 with its byte-level tokenizer.

    Args:
        model: A causal language model of transformers.
        tokenizer: A byte-level BPE.
        path: The file.
        more_tensors: By llama.cpp's name.
        metadata: Keys of the architecture to add, such as `rope__scaling__type`; a dot is written
            as two underscores.
    """
    config = model.config
    architecture = ARCHITECTURES.get(config.model_type, config.model_type)
    writer = GGUFWriter(path, architecture)
    writer.add_name("tiny")
    _write_sizes(writer, config)
    for key, value in metadata.items():
        name = f"{architecture}.{key.replace('__', '.')}"
        add = {str: writer.add_string, float: writer.add_float32, int: writer.add_uint32}
        add[type(value)](name, value)
    _write_tokenizer(writer, tokenizer)
    _write_tensors(writer, model, architecture)
    for name, tensor in (more_tensors or {}).items():
        writer.add_tensor(name, tensor.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _write_sizes(writer: GGUFWriter, config: Any) -> None:
    heads = config.num_attention_heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
    kv_heads = getattr(config, "num_key_value_heads", None) or heads
    if config.model_type == "falcon":
        kv_heads = 1
    writer.add_context_length(getattr(config, "max_position_embeddings", 2048))
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    hidden = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    writer.add_feed_forward_length(hidden)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_vocab_size(config.vocab_size)
    rope = getattr(config, "rope_parameters", None) or {}
    rope = rope.get("full_attention", rope)
    if rope:
        writer.add_rope_freq_base(rope["rope_theta"])
        writer.add_rope_dimension_count(int(head_dim * rope.get("partial_rotary_factor", 1)))
    if head_dim != config.hidden_size // heads or config.model_type.startswith("gemma"):
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
    for name in ("layer_norm_epsilon", "layer_norm_eps", "norm_epsilon"):
        if hasattr(config, name):
            writer.add_layer_norm_eps(getattr(config, name))
            break
    for name in ("rms_norm_eps", "norm_eps"):
        if hasattr(config, name):
            writer.add_layer_norm_rms_eps(getattr(config, name))
    if window := getattr(config, "sliding_window", None):
        writer.add_sliding_window(window)
    kinds = getattr(config, "layer_types", None)
    if config.model_type == "gemma3_text" and kinds:
        writer.add_sliding_window_pattern([kind == "sliding_attention" for kind in kinds])
    for name in ("attn_logit_softcapping", "final_logit_softcapping"):
        if cap := getattr(config, name, None):
            getattr(writer, f"add_{name}")(cap)


def _write_tokenizer(writer: GGUFWriter, tokenizer: Any) -> None:
    vocabulary = tokenizer.get_vocab()
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    special = set(tokenizer.all_special_tokens)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(
        [TokenType.CONTROL if t in special else TokenType.NORMAL for t in tokens]
    )
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)


def _write_tensors(writer: GGUFWriter, model: Any, architecture: str) -> None:
    config = model.config
    (arch,) = (key for key, name in MODEL_ARCH_NAMES.items() if name == architecture)
    names = get_tensor_name_map(arch, config.num_hidden_layers)
    tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    for name, tensor in model.state_dict().items():
        if tied and name == "lm_head.weight":
            continue
        stem, dot, suffix = name.rpartition(".")
        own = names.get_name(stem) or names.get_name(stem.removeprefix("transformer."))
        assert own is not None, f"{architecture} has no name for {name}"
        laid_out = _laid_out(tensor.float(), f"{own}{dot}{suffix}", architecture, config)
        writer.add_tensor(f"{own}{dot}{suffix}", laid_out.contiguous().numpy())


def _laid_out(tensor: torch.Tensor, name: str, architecture: str, config: Any) -> torch.Tensor:
    """Returns a tensor as llama.cpp has it."""
    if architecture in NORMS_PLUS_ONE and name.endswith("norm.weight"):
        return tensor + 1
    if architecture == "llama" and (part := re.search(r"attn_([qk])\.", name)):
        heads = config.num_attention_heads if part[1] == "q" else config.num_key_value_heads
        return rearrange(tensor, "(h two d) ... -> (h d two) ...", h=heads, two=2)
    if (
        architecture == "gpt2"
        and name.endswith(".weight")
        and re.search("attn_[qo]|ffn_[ud]", name)
    ):
        return tensor.T
    if architecture == "bloom" and "attn_qkv" in name:
        return rearrange(tensor, "(h three d) ... -> (three h d) ...", h=config.n_head, three=3)
    return tensor
