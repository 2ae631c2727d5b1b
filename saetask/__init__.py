"""saetask: find what a language model misread in a prompt, write it back, and prove that it helps.

The names below are the public interface; they load what they need when first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from saetask.activations import FeatureActivations, Firing
    from saetask.detection import (
        Detector,
        Evidence,
        Finding,
        Misunderstanding,
        Reading,
        finding_of,
        misread,
    )
    from saetask.dictionary.dictionary import Dictionary
    from saetask.dictionary.labels import FeatureEvidence, Label, Labeler
    from saetask.dictionary.marking import context_text
    from saetask.dictionary.rules import VIEWS, Rule, Vocabulary, added_scores, context_vectors
    from saetask.endpoint import Endpoint, EndpointError, Reply, json_object
    from saetask.errors import UserError
    from saetask.logit_lens import promotion_label
    from saetask.models import load_model
    from saetask.probe_inputs import log_activations, region_sets, shared_part
    from saetask.prompts import Prompt, RenderedPrompt, Span, as_prompt, render
    from saetask.reading import read_features
    from saetask.reformulation import (
        PLACEMENTS,
        Annotation,
        Annotator,
        WritingAnnotator,
        annotate,
    )
    from saetask.registry import hookimpl
    from saetask.report import write_report
    from saetask.runs import RunConfig, run
    from saetask.sae_check import check_sae
    from saetask.saes import load_sae
    from saetask.session import Session
    from saetask.stacking import (
        CHANCE,
        answer_scores,
        findings_of,
        fit_stack,
        held_out_loss,
        inner_folds,
        known_readings,
        labels_of,
        out_of_fold,
        own_rows,
        stacked_probabilities,
    )
    from saetask.tasks import (
        AsksTwice,
        Candidate,
        FieldError,
        Item,
        Score,
        SecondQuestion,
        Task,
        first_number,
        index_field,
        last_number,
        number_field,
        read_items,
        stated_number,
        text_field,
        texts_field,
    )
    from saetask.training import TrainConfig, train

_HOMES = {
    "activations": ("FeatureActivations", "Firing"),
    "detection": (
        "Detector",
        "Evidence",
        "Finding",
        "Misunderstanding",
        "Reading",
        "finding_of",
        "misread",
    ),
    "dictionary.dictionary": ("Dictionary",),
    "dictionary.labels": ("FeatureEvidence", "Label", "Labeler"),
    "dictionary.rules": ("VIEWS", "Rule", "Vocabulary", "added_scores", "context_vectors"),
    "dictionary.marking": ("context_text",),
    "endpoint": ("Endpoint", "EndpointError", "Reply", "json_object"),
    "errors": ("UserError",),
    "logit_lens": ("promotion_label",),
    "models": ("load_model",),
    "probe_inputs": ("log_activations", "region_sets", "shared_part"),
    "prompts": ("Prompt", "RenderedPrompt", "Span", "as_prompt", "render"),
    "reading": ("read_features",),
    "reformulation": (
        "PLACEMENTS",
        "Annotation",
        "Annotator",
        "WritingAnnotator",
        "annotate",
    ),
    "registry": ("hookimpl",),
    "report": ("write_report",),
    "runs": ("RunConfig", "run"),
    "sae_check": ("check_sae",),
    "saes": ("load_sae",),
    "session": ("Session",),
    "stacking": (
        "CHANCE",
        "answer_scores",
        "findings_of",
        "fit_stack",
        "held_out_loss",
        "inner_folds",
        "known_readings",
        "labels_of",
        "out_of_fold",
        "own_rows",
        "stacked_probabilities",
    ),
    "tasks": (
        "AsksTwice",
        "Candidate",
        "FieldError",
        "Item",
        "Score",
        "SecondQuestion",
        "Task",
        "first_number",
        "index_field",
        "last_number",
        "number_field",
        "read_items",
        "stated_number",
        "text_field",
        "texts_field",
    ),
    "training": ("TrainConfig", "train"),
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
