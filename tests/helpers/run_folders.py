"""Made-up run folders: summaries and items as `saetask run` writes them."""

import json
from pathlib import Path
from typing import Any

KINDS = {"original": "baseline", "saetask": "method", "oracle": "bound", "always": "variant"}
ENVIRONMENT = {
    "saetask": "0.1.0",
    "python": "3.11.9",
    "torch": "2.9.1",
    "transformers": "5.1.0",
    "transformer-lens": "3.9.0",
    "sae-lens": "6.54.0",
    "numpy": "2.4.0",
    "scikit-learn": "1.9.0",
    "system": "Linux",
    "cpu": "two cores",
    "cores": "2",
    "gpu": "none",
}


def original(accuracy: float) -> dict:
    """Returns the arm `original` of 444 items as `summary.json` has it."""
    ends = [accuracy - 0.06, accuracy + 0.06]
    return {"n": 444, "annotated": 0, "accuracy": accuracy, "ci95": ends}


def arm(accuracy: float, difference: float = 0.0, half_width: float = 0.04, **others: Any) -> dict:
    """Returns another arm of 444 items as `summary.json` has it."""
    p_value = others.get("mcnemar_p", 1e-9)
    return {
        **original(accuracy),
        "annotated": 300,
        **compared(difference, half_width, "difference_ci95"),
        "holm_p": p_value,
        "detectable_difference": None,
    } | others


def compared(difference: float, half_width: float = 0.04, interval: str = "ci95") -> dict:
    """Returns the figures of a paired comparison."""
    ends = [difference - half_width, difference + half_width]
    counts = {"fixed": 90, "broken": 11, "mcnemar_p": 1e-9, "holm_p": 2e-9}
    return {"difference": difference, interval: ends, **counts}


GATED = {"gate_only": arm(0.60, 0.08), "gated_placebo": arm(0.58, 0.06)}
"""Arms with saetask's gate, both behind saetask."""


def with_raw(document: dict) -> dict:
    """Returns a summary in which raw answers stand beside the calibrated ones.

    The raw accuracies are 50 % of `original`, 70 % of saetask and 55 % of the others.
    """
    shares = {"original": 0.5, "saetask": 0.7}
    arms = {}
    for name, figures in document["arms"].items():
        share = shares.get(name, 0.55)
        raw = {"accuracy": share, "ci95": [share - 0.06, share + 0.06]}
        if "difference" in figures:
            raw |= compared(share - 0.5, interval="difference_ci95")
        arms[name] = figures | {"raw": raw}
    against = {
        name: figures | {"raw": compared(0.7 - 0.55)}
        for name, figures in document["against"].items()
    }
    shares = {"raw_answers": {"literal": 0.6, "metaphorical": 0.4}, "chance": 0.5, "majority": 0.48}
    return document | {"arms": arms, "against": against, "bias": shares}


def auroc(value: float, low: float, high: float) -> dict:
    """Returns the figures of a score."""
    return {"auroc": value, "ci95": [low, high], "n": 444}


def fold(**changes: Any) -> dict:
    """Returns what was chosen on a fold."""
    return {
        "n_fit": 222,
        "n_borrowed": 0,
        "annotator": "sense-note",
        "wording": 0,
        "wordings": [{"annotator": "sense-note", "wording": 0, "fit_loss": 0.5, "n": 40}],
        "detector": {"penalty": ["l2", 0.003]},
        "sae": 0,
        "saes": [{"hook_name": "blocks.3.hook_resid_post", "fit_loss": 0.6}],
    } | changes


def summary(**arms: dict) -> dict:
    """Returns a `summary.json` with some arms ("_" in a name stands for "-").

    What saetask adds to each control is the difference of their accuracies.
    """
    improved = arm(0.741, 0.221, fixed=131, broken=33, mcnemar_p=1e-15, holm_p=3e-15)
    every = {"original": original(0.52), "saetask": improved}
    every |= {name.replace("_", "-"): figures for name, figures in arms.items()}
    specified = {
        name: {
            **figures,
            "purpose": f"The purpose of {name}.",
            "kind": KINDS.get(name, "control"),
            "in_sae_credit": name in ("self", "placebo"),
        }
        for name, figures in every.items()
    }
    against = {
        name: compared(every["saetask"]["accuracy"] - figures["accuracy"])
        for name, figures in specified.items()
        if figures["kind"] == "control"
    }
    model = {"name": "tiny", "fingerprint": "abc", "dtype": "float32", "device": "cpu"}
    sae = {"name": "tiny-sae", "hook_name": "blocks.3.hook_resid_post", "d_sae": 64}
    fit = {"fingerprint": "def", "fvu": 0.2, "l0": 12.5, "cross_entropy_recovered": 0.9}
    return {
        "schema_version": 1,
        "experiment": "metaphor",
        "model": model,
        "sae": sae | fit,
        "failed_notes": 0,
        "n_items": 2,
        "seconds": 12.5,
        "seed": 0,
        "scoring": "rank",
        "fit_data": None,
        "arms": specified,
        "against": against,
        "probe_alone": None,
        "detection": {
            "n_wrong": 213,
            "saetask": auroc(0.78, 0.74, 0.82),
            "baselines": {"answer-margin": auroc(0.61, 0.55, 0.66)},
        },
        "reading_detection": {"saetask": None, "baselines": {}},
        "rounds": None,
        "second_question": None,
        "not_measured": {},
        "selection": {"folds": [fold()]},
    }


def rows(text: str = "She chews on an idea.", item: str = "a") -> list[dict]:
    """Returns the rows of an item that saetask fixed."""
    feature = {"id": 17, "label": f"label of {text}", "activation": 2.5, "weight": 0.5}
    finding = {"detector": "probe", "span": [4, 9], "text": "chews", "reading": "figurative"}
    finding |= {"probability": 0.9, "features": [feature, feature]}
    note = {"text": f"Note: {text}", "placement": "after", "annotator": "sense-note"}
    before = {
        "id": item,
        "arm": "original",
        "group": "chew",
        "fold": 0,
        "prompt": text,
        "output": "literal",
        "parsed": None,
        "correct": False,
        "misunderstandings": [],
        "annotations": [],
        "rounds": [],
        "scores": {"literal": -1.5},
        "seed": 0,
    }
    after = {"arm": "saetask", "prompt": text + " Note.", "output": text, "correct": True}
    written = {"parsed": "figurative", "misunderstandings": [finding], "annotations": [note]}
    return [before, before | after | written]


def raw_rows(text: str = "She chews on an idea.", item: str = "a") -> list[dict]:
    """Returns the rows of an item whose raw answers are otherwise than its calibrated ones.

    The model says the same before and after the note; saetask fixed the calibrated answer.
    """
    said = {"raw_output": "figurative", "raw_correct": True}
    said["raw_scores"] = {"literal": -9.25, "figurative": -7.125}
    return [row | said for row in rows(text, item)]


def write_run(folder: Path, summary_document: dict, item_rows: list[dict]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "summary.json").write_text(json.dumps(summary_document))
    (folder / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in item_rows))
    (folder / "config.yaml").write_text("experiment: metaphor\n")
    (folder / "environment.json").write_text(json.dumps(ENVIRONMENT))
    return folder


def further(**changes: Any) -> dict:
    """Returns the figures of a run with all its extras, to be merged into `summary()`."""
    apart = {"difference": 0.2, "ci95": [0.1, 0.3], "fixed": 90, "broken": 11}
    asked = arm(0.5, 0.01, fixed=8, broken=4, mcnemar_p=0.39)
    spread = {"accuracy": [0.74, 0.77], "mean": 0.755, "min": 0.74, "max": 0.77}
    features = {"feature": 6411, "label": "about 'mind'", "n": 24, "before": 7.9, "after": 3.1}
    ranked = {"ablation": -0.12, "random": [-0.03, 0.02], "rank": 1, "n_controls": 499}
    ranked |= {"p": 0.002, "holm_p": 0.006}
    figures = {
        "against": {"placebo": apart | {"mcnemar_p": 1e-9, "holm_p": 2e-9}},
        "credit": {"control": "self", "difference": 0.1, "ci95": [0.06, 0.14]},
        "finding_credit": {"control": "self", "difference": 0.1, "ci95": [0.06, 0.14]},
        "sae_credit": {
            "over": "random-sae",
            "difference": -0.01,
            "ci95": [-0.03, 0.01],
            "holm_p": 0.6,
            "n_dictionaries": 3,
        },
        "probe_alone": {
            "accuracy": 0.743,
            "ci95": [0.70, 0.78],
            "n": 444,
            "comparison": compared(-0.05) | {"holm_p": 0.003},
        },
        "reading_detection": {
            "saetask": auroc(0.81, 0.77, 0.85),
            "baselines": {
                "dense-probe": auroc(0.79, 0.75, 0.83),
                "bag-of-words": {"auroc": 0.6, "ci95": None, "n": 444},
            },
        },
        "second_question": {"n": 444, "arms": {"original": original(0.49), "saetask": asked}},
        "mechanism": [features | ranked],
        "rounds": {"one": 0.75, "closed_loop": 0.74, "used": "one"},
        "seeds": {"seeds": [0, 1], "arms": {"saetask": spread}},
    }
    return figures | changes
