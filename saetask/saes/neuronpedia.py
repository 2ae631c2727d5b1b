"""Links to the pages of features on Neuronpedia."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from saetask.saes.loading import SAE

ADDRESS = "https://www.neuronpedia.org"


def neuronpedia_url(sae: "SAE[Any]", feature: int) -> str | None:
    """Returns the address of a feature's page; None where the SAE has no id on Neuronpedia.

    SAE-Lens knows the id, such as `gpt2-small/8-res-jb`, of the releases that it loads by name.
    """
    name = getattr(sae.cfg.metadata, "neuronpedia_id", None)
    return f"{ADDRESS}/{name}/{feature}" if name else None
