"""The content of a language model as hashes: weights, configuration, tokenizer, chat template.

A name or a path says where a model came from; what it answers depends on its content alone.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from saetask.models.precision import model_dtype
from saetask.utils.files import content_hash

if TYPE_CHECKING:
    import torch

    from saetask.models.loading import Model

VOLATILE_KEYS = ("transformers_version", "dtype", "torch_dtype", "architectures", "use_cache")
"""Keys of a Hugging Face configuration that change no output, or are told apart elsewhere; those
that begin with an underscore are left out as well."""
PORTABLE_KEYS = frozenset(
    (
        "act_fn",
        "activation_function",
        "attention_factor",
        "attention_multiplier",
        "attn_logit_softcapping",
        "attn_scale",
        "attn_scores_soft_cap",
        "beta_fast",
        "beta_slow",
        "embedding_multiplier",
        "eps",
        "factor",
        "final_logit_softcapping",
        "head_dim",
        "hidden_act",
        "hidden_activation",
        "high_freq_factor",
        "layer_norm_eps",
        "layer_norm_epsilon",
        "layer_types",
        "logits_scaling",
        "low_freq_factor",
        "mscale",
        "n_head",
        "n_heads",
        "n_key_value_heads",
        "normalization_type",
        "num_attention_heads",
        "num_experts_per_tok",
        "num_key_value_heads",
        "original_max_position_embeddings",
        "partial_rotary_factor",
        "query_pre_attn_scalar",
        "residual_multiplier",
        "rms_norm_eps",
        "rope_local_base_freq",
        "rope_theta",
        "rope_type",
        "rotary_base",
        "rotary_dim",
        "rotary_pct",
        "sliding_window",
        "window_size",
    )
)
"""Settings that outputs depend on beside the weights, by the names that configurations of
Transformers and TransformerLens give them; unlike a whole configuration, the same in every version
of these packages."""


class ModelContent(NamedTuple):
    """Hashes of all that a model's answers depend on; a field is equal if that part is."""

    weights: str
    """Names, shapes and exact values of the parameters."""
    dtype: str
    """Floating-point type of the first parameter."""
    configuration: str
    """Configuration, with that of generation."""
    tokenizer: str
    """Vocabulary, merges, normalisation and special tokens."""
    chat_template: str

    @property
    def hash(self) -> str:
        """One hash of all parts."""
        return content_hash(list(self))


def model_content(model: "Model") -> ModelContent:
    """Returns the hashes of a model's parts, of weights as they are loaded.

    Reads every parameter: about a tenth of a second for the default model.
    """
    return ModelContent(
        hash_parameters(model.named_parameters()),
        model_dtype(model),
        content_hash(_configuration(model)),
        _quick_hash(_tokenizer(model.tokenizer)),
        chat_template_hash(model),
    )


def chat_template_hash(model: "Model") -> str:
    """Returns a hash of a model's chat template, also where it has none."""
    return content_hash(getattr(model.tokenizer, "chat_template", None))


def hash_parameters(
    parameters: "Iterable[tuple[str, torch.Tensor]]", dtype: "torch.dtype | None" = None
) -> str:
    """Hashes parameters by name, shape and all values (XXH3, 64 bits as hexadecimal digits).

    Args:
        parameters: Names and tensors, in any order.
        dtype: Values are rounded to this type; None takes them as they are.
    """
    import torch
    import xxhash

    digest = xxhash.xxh3_128()
    for name, parameter in sorted(parameters, key=lambda pair: pair[0]):
        values = parameter.detach().to(dtype or parameter.dtype)
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
        digest.update(values.contiguous().flatten().cpu().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def portable_settings(model: "Model") -> list[tuple[str, Any]]:
    """Returns the settings of a model, beside its weights, that its outputs depend on."""
    found = (pair for pair in _leaves(_whole_configuration(model)) if pair[0] in PORTABLE_KEYS)
    return sorted({(name, json.dumps(value, default=str)) for name, value in found})


def vocabulary_hash(model: "Model") -> str:
    """Returns a hash of the tokens of a model's tokenizer with their ids."""
    tokenizer = model.tokenizer
    return _quick_hash(tokenizer.get_vocab() if tokenizer else {})


def _whole_configuration(model: "Model") -> dict[str, Any]:
    """Returns a model's configuration: Transformers' own, of a `HookedTransformer` its `cfg`."""
    wrapped = getattr(model, "original_model", None)
    config = getattr(wrapped, "config", None) or model.cfg
    return config.to_dict()


def _configuration(model: "Model") -> dict[str, Any]:
    """Returns what a configuration says beyond the defaults of its class."""
    wrapped = getattr(model, "original_model", None)
    config = getattr(wrapped, "config", None)
    if config is None:
        values = {k: v for k, v in model.cfg.to_dict().items() if k not in ("device", "model_name")}
        return _stable(values)
    generation = getattr(wrapped, "generation_config", None)
    asked = _stable(generation.to_diff_dict()) if generation is not None else {}
    return {"model": _stable(config.to_diff_dict()), "generation": asked}


def _stable(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in values.items()
        if name not in VOLATILE_KEYS and not name.startswith("_")
    }


def _leaves(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yields the settings of nested mappings that are set, by their own names."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value)
        elif value is not None:
            yield name, value


def _quick_hash(document: Mapping[str, Any]) -> str:
    """Hashes a large JSON object, whatever the order of its keys."""
    import xxhash

    ordered = sorted(document.items())
    return xxhash.xxh3_128(json.dumps(ordered).encode()).hexdigest()[:16]


def _tokenizer(tokenizer: Any) -> dict[str, Any]:
    """Returns the content of a tokenizer as a JSON object; an empty one where there is none."""
    if tokenizer is None:
        return {}
    special = {name: str(value) for name, value in tokenizer.special_tokens_map.items()}
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return {"special": special, "vocabulary": sorted(tokenizer.get_vocab().items())}
    document = json.loads(backend.to_str())
    for name in ("truncation", "padding"):  # set anew by every call that pads or truncates
        document.pop(name, None)
    return {"special": special, **document}
