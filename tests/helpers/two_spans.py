"""Readings with two spans to compare."""

import numpy as np

from saetask.data import Span
from saetask.detection import DetectorInput
from tests.helpers.planted_readings import CONTENT, D_SAE, PlantedSample, activations, answer_scores

TWO_SPANS = {"text": Span(0, 18), "target": Span(6, 8), "other": Span(12, 14)}
TWO_REGIONS = {**TWO_SPANS, "answer": Span(18, 24)}


def two_span_reading(on_target, on_other, scores=None):
    """A prompt whose two spans have these firings."""
    found = activations({2: on_target, 4: on_other}, TWO_REGIONS)
    return DetectorInput(found, CONTENT, TWO_SPANS, scores or {})


class Pairs(PlantedSample):
    """Two spans that share their sense's features where the sense is the same."""

    def __init__(self, seed=0, plant=True):
        generator = np.random.default_rng(seed)
        self.readings, self.golds, self.groups = [], [], []
        for i in range(180):
            gold = ("same", "different")[i % 2]
            senses = generator.choice(6, size=2, replace=False)
            if gold == "same" or not plant:
                senses[1] = senses[0]
            spans = []
            for sense in senses:
                noise = generator.choice(np.arange(60, D_SAE), 8, replace=False)
                own = [f for f in range(10 * sense, 10 * sense + 8) if generator.random() < 0.6]
                spans.append({f: 1 + float(generator.gamma(2.0)) for f in [*noise.tolist(), *own]})
            right = generator.random() < 0.6
            answer = gold if right else {"same": "different", "different": "same"}[gold]
            scores = answer_scores("ab"[answer == "different"], generator)
            scores = {"same": scores["a"], "different": scores["b"]}
            self.readings.append(two_span_reading(*spans, scores))
            self.golds.append(gold)
            self.groups.append(f"w{i // 6}")
