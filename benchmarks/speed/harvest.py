"""Harvesting activations: `harvest`, beside the bare computation and SAE-Lens's store.

limit: the forward pass below the hook point, on rows that are tokens already, nothing kept. today:
an `ActivationsStore` over the same texts, its batches dropped. saetask: `harvest`, texts in and
shards on disk out.
"""

import warnings
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from saetask.data.corpus import CorpusConfig, token_rows
from saetask.saes.encoding import input_hook
from saetask.training.config import HarvestConfig

from .bare import ROWS_PER_BATCH, Bare, batched
from .subject import Setting, Subject
from .texts import documents, write_corpus
from .timing import Asked, entry, interleaved


def harvest_config(subject: Subject, corpus: CorpusConfig, tokens: int) -> HarvestConfig:
    """Returns a harvest in shards of as many rows as a batch has: it ends close to its tokens."""
    hook_name = input_hook(subject.sae)
    return HarvestConfig(hook_name, tokens, corpus, rows_per_shard=ROWS_PER_BATCH)


def measure(setting: Setting) -> dict[str, Any]:
    """Times harvesting and returns this benchmark's part of the document."""
    from saetask.training.harvest import harvest

    subject, wanted = setting.subject, setting.amounts.harvest_tokens
    model: Any = subject.model
    corpus = write_corpus(setting.folder)
    config = harvest_config(subject, corpus, wanted)
    rows, n_tokens = [], 0
    for row in token_rows(corpus, model.tokenizer, "train", setting.folder):
        if n_tokens >= wanted:
            break
        rows.append(row.token_ids)
        n_tokens += len(row.token_ids)
    bare, batches = Bare(subject), batched(rows)

    def limit(_: int) -> int:
        for tokens in batches:
            bare.activations(tokens)
        return n_tokens

    def today(_: int) -> int:
        store, found = _store(subject, corpus.context_size), 0
        while found < wanted:
            found += len(store.get_filtered_llm_batch())
        return found

    def saetask(_: int) -> int:
        folder = Path(mkdtemp(dir=setting.folder))
        return len(harvest(model, config, folder, setting.folder))

    ways = {"limit": limit, "today": today, "saetask": saetask}
    timings = interleaved(ways, setting.rounds, "token")
    asked = [
        Asked("speed over the limit's", timings.times_as_fast("saetask", "limit"), lowest=0.85),
        Asked("speed over today's", timings.times_as_fast("saetask", "today"), lowest=2),
    ]
    return entry(timings, asked, work={"tokens": wanted})


def _store(subject: Subject, context_size: int) -> Any:
    from datasets import Dataset
    from sae_lens import ActivationsStore

    from saetask.models.hooks import resolve_hook_name

    data = Dataset.from_dict({"text": documents()})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that texts are no tokens yet, and that they will end
        store = ActivationsStore.from_sae(
            subject.model,  # pyright: ignore[reportArgumentType]
            subject.sae,
            data,  # pyright: ignore[reportArgumentType]
            context_size=context_size,
            streaming=False,
            store_batch_size_prompts=ROWS_PER_BATCH,
        )
    # A bridge caches nothing under the alias that SAEs are saved with.
    store.hook_name = resolve_hook_name(subject.model, input_hook(subject.sae))
    return store
