"""Peak memory of a process that does a piece of work, and then a larger one.

    python -m benchmarks.speed.memory tokens|items SIZE ...

Prints the peak during each, in MiB, as a JSON list. `tokens`: `harvest` with a small random model,
wide enough for activations that are held to show. `items`: `Session.detect` with the default model.
Linux can forget an earlier peak; elsewhere a peak counts for all that comes after it.
"""

import json
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import TYPE_CHECKING, Any

from .texts import write_corpus

if TYPE_CHECKING:
    from sae_lens.analysis.sae_transformer_bridge import SAETransformerBridge

ROOT = Path(__file__).parents[2]
HOOK_NAME = "blocks.0.hook_resid_post"
ROWS_PER_SHARD = 64
PEAK_RESET, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
TOKENS_PER_COPY = 25_000
"""Tokens in the train split of one copy of the texts, at least."""
SENTENCE, TARGET = "The committee boiled the report down to a page.", "boiled"


def peaks_in_a_process(what: str, sizes: Sequence[int]) -> list[float]:
    """Returns the peaks in MiB, measured in a new process."""
    command = [sys.executable, "-m", "benchmarks.speed.memory", what, *map(str, sizes)]
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=ROOT)
    return json.loads(found.stdout.splitlines()[-1])


def peaks(what: str, sizes: Sequence[int], folder: Path) -> list[float]:
    """Does the work in ascending sizes and returns this process's peak in MiB during each."""
    work = harvesting(folder, max(sizes)) if what == "tokens" else detecting()
    work(min(sizes))  # what is loaded at the first call belongs to no size
    found = []
    for size in sorted(sizes):
        _forget_peak()
        work(size)
        found.append(_peak_mib())
    return found


def _forget_peak() -> None:
    if PEAK_RESET.is_file():
        PEAK_RESET.write_text("5", encoding="utf-8")


def _peak_mib() -> float:
    """Returns the peak since it was last forgotten."""
    if not STATUS.is_file():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    (line,) = (s for s in STATUS.read_text(encoding="utf-8").splitlines() if s.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def harvesting(folder: Path, most: int) -> Callable[[int], None]:
    """Returns what harvests so many tokens, `most` at most."""
    from saetask.training.config import HarvestConfig
    from saetask.training.harvest import harvest

    model = _small_model()
    corpus = write_corpus(folder, copies=most // TOKENS_PER_COPY + 1)

    def work(tokens: int) -> None:
        config = HarvestConfig(HOOK_NAME, tokens, corpus, rows_per_shard=ROWS_PER_SHARD)
        harvest(model, config, Path(mkdtemp(dir=folder)), folder)

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
    """Returns a random Llama of width 256 with the default model's tokenizer.

    It has a layer above the hook point: without one, its logits would be computed, too.
    """
    from sae_lens.analysis.sae_transformer_bridge import SAETransformerBridge
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from saetask.models.loading import embedded_model_folder

    tokenizer: Any = AutoTokenizer.from_pretrained(embedded_model_folder())
    shape: dict[str, Any] = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2}
    heads: dict[str, Any] = {"num_attention_heads": 4, "num_key_value_heads": 4}
    llama = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **shape, **heads))
    model = SAETransformerBridge.boot_transformers(
        "small-llama", hf_model=llama, tokenizer=tokenizer, device="cpu"
    )
    return model.eval()


if __name__ == "__main__":
    with TemporaryDirectory() as temporary:
        print(json.dumps(peaks(sys.argv[1], [int(n) for n in sys.argv[2:]], Path(temporary))))
