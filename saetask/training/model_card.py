"""Model card of a trained SAE: architecture, corpus, recipe and measured figures."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from saetask.training.config import TrainConfig


def model_card(config: "TrainConfig", metrics: dict[str, Any]) -> str:
    """Returns the card as Markdown; metrics are of the saved SAE on held-out documents."""
    import yaml

    harvest = config.harvest
    total = sum(source.share for source in harvest.corpus.sources)
    texts = [
        f"- {Path(source.path).name}: {source.share / total:.0%} of the tokens"
        for source in harvest.corpus.sources
    ]
    figures = {
        "Normalised MSE (squared error over squared norm)": f"{metrics['normalised_mse']:.4f}",
        "Fraction of variance unexplained": f"{metrics['fvu']:.4f}",
        "Features active on a token (L0)": f"{metrics['l0']:.1f}",
        "Sparsity (L0 over d_sae)": f"{metrics['sparsity']:.2%}",
        "Features that never fired": f"{metrics['dead_share']:.2%}",
        "Cross-entropy recovered": f"{metrics['cross_entropy_recovered']:.4f}",
        "Held-out activations measured on": f"{metrics['test_tokens']:,}",
        "Activations harvested": f"{metrics['activations_harvested']:,}",
        "Samples trained on": f"{metrics['samples_trained']:,}",
    }
    warning = metrics["check"]["warning"]
    check = f"The check finds: {warning}" if warning else "It passes the check that commands make."
    table = "\n".join(f"| {name} | {value} |" for name, value in figures.items())
    recipe = yaml.safe_dump(asdict(config), sort_keys=False)
    return f"""# Sparse autoencoder for {config.model}

A {config.architecture} SAE with {config.d_sae} features for `{harvest.hook_name}`, trained by
saetask on SAE-Lens. It is an SAE-Lens folder: `SAE.load_from_disk` reads it. It takes raw
activations of ordinary tokens; special tokens and activations beyond the norm limit in its
metadata were left out of training and of every figure below.

| figure | value |
|---|---|
{table}

{check}

## Texts

{chr(10).join(texts)}

Documents are split by hash: no document is both trained and measured on.

## Recipe

```yaml
{recipe}```
"""
