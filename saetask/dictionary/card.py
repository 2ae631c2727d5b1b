"""A dictionary's card: what was read, and how its labels fared, for people."""

from collections.abc import Mapping
from typing import Any

from saetask.dictionary.examples import SILENT_PER_FIRING, STRONG
from saetask.dictionary.verdicts import FEWEST, VALIDATED

CARD = "README.md"


def dictionary_card(manifest: Mapping[str, Any]) -> str:
    """Returns the card as Markdown."""
    corpus, samples = manifest["corpus"], manifest["corpus"]["samples"]
    parts = [
        f"# Dictionary of {manifest['n_features']:,} features",
        f"SAE at `{manifest['sae']['hook_name']}` of {manifest['model']['name']} (fingerprints in "
        "`manifest.json`). One row a feature in `features.parquet`, its contexts in "
        "`contexts.parquet`.",
        f"Read: {corpus['tokens']:,} tokens of {', '.join(corpus['sources'])}; labels by "
        f"`{manifest['labeler']}` from {samples['train']['documents']:,} documents, chosen on "
        f"{samples['selection']['documents']:,} others, tried on "
        f"{samples['test']['documents']:,} more; no document is in two of these.",
    ]
    if manifest["validation"] is not None:
        parts += [_figures(manifest["validation"]), _explained()]
    return "\n\n".join(parts) + "\n"


def _figures(validation: Mapping[str, Any]) -> str:
    lines = [
        "| | tested | validated | precise | chosen before | of them validated | coverage |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, found in {"this SAE": validation, **validation["controls"]}.items():
        lines.append(
            f"| {name} | {found['n_tested']:,} | {found['validated_share']:.1%} "
            f"| {found['precise_share']:.1%} | {found['n_chosen']:,} "
            f"| {found['chosen_validated_share']:.1%} | {found['coverage']:.1%} |"
        )
    return "\n".join(lines)


def _explained() -> str:
    return (
        f"A label is *validated* when, on the test documents, the feature fires strongly (in the "
        f"upper {1 - STRONG:.0%} of its activations) in {VALIDATED.precision:.0%} or more of the "
        f"contexts that the label claims (at least {FEWEST}; Wilson's interval begins at "
        f"{VALIDATED.lower:.0%} or more), and the label claims {VALIDATED.recall:.0%} or more of "
        f"those in which it does. There are {SILENT_PER_FIRING} silent contexts to a firing one; "
        "a quarter of them end with a token on which the feature fires elsewhere, or with one on "
        "which its nearest neighbour fires. *Precise* leaves the second condition out. *Chosen "
        "before*: labels that did better than that on the selection documents already. "
        "*Coverage*: the share of all firings that validated labels claim. *Tested*: features "
        f"with {FEWEST} or more strongly firing contexts."
    )
