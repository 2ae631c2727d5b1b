"""What a detector sees, made up: one token, and whatever activations a test wants on it."""

import numpy as np

from saetask import FeatureActivations
from saetask.data import RenderedPrompt, Span
from saetask.detection import DetectorInput

CONTENT = "the cold soup"
TARGET = Span(4, 8)
D_SAE = 40


def make_reading(answer_scores, content=CONTENT, features=(), raw=None, target=True):
    """Returns a reading of one prompt, which is one token.

    Args:
        answer_scores: The model's log-probability of each reading.
        content: The prompt.
        features: What fires on it, each with activation 2.
        raw: Mean raw activations by region.
        target: Is its second word the target?
    """
    spans = {"text": Span(0, len(content))} | ({"target": TARGET} if target else {})
    token = [Span(0, len(content))]
    active = np.array(sorted(features), np.int32)
    activations = FeatureActivations(
        [RenderedPrompt(content, [0], token, spans)],
        D_SAE,
        np.array([0, len(active)]),
        active,
        np.full(len(active), 2.0, np.float32),
    )
    return DetectorInput(activations, content, spans, answer_scores, raw or {})
