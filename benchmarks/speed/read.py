"""Times `read_features` against the bare computation and SAE-Lens's own call.

limit: the forward pass below the hook point and one product with the encoder, by batches of rows.
today: `run_with_cache_with_saes` prompt after prompt; `today_stopped` also names the layer to stop
at. saetask: `read_features`, from prompts to activations with their characters. The profile has
the seconds of its steps.
"""

from typing import Any

from .bare import Bare, batched
from .profile import profile_extraction
from .subject import Setting
from .texts import prompts
from .timing import Asked, entry, interleaved
from .today import layers_to_hook, read_with_sae_lens


def measure(setting: Setting) -> dict[str, Any]:
    """Times feature extraction and returns this benchmark's part of the document."""
    from saetask import read_features, render

    subject = setting.subject
    model: Any = subject.model
    chosen = prompts(setting.amounts.read_prompts)
    texts = [render(model.tokenizer, prompt) for prompt in chosen]
    n_tokens = sum(len(text.token_ids) for text in texts)
    bare, batches = Bare(subject), batched([text.token_ids for text in texts])

    def limit(_: int) -> int:
        for tokens in batches:
            bare.encoded(tokens)
        return n_tokens

    def loop(stop_at_layer: int | None) -> int:
        for text in texts:
            tokens = model.to_tokens(text.text, prepend_bos=False)
            read_with_sae_lens(subject, tokens, stop_at_layer)
        return n_tokens

    def saetask(_: int) -> int:
        read_features(model, subject.sae, chosen)
        return n_tokens

    ways = {
        "limit": limit,
        "today": lambda _: loop(None),
        "today_stopped": lambda _: loop(layers_to_hook(subject.sae)),
        "saetask": saetask,
    }
    timings = interleaved(ways, setting.rounds, "token")
    asked = [
        Asked("speed over the limit's", timings.times_as_fast("saetask", "limit"), lowest=0.85),
        Asked("speed over today's", timings.times_as_fast("saetask", "today"), lowest=2),
    ]
    return entry(
        timings,
        asked,
        work={"prompts": len(chosen), "tokens": n_tokens},
        profile=profile_extraction(subject, chosen, setting.folder),
    )
