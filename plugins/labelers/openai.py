"""Labels written by a language model that is shown where a feature fires.

The method is automatic interpretability: Bills et al. 2023, "Language models can explain neurons
in language models", as made cheaper by Paulo et al. 2024, "Automatically interpreting millions of
features in large language models" (delphi). The text of the questions is ours.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from saetask import UserError
from saetask.dictionary import FeatureEvidence, Label, context_text
from saetask.inference import Endpoint, EndpointError, Reply, json_object
from saetask.saes import promotion_label

SHOWN = 20
"""Contexts shown: the strongest of those drawn."""
PROMOTED = 10
LONGEST = 200
"""Maximum length of a label, in characters; more is no short phrase."""
WORKERS = 8
INSTRUCTIONS = (
    "You name features of a language model. A feature is a number that the model computes at "
    "every token; at most tokens it is zero. You are shown pieces of text, each up to a token at "
    "which the feature is active. That token is marked <<like this>>, and the number before the "
    "text says how active the feature is there, from 0 to 10. Find what the marked tokens, or the "
    "texts that lead up to them, have in common. Answer with a JSON object and nothing else: "
    '{"label": "..."}, where the label is one short phrase (a dozen words at most) from which '
    "somebody could tell at which tokens of new texts the feature is active. Describe the texts "
    "as precisely as they allow; do not speak of features, tokens marked, or examples."
)


@dataclass(frozen=True)
class OpenAIOptions:
    """Options of the language model and its endpoint."""

    model: Annotated[str, Field(min_length=1)]
    """The model's name at the endpoint."""
    base_url: str | None = None
    """The endpoint's address; else $OPENAI_BASE_URL, else OpenAI's own."""
    workers: Annotated[int, Field(ge=1, lt=1_000_000)] = WORKERS
    """Questions at a time."""
    timeout: Annotated[float, Field(ge=0.001, lt=1_000_000)] = 60.0
    """Seconds to wait for an answer."""
    retries: Annotated[int, Field(ge=0, lt=1_000_000)] = 4
    """How often a question that failed is put again."""


@dataclass(frozen=True)
class OpenAI:
    """A language model at any OpenAI-compatible endpoint, shown the strongest contexts."""

    endpoint: Endpoint | None = None
    workers: int = WORKERS
    chosen: Mapping[str, str] = field(default_factory=dict)
    name: ClassVar[str] = "openai"
    in_words: ClassVar[bool] = True
    options_type: ClassVar[type] = OpenAIOptions

    def configure(self, options: OpenAIOptions) -> "OpenAI":
        """Returns the labeler for one model; its key comes from `$OPENAI_API_KEY` alone.

        Raises:
            UserError: The endpoint can not be asked, or the client library is missing.
        """
        endpoint = Endpoint(
            options.model, options.base_url, timeout=options.timeout, retries=options.retries
        )
        chosen = {"model": options.model}
        if address := options.base_url or os.environ.get("OPENAI_BASE_URL"):
            chosen["base_url"] = address
        return OpenAI(endpoint, options.workers, chosen)

    def label(self, evidence: FeatureEvidence) -> Label:
        """Labels one feature; one that fires nowhere, by what it promotes."""
        if self.endpoint is None:
            raise UserError("Labeler 'openai' needs the option 'model', the name of a model.")
        if not evidence.learning.firing.any():
            return Label(promotion_label(evidence.promoted), None, {"source": "logit lens"})
        try:
            reply = self.endpoint.ask(messages(evidence))
        except EndpointError as error:
            return Label("", None, {"model": self.endpoint.model}, str(error))
        provenance = {
            "model": self.endpoint.model,
            "prompt_tokens": reply.prompt_tokens,
            "completion_tokens": reply.completion_tokens,
        }
        try:
            return Label(_phrase(reply), None, provenance)
        except EndpointError as error:
            return Label("", None, provenance, str(error))


def messages(evidence: FeatureEvidence) -> list[dict[str, str]]:
    """Returns the question about one feature."""
    examples = evidence.learning
    strongest = np.argsort(-examples.activations, kind="stable")[:SHOWN]
    strongest = strongest[examples.firing[strongest]]
    scale = 10 / examples.activations[strongest[0]]
    lines = []
    for place in strongest:
        window = examples.windows[place]
        text = context_text(window, evidence.vocabulary, marked=len(window) - 1)
        strength = max(1, round(float(examples.activations[place] * scale)))
        lines.append(f"{strength:>2}  {text}")
    shown = "\n".join(lines)
    if evidence.promoted:
        promoted = ", ".join(repr(token) for token in evidence.promoted[:PROMOTED])
        shown += f"\n\nNext tokens that the feature makes more probable: {promoted}"
    return [
        {"role": "system", "content": INSTRUCTIONS},
        {"role": "user", "content": shown},
    ]


def _phrase(reply: Reply) -> str:
    """Reads the label out of an answer; anything but one short phrase counts as none."""
    label = json_object(reply.text).get("label")
    if not isinstance(label, str) or not label.strip():
        raise EndpointError(f"no label: {reply.text[:60]!r}")
    label = label.strip()
    if len(label) > LONGEST or len(label.splitlines()) > 1:
        raise EndpointError(f"no short phrase: {label[:60]!r}")
    return label
