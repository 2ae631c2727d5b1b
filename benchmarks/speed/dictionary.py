"""Building a dictionary: `read_corpus`, its long part, beside the bare computation.

limit: the forward pass below the hook point and one product with the encoder, on the rows that are
read. saetask: `read_corpus`, texts in, and every feature's statistics and contexts out. (Labelling
takes the same time however long the corpus is, and is left out.)
"""

import itertools
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from saetask.data.corpus import token_rows
from saetask.dictionary.collect.corpus_pass import ROWS_PER_SHARD, BuildConfig

from .bare import Bare, batched
from .subject import Setting
from .texts import write_corpus
from .timing import entry, interleaved

CONTEXT_SIZE = 32
"""A shard has a fixed number of rows; of this length, it is read in some ten seconds."""


def measure(setting: Setting) -> dict[str, Any]:
    """Times building and returns this benchmark's part of the document."""
    from saetask.dictionary.collect.corpus_pass import read_corpus

    subject = setting.subject
    model: Any = subject.model
    corpus = write_corpus(setting.folder, CONTEXT_SIZE)
    stream = token_rows(corpus, model.tokenizer, "train", setting.folder)
    rows = [row.token_ids for row in itertools.islice(stream, ROWS_PER_SHARD)]
    n_tokens = sum(map(len, rows))
    # One sample row: the control's encoding belongs to validation, not to each token.
    config = BuildConfig(corpus, n_tokens, sample_rows=1)
    bare, batches = Bare(subject), batched(rows)

    def limit(_: int) -> int:
        for tokens in batches:
            bare.encoded(tokens)
        return n_tokens

    def saetask(_: int) -> int:
        folder = Path(mkdtemp(dir=setting.folder))
        found = read_corpus(model, subject.sae, config, folder, setting.folder)
        return found.statistics.n_tokens

    timings = interleaved({"limit": limit, "saetask": saetask}, setting.rounds, "token")
    return entry(timings, [], work={"tokens": n_tokens, "features": subject.sae.cfg.d_sae})
