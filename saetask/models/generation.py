"""Generation: the most probable tokens, or samples, whatever a checkpoint's settings."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from saetask.errors import UserError
from saetask.models.answer_end import AnswerEnd, until_end
from saetask.models.attention_masks import attention_spans
from saetask.models.checkpoint import GENERATION_FILE
from saetask.models.fast_forward import bypass_bridge
from saetask.models.forward import float32_logits
from saetask.models.loading import (
    context_size,
    embedding_size,
    model_device,
    model_name,
    model_tokenizer,
)
from saetask.models.sampling import GumbelNoise, Sampling

if TYPE_CHECKING:
    import torch
    from jaxtyping import Int
    from transformers import GenerationConfig

    from saetask.models.loading import Model

STEP = 32
"""Number of tokens after which rows that have ended leave a batch."""


def generate_texts(
    model: "Model",
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    sampling: Sampling | None = None,
    end: str = "",
) -> list[str]:
    """Generates after each prompt and returns the new texts, without special tokens.

    Of a checkpoint's `generation_config.json`, the end tokens are used and nothing else: penalties,
    beams, suppressed or forced tokens and minimum lengths would give other texts than the most
    probable token of each step. Prompts are run as one left-padded batch, but for those that reach
    a length beyond which the model's positions depend on the rest of the batch.

    Args:
        model: The model to run.
        prompts: Token ids of each prompt; with the new tokens, they must fit into the context.
        max_new_tokens: Maximum number of new tokens.
        sampling: How tokens are drawn; None takes the most probable ones.
        end: Regular expression: a text ends with its first match; "" ends none.
    """
    hf_model: Any = model.original_model
    limit = attention_spans(hf_model.config, context_size(model)).limit
    together = [i for i, prompt in enumerate(prompts) if len(prompt) + max_new_tokens <= limit]
    batches = [[i] for i in range(len(prompts)) if i not in set(together)]
    texts = [""] * len(prompts)
    for batch in [together, *batches] if together else batches:
        cached = batch is together
        drawn = sampling and sampling._replace(seeds=[sampling.seeds[i] for i in batch])
        rows = [prompts[i] for i in batch]
        new = _generate_batch(model, rows, max_new_tokens, cached, drawn, end)
        for i, text in zip(batch, new):
            texts[i] = until_end(text, end)
    return texts


def _generate_batch(
    model: "Model",
    prompts: list[Sequence[int]],
    max_new_tokens: int,
    use_cache: bool,
    sampling: Sampling | None,
    end: str,
) -> list[str]:
    """Generates after prompts side by side; every `STEP` tokens, rows that have ended leave."""
    import torch

    tokenizer, ends, device = model_tokenizer(model), end_tokens(model), model_device(model)
    width = max(len(prompt) for prompt in prompts)
    pad_id = ends[0] if ends else 0  # never seen: masked on the left, and cut off on the right
    tokens = torch.tensor([[*[pad_id] * (width - len(p)), *p] for p in prompts]).to(device)
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts]).to(device)
    noise = GumbelNoise(sampling) if sampling else None
    texts, rows, made, cache = [""] * len(prompts), list(range(len(prompts))), 0, None
    while rows:
        step = min(STEP, max_new_tokens - made) if use_cache else max_new_tokens
        made += step
        criterion = AnswerEnd(tokenizer, end, width) if end else None
        tokens, cache = _continue(
            model, tokens, mask, cache, _greedy(step, ends, pad_id, use_cache), noise, criterion
        )
        going = []
        for place, (row, new) in enumerate(zip(rows, tokens[:, width:].tolist())):
            kept = _until_end(new, ends)
            texts[row] = str(tokenizer.decode(kept, skip_special_tokens=True))
            if len(kept) == made < max_new_tokens and not (end and re.search(end, texts[row])):
                going.append(place)
        rows = [rows[place] for place in going]
        kept_rows = torch.tensor(going, dtype=torch.long, device=device)
        tokens, cache = tokens[kept_rows], _kept_rows(cache, kept_rows)
        mask = torch.nn.functional.pad(mask[kept_rows], (0, step), value=1)
        if noise:
            noise.keep(going)
    return texts


def _greedy(step: int, ends: list[int], pad_id: int, use_cache: bool) -> "GenerationConfig":
    """Returns the settings of one more step of greedy generation."""
    from transformers import GenerationConfig

    return GenerationConfig(
        do_sample=False,
        num_beams=1,
        max_new_tokens=step,
        eos_token_id=ends or None,
        pad_token_id=pad_id,
        use_cache=use_cache,
        return_dict_in_generate=True,
    )


def _continue(
    model: "Model",
    tokens: "Int[torch.Tensor, 'batch pos']",
    mask: "Int[torch.Tensor, 'batch pos']",
    cache: Any,
    config: "GenerationConfig",
    noise: GumbelNoise | None,
    criterion: AnswerEnd | None,
) -> "tuple[Int[torch.Tensor, 'batch new_pos'], Any]":
    """Runs the model on; returns all tokens so far, and the cache of keys and values."""
    import torch
    from transformers import LogitsProcessorList, StoppingCriteriaList

    hf_model: Any = model.original_model
    with (
        torch.inference_mode(),
        bypass_bridge(model),
        float32_logits(model),
        _own_defaults(hf_model, config),
    ):
        output = hf_model.generate(
            input_ids=tokens,
            attention_mask=mask,
            past_key_values=cache,
            generation_config=config,
            logits_processor=LogitsProcessorList([noise] if noise else []),
            stopping_criteria=StoppingCriteriaList([criterion] if criterion else []),
        )
        return output.sequences, output.past_key_values


def _kept_rows(cache: Any, rows: "Int[torch.Tensor, ' kept']") -> Any:
    """Returns the cache of some rows; None, which has it computed anew, where it has no rows."""
    if not len(rows) or not hasattr(cache, "batch_select_indices"):
        return None
    cache.batch_select_indices(rows)
    return cache


def end_tokens(model: "Model") -> list[int]:
    """Returns the tokens that end a text by the checkpoint, but those without an embedding.

    Raises:
        UserError: The checkpoint names something that is no number of a token.
    """
    hf_model: Any = model.original_model
    stated, file = getattr(hf_model.generation_config, "eos_token_id", None), GENERATION_FILE
    if stated is None:
        stated = getattr(hf_model.config.get_text_config(), "eos_token_id", None)
        file = "config.json"
    ends = [] if stated is None else stated if isinstance(stated, list | tuple) else [stated]
    for end in ends:
        if isinstance(end, bool) or not isinstance(end, int):
            raise UserError(
                f"eos_token_id in {file} of the model {model_name(model)} is {stated!r:.60}; it "
                "must be the number of a token, or a list of numbers."
            )
    return [end for end in ends if 0 <= end < embedding_size(model)]


@contextmanager
def _own_defaults(hf_model: Any, config: "GenerationConfig") -> Iterator[None]:
    """Hides a checkpoint's generation config, whose values fill those that a call leaves open."""
    before = hf_model.generation_config
    hf_model.generation_config = config
    try:
        yield
    finally:
        hf_model.generation_config = before


def _until_end(token_ids: list[int], ends: Sequence[int]) -> list[int]:
    """Returns the tokens before the first end token."""
    found = [i for i, token_id in enumerate(token_ids) if token_id in ends]
    return token_ids[: found[0]] if found else token_ids
