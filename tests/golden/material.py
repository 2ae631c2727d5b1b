"""What the golden run reads: a tiny model, an SAE that fits it exactly, small texts.

Nothing of the project is imported here or in the other modules of this folder: whatever is renamed
or moved, the recorded run stays the same.
"""

import json
import shutil
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CORPUS = HERE / "corpus.jsonl"
METAPHORS = HERE / "metaphors.jsonl"
PROBLEMS = HERE / "problems.jsonl"
TOKENIZER = HERE / "tokenizer.json"
WIDTH = 32
HOOK = "blocks.2.hook_resid_post"
MARKERS = {
    "thing": ["stone", "bread", "wheel", "shirt", "onion"],
    "idea": ["hope", "truth", "silence", "anger", "dream"],
    "trap": ["plan", "story", "quarrel", "debt", "rumour"],
    "sum": ["gained", "bought"],
    "left": ["dropped", "gave"],
    "product": ["in each of", "in all"],
    "part": ["shared", "divided"],
    "literal": ["literal"],
    "metaphorical": ["metaphorical"],
    "+": ["+"],
    "-": ["-"],
    "*": ["*"],
    "/": ["/"],
}
"""Words whose embedding has something in common, by which the model and the SAE tell them."""
SHIFTS = {
    "thing": {0: 1.0},
    "idea": {0: -1.0},
    "trap": {0: 1.0, 1: 2.0},
    "sum": {2: 1.0},
    "left": {3: 1.0},
    "product": {4: 1.0},
    "part": {5: 1.0},
    "literal": {0: 1.0},
    "metaphorical": {0: -1.0},
    "+": {2: 1.0},
    "-": {3: 1.0},
    "*": {4: 1.0},
    "/": {5: 1.0},
}
"""Axes, and how far. Words and answers that share an axis go together: the model takes a trap for
a thing, though another axis tells them apart, which is there for a detector to find."""
SHIFT, EMBEDDING_SCALE, BLOCK_SCALE = 3.0, 0.5, 0.15
COPIED_AXES, COPIED = 8, 1.0
"""Attention carries so many axes, so strongly, from the words of a prompt to its end."""


def make_material(folder: Path) -> None:
    """Writes `model/`, `sae/` and the texts into a folder."""
    for path in (CORPUS, METAPHORS, PROBLEMS):
        shutil.copy(path, folder / path.name)
    _make_model(folder / "model")
    _make_sae(folder / "sae")


def make_items_of_other_tasks(folder: Path) -> None:
    """Writes the same sentences and problems in the item formats of the other tasks."""
    metaphors = read_rows(METAPHORS)
    literal = {row["group"]: row for row in metaphors if row["label"] == "literal"}
    rows = {
        "word-sense": [_word_sense(literal[row["group"]], row) for row in metaphors],
        "figurative-qa": [_figurative_qa(row) for row in metaphors],
        "multiple-choice": [_multiple_choice(row) for row in metaphors],
        "gsm8k": [_gsm8k(row) for row in read_rows(PROBLEMS)],
    }
    for task, items in rows.items():
        lines = [json.dumps(item) + "\n" for item in items]
        (folder / f"{task}.jsonl").write_text("".join(lines), encoding="utf-8")


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Reads JSON lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _word_sense(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Returns an item that compares a verb in two sentences, the first of them literal."""
    sides = {}
    for number, row in ((1, first), (2, second)):
        sides |= {
            f"sentence{number}": row["sentence"],
            f"target{number}": row["target"],
            f"start{number}": row["target_start"],
        }
    label = "same" if first["label"] == second["label"] else "different"
    return {"id": second["id"], "word": second["target"], "label": label, **sides}


def _figurative_qa(row: dict[str, Any]) -> dict[str, Any]:
    """Returns an item whose right ending denies the sentence where its verb is a metaphor."""
    endings = ["It was done by hand.", "It was not done by hand."]
    label = int(row["label"] == "metaphorical")
    return {
        "id": row["id"],
        "phrase": row["sentence"],
        "endings": endings,
        "label": label,
        "group": row["group"],
    }


def _multiple_choice(row: dict[str, Any]) -> dict[str, Any]:
    """Returns an item that asks how the verb is meant."""
    label = int(row["label"] == "metaphorical")
    choices = ["literal", "metaphorical", "neither"]
    prompt = f"{row['sentence']} What is the verb?"
    return {
        "id": row["id"],
        "prompt": prompt,
        "choices": choices,
        "label": label,
        "group": row["group"],
    }


def _gsm8k(row: dict[str, Any]) -> dict[str, Any]:
    """Returns a problem with the operation that solves it."""
    words = {"in": "multiplication", "between": "division", "left?": "subtraction"}
    found = [name for word, name in words.items() if f" {word}" in row["question"]]
    return {**row, "operations": found or ["addition"]}


def _make_model(folder: Path) -> None:
    """Saves a random Llama of 4 layers, in float32, with its tokenizer.

    NumPy draws the weights, name by name: they depend neither on the order in which transformers
    initialises nor on the processor.
    """
    import numpy as np
    import torch
    from tokenizers import Tokenizer
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    document = json.loads(TOKENIZER.read_text(encoding="utf-8"))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(document["tokenizer"])),
        bos_token="<|start|>",
        eos_token="<|end|>",
        pad_token="<|end|>",
        chat_template=document["chat_template"],
        clean_up_tokenization_spaces=False,
    )
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config).float().eval()
    drawn = np.random.default_rng(0)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            if "norm" in name:
                parameter.fill_(1)
            else:
                scale = EMBEDDING_SCALE if "embed" in name else BLOCK_SCALE
                values = drawn.standard_normal(tuple(parameter.shape)) * scale
                if "embed" in name:
                    _shift(values, tokenizer)
                if "v_proj" in name or "o_proj" in name:
                    axes = np.arange(COPIED_AXES)
                    values[axes, axes] += COPIED
                parameter.copy_(torch.from_numpy(values.astype(np.float32)))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _shift(embeddings: Any, tokenizer: Any) -> None:
    """Moves the embeddings of the marked words' first tokens, in place."""
    for kind, words in MARKERS.items():
        for word in words:
            token = tokenizer(f" {word}")["input_ids"][0]
            for axis, amount in SHIFTS[kind].items():
                embeddings[token, axis] += SHIFT * amount


def _make_sae(folder: Path) -> None:
    """Saves a top-k SAE whose features are the axes and their opposites: its decoding is exact."""
    import torch
    from sae_lens import TopKSAE, TopKSAEConfig
    from sae_lens.saes.sae import SAEMetadata

    config = TopKSAEConfig(
        d_in=WIDTH,
        d_sae=2 * WIDTH,
        k=WIDTH,
        dtype="float32",
        device="cpu",
        metadata=SAEMetadata(hook_name=HOOK, model_name="model"),
    )
    sae = TopKSAE(config)
    axes = torch.cat([torch.eye(WIDTH), -torch.eye(WIDTH)])
    with torch.no_grad():
        sae.W_dec.copy_(axes)
        sae.W_enc.copy_(axes.T)
        sae.b_enc.zero_()
        sae.b_dec.zero_()
    sae.save_model(folder)
