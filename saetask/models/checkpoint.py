"""Loads a causal language model and its tokenizer with transformers, whole or not at all."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saetask.errors import UserError, did_you_mean
from saetask.models.gguf_files import apply_frequency_factors, gguf_config
from saetask.utils.files import read_json

if TYPE_CHECKING:
    import torch
    from transformers import GenerationConfig, PreTrainedTokenizerBase

INDEX = "model.safetensors.index.json"
WEIGHTS = "model.safetensors"
GENERATION_FILE = "generation_config.json"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "tekken.json",
)
BUFFERS = re.compile(r"(attn|attention)\.bias$|masked_bias$|inv_freq$")
"""Names of masks and frequencies that old checkpoints hold, and transformers computes."""
OTHER_TASK = re.compile(r"For(?!CausalLM|ConditionalGeneration)[A-Z]")
"""In the name of a class that is made for something else, such as `BertForMaskedLM`."""


def load_tokenizer(name: str, gguf_file: str | None = None) -> "PreTrainedTokenizerBase":
    """Loads the tokenizer of a folder, GGUF file or hub model.

    Raises:
        UserError: It has none, or one that needs code of its own.
    """
    from transformers import AutoTokenizer

    folder = Path(name)
    if (
        not gguf_file
        and folder.is_dir()
        and not any((folder / file).is_file() for file in TOKENIZER_FILES)
    ):
        raise UserError("it has no tokenizer (tokenizer.json); save the tokenizer into it")
    options: dict[str, Any] = {"gguf_file": gguf_file} if gguf_file else {}
    tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False, **options)
    if gguf_file:
        # TransformerLens loads a tokenizer without this setting anew, from files that are not
        # there. (Prompts are rendered with their BOS by saetask.)
        tokenizer.init_kwargs["add_bos_token"] = True
    return tokenizer


def load_hf_model(name: str, dtype: "torch.dtype", gguf_file: str | None = None) -> Any:
    """Loads a causal language model of transformers.

    Attention is computed as transformers chooses it: by torch's fused kernel (`sdpa`) where the
    architecture has it.

    Args:
        name: A folder, that of the GGUF file, or a hub id.
        dtype: Floating-point type of the weights.
        gguf_file: Name of a GGUF file in the folder.

    Raises:
        UserError: The model is no causal language model, TransformerLens's bridge does not support
            it, it needs code of its own, or weights are missing or of another size.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, GgufConfig

    options: dict[str, Any] = {"trust_remote_code": False}
    if gguf_file:
        config = gguf_config(Path(name) / gguf_file)
        options |= {"gguf_file": gguf_file, "quantization_config": GgufConfig(dequantize=True)}
    else:
        if Path(name).is_dir():
            _check_files(Path(name))
        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
    _check_architecture(config)
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        name,
        config=config,
        dtype=dtype,
        use_safetensors=True,
        output_loading_info=True,
        generation_config=None if gguf_file else _generation_config(name),
        ignore_mismatched_sizes=True,  # refused below, by name
        **options,
    )
    hf_model, info = loaded
    _check_weights(hf_model, info)
    if gguf_file:
        vars(hf_model.config).pop("model_type", None)  # the class has it; see `gguf_config`
        apply_frequency_factors(hf_model, Path(name) / gguf_file)
    return hf_model


def _generation_config(name: str) -> "GenerationConfig | None":
    """Returns what stands in for a generation config that transformers refuses, else None.

    Only its end tokens count (see `generate_texts`), so the rest of it may be anything.
    """
    from transformers import GenerationConfig
    from transformers.utils.hub import cached_file

    try:
        GenerationConfig.from_pretrained(name)
    except OSError:  # there is none: transformers makes one from the model's config
        return None
    except Exception:  # its values are checked in many ways
        path = Path(str(cached_file(name, GENERATION_FILE)))
        stated = read_json(path)
        if not isinstance(stated, dict):
            raise UserError(f"its {GENERATION_FILE} is no JSON object") from None
        config = GenerationConfig()
        for key in ("bos_token_id", "eos_token_id", "pad_token_id"):
            setattr(config, key, stated.get(key))
        return config
    return None


def _check_files(folder: Path) -> None:
    """Checks what a folder's weights and code are kept in.

    Raises:
        UserError: Weights are missing or pickled, or the model needs code of its own.
    """
    config = read_json(folder / "config.json")
    _check_known(config)
    if (folder / INDEX).is_file():
        index = read_json(folder / INDEX)
        shards = sorted(set(index["weight_map"].values()))
        missing = [shard for shard in shards if not (folder / shard).is_file()]
        if missing:
            raise UserError(
                f"{len(missing)} of its {len(shards)} files of weights are missing, such as "
                f"{missing[0]}; download them again"
            )
        _refuse_pickles([shard for shard in shards if not shard.endswith(".safetensors")])
    elif not (folder / WEIGHTS).is_file():
        _refuse_pickles([file.name for kind in PICKLES for file in sorted(folder.glob(kind))])
        raise UserError(f"it has no weights ({WEIGHTS}); download them again")


def _refuse_pickles(names: Sequence[str]) -> None:
    """Raises a `UserError` if weights are kept in files that may be pickles."""
    if names:
        raise UserError(
            f"its weights are pickled ({names[0]}), and loading a pickle can run any code; "
            "if you trust their source, convert them: "
            "AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(NEW)"
        )


def _check_known(config: dict[str, Any]) -> None:
    """Raises a `UserError` if transformers has no class for a model of this type."""
    from transformers import CONFIG_MAPPING

    model_type = config.get("model_type")
    if model_type in CONFIG_MAPPING:
        return
    if "auto_map" in config:
        raise UserError(
            f"a model of type '{model_type}' needs code of its own (auto_map in config.json), "
            "which is not run; choose a model that transformers has"
        )
    hint = did_you_mean(str(model_type), CONFIG_MAPPING)
    raise UserError(f"transformers has no model of type '{model_type}'.{hint}")


def _check_architecture(config: Any) -> None:
    """Raises a `UserError` unless a config is of a causal language model that a bridge can wrap."""
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    named = list(getattr(config, "architectures", None) or [])
    kind = type(config)
    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING or (named and all(map(OTHER_TASK.search, named))):
        what = named[0] if named else f"model of type '{config.model_type}'"
        raise UserError(f"it is a {what}, no causal language model; choose one that writes text")
    hf_class: Any = MODEL_FOR_CAUSAL_LM_MAPPING[kind]
    check_bridged(hf_class.__name__)


def check_bridged(architecture: str) -> None:
    """Raises a `UserError` unless TransformerLens's bridge supports an architecture."""
    from transformer_lens.factories.architecture_adapter_factory import SUPPORTED_ARCHITECTURES

    if architecture not in SUPPORTED_ARCHITECTURES:
        near = [name for name in SUPPORTED_ARCHITECTURES if name.endswith("CausalLM")]
        raise UserError(
            f"TransformerLens's bridge does not support the architecture '{architecture}'."
            + did_you_mean(architecture, near)
        )


def _check_weights(hf_model: Any, info: dict[str, Any]) -> None:
    """Checks that the model has exactly the weights of the checkpoint.

    Raises:
        UserError: Weights are missing, so that transformers made them up, or of another size.
    """
    import torch

    mismatched = sorted(str(key[0]) for key in info["mismatched_keys"])
    for names, what in (
        (sorted(info["missing_keys"]), "lacks"),
        (mismatched, "has another size than its config for"),
    ):
        if names:
            raise UserError(
                f"the checkpoint {what} {_some(names)}; is it cut short, or of another model?"
            )
    stacks = [
        f"{name}."
        for name, module in hf_model.named_modules()
        if isinstance(module, torch.nn.ModuleList)
    ]
    unused = sorted(
        key
        for key in info["unexpected_keys"]
        if key.startswith(tuple(stacks)) and not BUFFERS.search(key)
    )
    if unused:
        print(
            f"saetask: warning: {type(hf_model).__name__} has no place for {_some(unused)} of the "
            "checkpoint; they are left out.",
            file=sys.stderr,
        )


def _some(names: Sequence[str]) -> str:
    """Returns such as `the weights a, b, c and 4 more`."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"the weights {', '.join(names[:3])}{more}"
