"""Documents of a made-up discovery: a concept on which a model fails more often."""

from typing import Any

from saetask.discovery.documents import DiscoveryRow, DiscoverySummary


def discovery(**changes: Any) -> dict[str, Any]:
    """Returns a discovery as a document."""
    return {
        "concept": "on:verb.possession",
        "name": "verbs of having and giving (lost, gave)",
        "kind": "concept",
        "threshold": 0.5,
        "n_with": 120,
        "failure_with": 0.6,
        "failure_without": 0.25,
        "difference": 0.35,
        "ci95": [0.26, 0.44],
        "adjusted_difference": 0.33,
        "adjusted_ci95": [0.24, 0.42],
        "p": 0.0005,
        "q": 0.001,
        "confirmed": True,
        "needs_sae": True,
        "p_beyond_words": 0.004,
        "name_holds": 0.75,
        "name_in_prompts": 0.4,
        "gold": None,
        "words": ["gave", "lost"],
        "merged": ["feature 12"],
        "examples": ["17"],
        "near_misses": ["18"],
        **changes,
    }


def shown(**changes: Any) -> dict[str, Any]:
    """Returns a prompt that is shown."""
    return {
        "id": "17",
        "text": "Ann lost 3 of 9 marbles.",
        "output": "12",
        "failure": 1.0,
        "tokens": [{"start": 4, "end": 8, "text": "lost", "activation": 2.5}],
        **changes,
    }


def summary(*discoveries: dict[str, Any], **changes: Any) -> DiscoverySummary:
    """Returns the summary of some discoveries."""
    document = {
        "schema_version": 1,
        "log": "log.jsonl",
        "model": "tiny",
        "sae": "blocks.0.hook_resid_post, 32 features",
        "seed": 0,
        "answer": "yes",
        "answer_share": 0.5,
        "by": "correctness",
        "samples": 0,
        "n_reordered": 0,
        "gold": None,
        "q": 0.05,
        "n_items": 800,
        "n_without_score": 0,
        "n_too_long": 0,
        "n_discovery": 400,
        "n_confirmation": 400,
        "failure_rate": 0.3,
        "confounders": ["length"],
        "n_concepts": 93,
        "n_features": 4000,
        "discoveries": list(discoveries),
        "controls": {
            "words": {"n_confirmed": 1, "n_tested": 20, "confirmed": ["'lost'"]},
            "word-classes": {"n_confirmed": 2, "n_tested": 3, "confirmed": ["food", "plants"]},
            "random-sae": {"n_confirmed": 0, "n_tested": 12, "confirmed": []},
            "permuted": {"mean_confirmed": 0.05, "share_with_any": 0.04, "n_permutations": 100},
        },
        "power": [{"share": 0.25, "concepts": 0.14, "features": None}],
        "mended": [],
        **changes,
    }
    return DiscoverySummary.model_validate(document)


def row(found: dict[str, Any], *examples: dict[str, Any]) -> DiscoveryRow:
    """Returns a discovery with prompts that are shown."""
    near = [shown(id="18", text="Bo gave 2 away.", failure=0.0, tokens=[])]
    contexts = ["He «gave» her the book."]
    document = {
        **found,
        "contexts": contexts,
        "shown_examples": list(examples),
        "shown_near_misses": near,
    }
    return DiscoveryRow.model_validate(document)
