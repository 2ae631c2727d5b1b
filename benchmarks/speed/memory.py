"""Peak memory of a process that does a piece of work, and then a larger one.

    python -m benchmarks.speed.memory tokens|items SIZE ...

Prints the peaks after each, in MiB, as a JSON list; what is held for ever would show in the last.
`tokens`: `harvest` with a small random model of one layer. `items`: `Session.detect` with the
default model.
"""

import json
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from .texts import write_corpus

if TYPE_CHECKING:
    from sae_lens.analysis.sae_transformer_bridge import SAETransformerBridge

ROOT = Path(__file__).parents[2]
HOOK_NAME = "blocks.0.hook_resid_post"
ROWS_PER_SHARD = 64
TOKENS_PER_COPY = 25_000
"""Tokens in the train split of one copy of the texts, at least."""
SENTENCE, TARGET = "The committee boiled the report down to a page.", "boiled"


def peaks_in_a_process(what: str, sizes: Sequence[int]) -> list[float]:
    """Returns the peaks in MiB, measured in a new process."""
    command = [sys.executable, "-m", "benchmarks.speed.memory", what, *map(str, sizes)]
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=ROOT)
    return json.loads(found.stdout.splitlines()[-1])


def peaks(what: str, sizes: Sequence[int], folder: Path) -> list[float]:
    """Does the work in ascending sizes and returns this process's peak in MiB after each."""
    work = harvesting(folder, max(sizes)) if what == "tokens" else detecting()
    found = []
    for size in sorted(sizes):
        work(size)
        found.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    return found


def harvesting(folder: Path, most: int) -> Callable[[int], None]:
    """Returns what harvests so many tokens, `most` at most."""
    from saetask.harvest import HarvestConfig, harvest

    model = _small_model()
    corpus = write_corpus(folder, copies=most // TOKENS_PER_COPY + 1)

    def work(tokens: int) -> None:
        config = HarvestConfig(HOOK_NAME, tokens, corpus, rows_per_shard=ROWS_PER_SHARD)
        harvest(model, config, folder / f"{tokens}", folder)

    return work


def detecting() -> Callable[[int], None]:
    """Returns what detects in so many prompts."""
    from saetask import Session

    session, numbers = Session(task="metaphor"), count()

    def work(items: int) -> None:
        for _ in range(items):
            session.detect(f"({next(numbers)}) {SENTENCE}", TARGET)

    return work


def _small_model() -> "SAETransformerBridge":
    """Returns a random Llama with one layer of width 256 and the default model's tokenizer."""
    from sae_lens.analysis.sae_transformer_bridge import SAETransformerBridge
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from saetask.default_model import embedded_model_folder

    tokenizer: Any = AutoTokenizer.from_pretrained(embedded_model_folder())
    shape: dict[str, Any] = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 1}
    heads: dict[str, Any] = {"num_attention_heads": 4, "num_key_value_heads": 4}
    llama = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **shape, **heads))
    model = SAETransformerBridge.boot_transformers(
        "small-llama", hf_model=llama, tokenizer=tokenizer, device="cpu"
    )
    return model.eval()


if __name__ == "__main__":
    with TemporaryDirectory() as temporary:
        print(json.dumps(peaks(sys.argv[1], [int(n) for n in sys.argv[2:]], Path(temporary))))
