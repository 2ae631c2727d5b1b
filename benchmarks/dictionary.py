"""How fast a dictionary is built, how much memory that takes, and why labels did not hold.

    python benchmarks/dictionary.py rate CORPUS.yaml
    python benchmarks/dictionary.py memory [MILLIONS ...]
    python benchmarks/dictionary.py verdicts [DIR]

`rate`: tokens a second of `read_corpus` on the default model and SAE, beside bare reading of the
same rows (the forward pass up to the hook point and one encoding, nothing kept), by turns in one
run. `memory`: peak memory of `read_corpus` by tokens, each in a process of its own, on a tiny
random model with 8,192 features, 81 of which fire on each token; the corpus is made up.
`verdicts`: which condition each label that did not hold missed first, and the share validated by
how often features fire, of a validated dictionary (the shipped one by default).
"""

import itertools
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.command_line import command_parser
from saetask.data.corpus import CorpusConfig, Source, TokenRow, token_rows
from saetask.dictionary.collect.corpus_pass import BuildConfig, read_corpus
from saetask.saes.loading import DEFAULT_SAE

SHARDS, TURNS = 1, 3
N_DOCUMENTS = 400
OFTEN = 0.01
"""Density from which on a feature is said to fire often."""
COMMON_WORDS = "the of and a to in is was he for it with as his on be at by had not"


def rate(corpus: Path) -> dict[str, Any]:
    """Returns tokens a second of building and of bare reading, and their ratio."""
    from saetask import load_model, load_sae
    from saetask.cli.config_files import read_config
    from saetask.dictionary.collect.corpus_pass import ROWS_PER_SHARD
    from saetask.models.loading import model_tokenizer

    model, sae = load_model(), load_sae()
    config = read_config(corpus, CorpusConfig, "Corpus file")
    stream = token_rows(config, model_tokenizer(model), "train", corpus.parent)
    rows = list(itertools.islice(stream, SHARDS * ROWS_PER_SHARD))
    n_tokens = sum(len(row.token_ids) for row in rows)
    # One sample row: the control's encoding belongs to validation, not to each token.
    build = BuildConfig(replace(config, test_share=0.1, selection_share=0.1), n_tokens, 1)
    bare, built = [], []
    for _ in range(TURNS):
        bare.append(_seconds(lambda: _bare(model, sae, rows)))
        with tempfile.TemporaryDirectory() as folder:
            built.append(
                _seconds(lambda: read_corpus(model, sae, build, Path(folder), corpus.parent))
            )
    return {
        "tokens": n_tokens,
        "bare_tokens_per_s": n_tokens / median(bare),
        "build_tokens_per_s": n_tokens / median(built),
        "ratio": median(bare) / median(built),
        "seconds": {"bare": bare, "build": built},
    }


def _bare(model: Any, sae: Any, rows: list[TokenRow]) -> None:
    import torch

    from saetask.models.forward import right_padded
    from saetask.models.hooks import read_hook
    from saetask.saes.corpus_extraction import batches
    from saetask.saes.encoding import input_hook

    for batch in batches([len(row.token_ids) for row in rows]):
        tokens = right_padded([rows[i].token_ids for i in batch])
        with torch.inference_mode():
            sae.encode(read_hook(model, tokens, input_hook(sae)))


def _seconds(work: Any) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def memory(millions: list[float]) -> dict[str, Any]:
    """Returns the peak memory in MiB for each number of million tokens."""
    found = {}
    for size in millions:
        command = [sys.executable, __file__, "peak", str(size)]
        found[f"{size:g}M"] = json.loads(subprocess.check_output(command))
    return found


def peak(millions: float) -> dict[str, Any]:
    """Reads a made-up corpus and returns this process's peak memory before and after."""
    model, sae = _tiny_pair()
    with tempfile.TemporaryDirectory() as folder:
        texts = _made_up_texts(Path(folder) / "texts.jsonl")
        corpus = CorpusConfig([Source(texts)], rows_per_document=10_000, test_share=0.1)
        corpus = replace(corpus, selection_share=0.1)
        before = _peak_mib()
        n_tokens = round(millions * 1e6)
        seconds = _seconds(
            lambda: read_corpus(
                model, sae, BuildConfig(corpus, n_tokens, 256), Path(folder) / "out", Path(folder)
            )
        )
    return {"before_mib": before, "peak_mib": _peak_mib(), "seconds": seconds}


def verdicts(folder: str) -> dict[str, Any]:
    """Returns what labels missed, and shares validated by density."""
    from saetask import Dictionary
    from saetask.dictionary.evaluate.verdicts import MIN_CONTEXTS, VALIDATED

    table = Dictionary.load(folder).to_datasets().with_format("numpy")
    names = ("verdict", "n_claimed", "precision", "precision_lower", "recall", "density")
    verdict, claimed, precision, lower, recall, density = (table[:][name] for name in names)
    tested = np.isin(verdict, ["validated", "inconsistent"])
    missed, left = {}, verdict == "inconsistent"
    for reason, meets in (
        ("claims", claimed >= MIN_CONTEXTS),
        ("precision", precision >= VALIDATED.precision),
        ("interval", lower >= VALIDATED.lower),
        ("recall", recall >= VALIDATED.recall),
    ):
        missed[reason] = int((left & ~meets).sum())
        left &= meets
    often = density > OFTEN
    shares = {
        name: float((verdict[chosen] == "validated").mean())
        for name, chosen in (("often", tested & often), ("seldom", tested & ~often))
    }
    return {"tested": int(tested.sum()), "missed": missed, "validated_share": shares}


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _made_up_texts(path: Path) -> str:
    """Writes some 6 million tokens of random common words; returns the file's name."""
    generator = np.random.default_rng(0)
    words = np.array(COMMON_WORDS.split())
    with path.open("w") as file:
        for _ in range(N_DOCUMENTS):
            text = " ".join(generator.choice(words, 15_000))
            file.write(json.dumps({"text": text}) + "\n")
    return path.name


def _tiny_pair() -> tuple[Any, Any]:
    """Returns a random Llama of width 32 and a random SAE of the default SAE's shape beside it."""
    import torch
    from sae_lens import TopKSAE, TopKSAEConfig
    from sae_lens.analysis.sae_transformer_bridge import SAETransformerBridge
    from sae_lens.saes.sae import SAEMetadata
    from transformers import LlamaConfig, LlamaForCausalLM

    from saetask import load_model
    from saetask.models.loading import model_tokenizer

    tokenizer = model_tokenizer(load_model())
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 4}
    llama = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **shape, **heads))
    model = SAETransformerBridge.boot_transformers(
        "tiny-llama", hf_model=llama, tokenizer=tokenizer, device="cpu"
    )
    metadata = SAEMetadata(hook_name="blocks.0.hook_resid_post", model_name="tiny-llama")
    sae = TopKSAE(TopKSAEConfig(d_in=32, d_sae=8192, k=81, metadata=metadata))
    return model.eval(), sae.eval()


def main() -> None:
    """Runs the command line."""
    parser = command_parser("python -m benchmarks.dictionary", __doc__)
    parser.add_argument("what", choices=["rate", "memory", "peak", "verdicts"])
    parser.add_argument("given", nargs="*")
    arguments = parser.parse_args()
    if arguments.what == "peak":
        print(json.dumps(peak(float(arguments.given[0]))))
        return
    if arguments.what == "rate":
        found = rate(Path(arguments.given[0]))
    elif arguments.what == "verdicts":
        found = verdicts(*arguments.given or [DEFAULT_SAE])
    else:
        found = memory([float(size) for size in arguments.given or ["1", "4"]])
    hardware = {"machine": platform.machine(), "python": platform.python_version()}
    print(json.dumps({"hardware": hardware, arguments.what: found}, indent=2))


if __name__ == "__main__":
    main()
