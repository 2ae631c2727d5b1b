"""saetask: find what a language model misread in a prompt, write it back, and prove that it helps.

The names below are the public interface; they load what they need when first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from saetask.annotation.base import (
        PLACEMENTS,
        Annotation,
        Annotator,
        WritingAnnotator,
        annotate,
    )
    from saetask.data.items import (
        first_number,
        last_number,
        read_items,
        stated_number,
    )
    from saetask.data.prompts import Prompt, RenderedPrompt, Span, as_prompt, render
    from saetask.data.tasks import AsksTwice, Candidate, Item, Score, SecondQuestion, Task
    from saetask.detection.base import (
        Detector,
        DetectorInput,
        Evidence,
        Finding,
        Misunderstanding,
        make_finding,
        make_misunderstanding,
    )
    from saetask.detection.probe_features import log_activations, shared_part
    from saetask.detection.stacked_probe import (
        CHANCE,
        answer_scores,
        fit_stack,
        held_out_loss,
        in_domain_rows,
        inner_folds,
        known_readings,
        labels_of,
        make_findings,
        out_of_fold,
        stacked_probabilities,
    )
    from saetask.dictionary.dictionary import Dictionary
    from saetask.dictionary.label.base import FeatureEvidence, Label, Labeler
    from saetask.dictionary.label.rules import (
        VIEWS,
        Rule,
        Vocabulary,
        added_scores,
        context_text,
        context_vectors,
    )
    from saetask.errors import UserError
    from saetask.experiments.run import RunConfig, run
    from saetask.inference.endpoint import Endpoint, EndpointError, Reply, json_object
    from saetask.models.loading import load_model
    from saetask.plugins import hookimpl
    from saetask.report import write_report
    from saetask.saes.activations import FeatureActivations, Firing
    from saetask.saes.compatibility import check_sae
    from saetask.saes.extraction import read_features
    from saetask.saes.loading import load_sae
    from saetask.saes.logit_lens import promotion_label
    from saetask.session import Session
    from saetask.training.config import TrainConfig
    from saetask.training.runner import train

_HOMES = {
    "annotation.base": ("PLACEMENTS", "Annotation", "Annotator", "WritingAnnotator", "annotate"),
    "data.items": (
        "first_number",
        "last_number",
        "read_items",
        "stated_number",
    ),
    "data.prompts": ("Prompt", "RenderedPrompt", "Span", "as_prompt", "render"),
    "data.tasks": ("AsksTwice", "Candidate", "Item", "Score", "SecondQuestion", "Task"),
    "detection.base": (
        "Detector",
        "DetectorInput",
        "Evidence",
        "Finding",
        "Misunderstanding",
        "make_finding",
        "make_misunderstanding",
    ),
    "detection.stacked_probe": (
        "CHANCE",
        "answer_scores",
        "fit_stack",
        "held_out_loss",
        "in_domain_rows",
        "inner_folds",
        "known_readings",
        "labels_of",
        "make_findings",
        "out_of_fold",
        "stacked_probabilities",
    ),
    "detection.probe_features": ("log_activations", "shared_part"),
    "dictionary.dictionary": ("Dictionary",),
    "dictionary.label.base": ("FeatureEvidence", "Label", "Labeler"),
    "dictionary.label.rules": (
        "VIEWS",
        "Rule",
        "Vocabulary",
        "added_scores",
        "context_text",
        "context_vectors",
    ),
    "errors": ("UserError",),
    "experiments.run": ("RunConfig", "run"),
    "inference.endpoint": ("Endpoint", "EndpointError", "Reply", "json_object"),
    "models.loading": ("load_model",),
    "plugins": ("hookimpl",),
    "report": ("write_report",),
    "saes.activations": ("FeatureActivations", "Firing"),
    "saes.compatibility": ("check_sae",),
    "saes.extraction": ("read_features",),
    "saes.loading": ("load_sae",),
    "saes.logit_lens": ("promotion_label",),
    "session": ("Session",),
    "training.config": ("TrainConfig",),
    "training.runner": ("train",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)  # noqa: PLE0605  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    """Imports the module that a public name lives in."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'saetask' has no attribute '{name}'")
    value = getattr(importlib.import_module(f"saetask.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME_OF])
