"""A repository of Gemma Scope 2 in the release's own file format, with made-up weights."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

RELEASE = "gemma-scope-2-270m-it-res"
"""SAE-Lens's name of the release; `REPOSITORY` is where the hub has it."""
REPOSITORY = "google/gemma-scope-2-270m-it"
MODEL = "google/gemma-3-270m-it"
SAE_ID = "layer_12_width_16k_l0_medium"
LAYERS = 18
"""Layers of Gemma 3 270m, whose layer 12 the SAE reads."""


def write_gemma_scope(folder: Path, width: int) -> None:
    """Writes an SAE whose features are the axes and their opposites: its decoding is exact.

    Names of folders, files, keys and tensors are those that SAE-Lens's converter expects, `w_enc`
    as [d_in, d_sae] and `w_dec` as [d_sae, d_in]; 16k is part of the name only.
    """
    target = folder / "resid_post" / SAE_ID
    target.mkdir(parents=True)
    config = {
        "architecture": "jump_relu",
        "model_name": MODEL,
        "hf_hook_point_in": "model.layers.12.output",
        "hf_hook_point_out": "model.layers.12.output",
        "width": 2 * width,
        "l0": 60,
        "affine_connection": False,
        "type": "sae",
    }
    (target / "config.json").write_text(json.dumps(config))
    axes = torch.cat([torch.eye(width), -torch.eye(width)])
    tensors = {
        "w_enc": axes.T.contiguous(),
        "w_dec": axes,
        "b_enc": torch.zeros(2 * width),
        "b_dec": torch.zeros(width),
        "threshold": torch.zeros(2 * width),
    }
    save_file(tensors, target / "params.safetensors")
