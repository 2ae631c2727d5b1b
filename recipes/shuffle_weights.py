"""Writes a model whose weights were shuffled: what an SAE finds in it, the model did not learn.

    python recipes/shuffle_weights.py MODEL_FOLDER SEED OUT_FOLDER

The entries of every weight matrix of the layers change places within it; embeddings and norms
stay, so tokens are told apart as before. (A control of Heap et al. 2025, arXiv 2501.17727.)
"""

import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

if __name__ == "__main__":
    source, seed, out = sys.argv[1:]
    model = AutoModelForCausalLM.from_pretrained(source)
    generator = torch.Generator().manual_seed(int(seed))
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if weights.dim() == 2 and ".layers." in name:
                order = torch.randperm(weights.numel(), generator=generator)
                weights.copy_(weights.flatten()[order].view_as(weights))
    model.save_pretrained(out)
    AutoTokenizer.from_pretrained(source).save_pretrained(out)
