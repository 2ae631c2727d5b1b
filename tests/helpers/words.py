"""An SAE whose features are known: words, nothing, everything; and texts with those words."""

import json
from pathlib import Path

import numpy as np
import torch

from saetask.data.corpus import CorpusConfig, Source
from saetask.dictionary.collect.corpus_pass import BuildConfig
from saetask.dictionary.label.base import Label
from saetask.dictionary.label.build import build

NOUNS = ["sea", "ship", "dog", "road", "house", "bread"]
SEA, DEAD, ALWAYS = 0, len(NOUNS), len(NOUNS) + 1
HOOK = "blocks.0.hook_resid_pre"


class Nouns:
    """Labels features rightly."""

    name = "nouns"

    def label(self, evidence):
        return Label([*NOUNS, "nothing", "anything"][evidence.feature], None)


def make_word_sae(model, tokenizer):
    """Makes an SAE on token embeddings: a feature for each noun, one dead, one always on."""
    from sae_lens import StandardSAE, StandardSAEConfig
    from sae_lens.saes.sae import SAEMetadata

    tokens = [tokenizer(f" {noun}")["input_ids"][-1] for noun in NOUNS]
    embedded = model.W_E[tokens].detach().float()
    lengths = embedded.norm(dim=1)
    metadata = SAEMetadata(hook_name=HOOK, model_name="tiny")
    sae = StandardSAE(StandardSAEConfig(32, len(NOUNS) + 2, metadata=metadata))
    with torch.no_grad():
        sae.W_enc.zero_()
        sae.W_enc[:, : len(NOUNS)] = (embedded / lengths[:, None]).T
        sae.b_enc.copy_(torch.tensor([*(-0.95 * lengths).tolist(), -1.0, 1.0]))
        directions = torch.randn(sae.W_dec.shape, generator=torch.Generator().manual_seed(0))
        sae.W_dec.copy_(torch.nn.functional.normalize(directions, dim=1))
        sae.b_dec.zero_()
    return sae.eval()


def write_corpus(path: Path) -> Path:
    generator = np.random.default_rng(0)
    texts = [
        f"Story {number}. " + " ".join(f"The old {noun} was there at {generator.integers(99)}."
        for noun in generator.choice(NOUNS, 5))
        for number in range(300)
    ]  # fmt: skip
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def build_dictionary(model, sae, corpus: Path, out: Path, sample_rows: int = 30) -> Path:
    splits = CorpusConfig(
        [Source(str(corpus))], context_size=48, test_share=0.2, selection_share=0.2
    )
    return build(
        model, sae, BuildConfig(splits, tokens=3_000, sample_rows=sample_rows), Nouns(), out
    )
