"""Tiny random models of many families, as transformers builds them.

Norms and biases are random, too: a gain of 1 would hide how a family writes it.
"""

from typing import Any

import torch
import transformers

WINDOW = 16
"""Tokens that a layer with a sliding window attends to."""
CONTEXT = 128
HEADS = {"num_attention_heads": 4, "num_hidden_layers": 3, "hidden_size": 32}
SIZES = {**HEADS, "intermediate_size": 64, "max_position_embeddings": CONTEXT}
GROUPED = {**SIZES, "num_key_value_heads": 2}
GPT = {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": CONTEXT}
LAYER_TYPES = ["sliding_attention", "full_attention", "sliding_attention"]
GEMMA = {**GROUPED, "head_dim": 8}
WINDOWED_GEMMA = {**GEMMA, "sliding_window": WINDOW, "layer_types": LAYER_TYPES}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": GROUPED,
    "mistral": {**GROUPED, "sliding_window": WINDOW},
    "qwen2": GROUPED,
    "qwen3": {**GROUPED, "head_dim": 16},
    "gemma": GEMMA,
    "gemma2": {
        **WINDOWED_GEMMA,
        "attn_logit_softcapping": 5.0,
        "final_logit_softcapping": 4.0,
    },
    "gemma3_text": WINDOWED_GEMMA,
    "gpt2": GPT,
    "gpt_neox": SIZES,
    "gptj": {**GPT, "rotary_dim": 4},
    "gpt_neo": {
        **HEADS,
        "num_layers": 3,
        "num_heads": 4,
        "attention_types": [[["global", "local", "global"], 1]],
        "window_size": WINDOW,
        "max_position_embeddings": CONTEXT,
    },
    "phi": {**SIZES, "partial_rotary_factor": 0.5},
    "phi3": {**GROUPED, "sliding_window": WINDOW},
    "olmo": GROUPED,
    "olmo2": GROUPED,
    "bloom": {"hidden_size": 32, "n_layer": 3, "n_head": 4},
    "falcon": {**HEADS, "max_position_embeddings": CONTEXT},
    "opt": {**HEADS, "ffn_dim": 64, "word_embed_proj_dim": 32, "max_position_embeddings": CONTEXT},
    "stablelm": GROUPED,
    "starcoder2": GROUPED,
    "nemotron": {**GROUPED, "head_dim": 8},
    "granite": {**GROUPED, "logits_scaling": 4.0},
    "cohere": {**GROUPED, "logit_scale": 0.25},
    "gpt_oss": {
        **GROUPED,
        "head_dim": 8,
        "num_local_experts": 2,
        "num_experts_per_tok": 1,
        "sliding_window": WINDOW,
        "layer_types": LAYER_TYPES,
    },
}
"""Options of the config, by its model type."""


def build(family: str, tokenizer: Any, **options: Any) -> Any:
    """Builds a random causal language model of a family, with the tokenizer's vocabulary."""
    config = transformers.AutoConfig.for_model(
        family,
        **{**FAMILIES[family], **options},
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(config).eval()
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.3)
            else:
                parameter.normal_(0, 0.2)
    return model


def save(model: Any, tokenizer: Any, folder: Any) -> Any:
    """Saves a model and its tokenizer as a Hugging Face folder, and returns the folder."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
