"""Detecting in one prompt: `Session.detect`, beside the bare computation and SAE-Lens's own call.

limit: one prompt through the layers below the hook point, and one product with the encoder. today:
`run_with_cache_with_saes` on that prompt, which reads it and detects nothing. saetask: the model
asked for its answer, the prompt read, and what is misread found. Of 30 layers, which an answer
needs, the limit runs 16; answering: as the limit, and through the other layers. No prompt comes
twice.
"""

from itertools import islice
from typing import Any

from saetask_plugins.tasks.metaphor import Metaphor

from .bare import Bare
from .subject import Setting
from .texts import shuffled
from .timing import Asked, entry, interleaved
from .today import read_with_sae_lens


def measure(setting: Setting) -> dict[str, Any]:
    """Times detecting and returns this benchmark's part of the document."""
    import torch

    from saetask import Session
    from saetask.data import render
    from saetask.session import SessionConfig

    subject, n = setting.subject, setting.amounts.detect_prompts
    model: Any = subject.model
    session = Session(model, subject.sae, config=SessionConfig(allow_sae_mismatch=True))
    task, stream = Metaphor(), iter(shuffled(Metaphor().items()))
    items = [list(islice(stream, n)) for _ in range(setting.rounds + 1)]
    rows = [
        [torch.tensor([render(model.tokenizer, task.prompt(i)).token_ids]) for i in some]
        for some in items
    ]
    bare = Bare(subject)
    first = items[0][0].question
    session.detect(first["sentence"], first["target"])  # loads the fit

    def limit(number: int) -> int:
        for tokens in rows[number]:
            bare.encoded(tokens)
        return n

    def answering(number: int) -> int:
        for tokens in rows[number]:
            bare.answered(tokens)
        return n

    def today(number: int) -> int:
        for tokens in rows[number]:
            read_with_sae_lens(subject, tokens)
        return n

    def saetask(number: int) -> int:
        for item in items[number]:
            session.detect(item.question["sentence"], item.question["target"])
        return n

    ways = {"limit": limit, "answering": answering, "today": today, "saetask": saetask}
    timings = interleaved(ways, setting.rounds, "prompt")
    over_limit = 1 / timings.times_as_fast("saetask", "limit")
    asked = [Asked("time over the limit's", over_limit, highest=1.25)]
    return entry(timings, asked, work={"prompts": n})
