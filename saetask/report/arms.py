"""Specification of an experiment's arms, and the purposes that the report prints."""

from dataclasses import dataclass
from typing import Literal

ArmKind = Literal["baseline", "method", "variant", "control", "bound"]


@dataclass(frozen=True)
class ArmSpec:
    """Name, purpose and role of an arm; how it writes prompts is defined in `experiments`."""

    name: str
    purpose: str
    """What the arm controls for, a short sentence."""
    kind: ArmKind
    """`baseline` (the prompt as it is), `method` (saetask), `variant` (saetask's findings written
    under another rule), `control` (explains the gain without saetask) or `bound` (uses the label).
    """
    in_sae_credit: bool = False
    """Whether the arm uses no feature that this SAE found in this item. SAE credit is saetask minus
    the best of these arms."""
    asks_second_question: bool = False
    """Whether the task's second question is asked with this arm's notes, too."""
    in_default: bool = True
    """Whether `saetask run` runs the arm unless told otherwise."""


PURPOSES = {
    "original": "The prompt as it is; every difference is taken to this arm.",
    "generic": "Any request for care: “read carefully”.",
    "placebo": "A longer prompt: neutral note, same length.",
    "random-feature": "Which features: random live ones, matched in frequency.",
    "shuffled": "The note fitting its item: another item's annotations.",
    "self": "The SAE: the model writes its own note.",
    "optimised-prompt": "Items: one instruction, optimised on the fit split (GEPA).",
    "dense-probe": "Sparse features: a linear probe on raw activations instead.",
    "random-sae": "A trained dictionary: the same pipeline on a frozen random one.",
    "closed-loop": "Reading again: a note is kept only if the annotated prompt is read better.",
    "always": "The gate: every item is annotated.",
    "saetask": "The claim: annotate what the features say was misread.",
    "oracle": "Upper bound, uses the gold reading.",
}

SCORES = {
    "dense-probe": "A linear probe on the raw activations.",
    "difference-in-means": "The direction between the classes' mean activations.",
    "best-neuron": "The one best dimension of the raw activations.",
    "best-feature": "The one best feature.",
    "bag-of-words": "The words of the text; no model.",
    "random-sae": "The same probe on a frozen random dictionary.",
    "answer-entropy": "How undecided the model is.",
    "prompt-length": "Characters of the prompt.",
}

LAST = ("saetask", "oracle")
GATE = "always"
LOOP = "closed-loop"
"""Both use saetask's own findings, so their success says nothing against them."""


def in_order(names: list[str]) -> list[str]:
    """Returns arms in the order of the tables; arms that are not known stand before saetask."""
    known = [name for name in PURPOSES if name not in LAST]
    places = {name: place for place, name in enumerate(known)}
    places |= {name: len(PURPOSES) + place for place, name in enumerate(LAST)}
    return sorted(names, key=lambda name: places.get(name, len(known)))


def controls(names: list[str]) -> list[str]:
    """Returns the arms that speak against the SAE when they do as well, unknown ones included."""
    return [name for name in in_order(names) if name not in ("original", *LAST, GATE, LOOP)]


def kind(name: str) -> str:
    """Returns how an arm is drawn: as original, saetask, oracle or control."""
    return name if name in ("original", *LAST) else "control"
