"""Readings with two spans to compare."""

from planted_readings import CONTENT, activations

from saetask import Reading, Span

TWO_SPANS = {"text": Span(0, 18), "target": Span(6, 8), "other": Span(12, 14)}
TWO_REGIONS = {**TWO_SPANS, "answer": Span(18, 24)}


def two_span_reading(on_target, on_other, scores=None):
    """A prompt whose two spans have these firings."""
    found = activations({2: on_target, 4: on_other}, TWO_REGIONS)
    return Reading(found, CONTENT, TWO_SPANS, scores or {})
