"""How long a discovery takes, compared with the bare forward passes over its prompts.

    python -m benchmarks.discovery_speed --texts FILE [--field question] [--prompts 700]

Texts of a JSONL file are asked as chats. The whole model is run over them in batches by length;
then `saetask.discover` reads them and makes the search with all its controls, with failures drawn
at random, and keeps what was read in files, as the command does: one that was stopped goes on from
the last whole file. Prints JSON: seconds of both, their ratio, and what a file holds.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.command_line import command_parser
from benchmarks.power_texts import texts_of
from benchmarks.speed.machine import hardware
from saetask import discover, load_model, load_sae
from saetask.data import EvaluatedItem, as_prompt, render
from saetask.discovery import DiscoveryConfig
from saetask.discovery.reading import BATCHES_PER_PART
from saetask.errors import one_line_errors
from saetask.models.forward import batches_by_length, right_padded
from saetask.models.loading import model_tokenizer
from saetask.saes.extraction import TOKENS_PER_BATCH


def seconds(work: Callable[[], Any]) -> float:
    """Returns how long some work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(texts: Sequence[str]) -> dict[str, Any]:
    """Returns the seconds of the bare forward passes and of the discovery."""
    import torch

    model: Any = load_model()
    sae = load_sae()
    failed = np.random.default_rng(0).random(len(texts)) < 0.5
    items = [
        EvaluatedItem(str(i), as_prompt(text), str(i), float(failed[i]), str(i))
        for i, text in enumerate(texts)
    ]
    rows = [render(model_tokenizer(model), item.prompt).token_ids for item in items]

    def bare() -> None:
        with torch.inference_mode():
            for batch in batches_by_length([*map(len, rows)], max_tokens=TOKENS_PER_BATCH):
                model(right_padded([rows[i] for i in batch]))

    forward = seconds(bare)
    with tempfile.TemporaryDirectory() as folder:
        config = DiscoveryConfig(cache=Path(folder))
        discovery = seconds(lambda: discover(items, model, sae, config))
        n_files = len(list(Path(folder).glob("*.safetensors")))
    return {
        "hardware": hardware(),
        "dtype": str(model.cfg.dtype),
        "prompts": len(rows),
        "tokens": sum(map(len, rows)),
        "forward_s": round(forward, 1),
        "discover_s": round(discovery, 1),
        "ratio": round(discovery / forward, 2),
        "resumes_after": f"{BATCHES_PER_PART} batches of up to {TOKENS_PER_BATCH} tokens",
        "files": n_files,
    }


@one_line_errors("discovery_speed")
def main(given: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    parser = command_parser("python -m benchmarks.discovery_speed", __doc__)
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--field", default="question")
    parser.add_argument("--prompts", type=int, default=700)
    options = parser.parse_args(given)
    print(json.dumps(measure(texts_of(options.texts, options.field, options.prompts)), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
