"""Made-up run folders: summaries and items as `saetask run` writes them."""

import json
from pathlib import Path
from typing import Any


def arm(accuracy: float, difference: float = 0.0, half_width: float = 0.04, **others: Any) -> dict:
    """Returns an arm of 444 items as `summary.json` has it."""
    ends = [difference - half_width, difference + half_width]
    figures = {"n": 444, "accuracy": accuracy, "ci95": [accuracy - 0.05, accuracy + 0.05]}
    return figures | {"difference": difference, "difference_ci95": ends} | others


def summary(**arms: dict) -> dict:
    """Returns a `summary.json` with some arms ("_" in a name stands for "-")."""
    improved = arm(0.741, 0.221, fixed=131, broken=33, mcnemar_p=1e-15, holm_p=3e-15)
    every = {"original": {"n": 444, "accuracy": 0.52, "ci95": [0.46, 0.58]}, "saetask": improved}
    every |= {name.replace("_", "-"): figures for name, figures in arms.items()}
    saetask = {"auroc": 0.78, "ci95": [0.74, 0.82], "n": 444}
    margin = {"auroc": 0.61, "ci95": [0.55, 0.66], "n": 444}
    return {
        "schema_version": 1,
        "experiment": "metaphor",
        "model": {"name": "tiny", "fingerprint": "abc"},
        "sae": {"name": "tiny-sae", "hook_name": "blocks.3.hook_resid_post", "d_sae": 64},
        "n_items": 2,
        "arms": every,
        "detection": {"saetask": saetask, "baselines": {"answer-margin": margin}},
    }


def rows(text: str = "She chews on an idea.", item: str = "a") -> list[dict]:
    """Returns the rows of an item that saetask fixed."""
    feature = {"id": 17, "label": f"label of {text}", "activation": 2.5, "weight": 0.5}
    finding = {"detector": "probe", "span": [4, 9], "text": "chews", "reading": "figurative"}
    finding |= {"probability": 0.9, "features": [feature, feature]}
    shared = {"id": item, "group": "chew", "fold": 0, "scores": {"literal": -1.5}, "seed": 0}
    original = shared | {"arm": "original", "prompt": text, "output": "literal", "correct": False}
    note = {"text": f"Note: {text}", "placement": "after", "annotator": "sense-note"}
    saetask = {"arm": "saetask", "prompt": text + " Note.", "output": text, "correct": True}
    found = {"parsed": "figurative", "misunderstandings": [finding], "annotations": [note]}
    return [original, shared | saetask | found]


def write_run(folder: Path, summary_document: dict, item_rows: list[dict]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "summary.json").write_text(json.dumps(summary_document))
    (folder / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in item_rows))
    (folder / "config.yaml").write_text("experiment: metaphor\n")
    (folder / "environment.json").write_text('{"saetask": "0.1.0", "cpu": "two cores"}')
    return folder


def further(**changes: Any) -> dict:
    """Returns the figures of a run with all its extras, to be merged into `summary()`."""
    apart = {"difference": 0.2, "ci95": [0.1, 0.3], "fixed": 90, "broken": 11}
    dense = {"auroc": 0.79, "ci95": [0.75, 0.83], "n": 444}
    asked = arm(0.5, 0.01, fixed=8, broken=4, mcnemar_p=0.39)
    spread = {"accuracy": [0.74, 0.77], "mean": 0.755, "min": 0.74, "max": 0.77}
    features = {"feature": 6411, "label": "about 'mind'", "n": 24, "before": 7.9, "after": 3.1}
    figures = {
        "against": {"placebo": apart | {"mcnemar_p": 1e-9, "holm_p": 2e-9}},
        "credit": {"control": "self", "difference": 0.1, "ci95": [0.06, 0.14]},
        "probe_alone": {"accuracy": 0.743, "ci95": [0.70, 0.78], "n": 444},
        "reading_detection": {
            "saetask": {"auroc": 0.81, "ci95": [0.77, 0.85], "n": 444},
            "baselines": {"dense-probe": dense, "bag-of-words": {"auroc": 0.6, "n": 444}},
        },
        "second_question": {"n": 444, "arms": {"original": arm(0.49), "saetask": asked}},
        "mechanism": [features | {"ablation": -0.12, "random": [-0.03, 0.02], "p": 0.01}],
        "rounds": {"one": 0.75, "closed_loop": 0.74, "used": "one"},
        "seeds": {"seeds": [0, 1], "arms": {"saetask": spread}},
    }
    return figures | changes
