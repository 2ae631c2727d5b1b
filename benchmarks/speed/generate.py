"""Generating answers: `ModelClient.generate`, beside `generate` of transformers and of the bridge.

limit: transformers' own `generate` on the left-padded batch. today: the bridge's `generate`, prompt
after prompt. saetask: `ModelClient.generate` on the prompts, texts in and texts out. All are greedy
and keep keys and values.
"""

from typing import Any

from saetask.data import render

from .subject import Setting
from .texts import prompts
from .timing import Asked, entry, interleaved


def measure(setting: Setting) -> dict[str, Any]:
    """Times generating and returns this benchmark's part of the document."""
    import torch

    from saetask.inference.client import ModelClient
    from saetask.inference.requests import GenerateRequest

    subject, length = setting.subject, setting.amounts.new_tokens
    model: Any = subject.model
    requests = [
        GenerateRequest(prompt, length) for prompt in prompts(setting.amounts.generate_prompts)
    ]
    rows = [render(model.tokenizer, question.prompt).token_ids for question in requests]
    width = max(map(len, rows))
    pad_id = model.tokenizer.pad_token_id or 0
    tokens = torch.tensor([[pad_id] * (width - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    options: dict[str, Any] = {"max_new_tokens": length, "do_sample": False}

    def limit(_: int) -> int:
        with torch.inference_mode():
            subject.hf_model.generate(tokens, attention_mask=mask, pad_token_id=pad_id, **options)
        return len(rows)

    def today(_: int) -> int:
        for row in rows:
            model.generate(torch.tensor([row]), verbose=False, return_type="tokens", **options)
        return len(rows)

    def saetask(_: int) -> int:
        ModelClient(model).generate(requests)
        return len(rows)

    ways = {"limit": limit, "today": today, "saetask": saetask}
    timings = interleaved(ways, setting.rounds, "prompt")
    over_limit = timings.times_as_fast("saetask", "limit")
    asked = [Asked("speed over that of transformers' generate", over_limit, lowest=0.9)]
    return entry(timings, asked, work={"prompts": len(rows), "new_tokens": length})
