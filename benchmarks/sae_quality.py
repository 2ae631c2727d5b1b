"""The shipped SAE on the sentences of an item file: a kind of text that it was not trained on.

    python benchmarks/sae_quality.py ITEMS.jsonl [N]

Prints the figures of `saetask.saes.metrics.Reconstruction` as JSON, over N sentences (250).
"""

import json
import random
import sys
from pathlib import Path

from saetask import load_model, load_sae
from saetask.data.items import read_rows
from saetask.saes.metrics import reconstruction

if __name__ == "__main__":
    path, *count = sys.argv[1:]
    sentences = sorted({row["sentence"] for _, row in read_rows(Path(path))})
    random.Random(0).shuffle(sentences)
    chosen = sentences[: int(count[0]) if count else 250]
    print(json.dumps(reconstruction(load_model(), load_sae(), chosen)._asdict(), indent=2))
