"""Validates labels on held-out documents: verdicts by rules or by a language model as judge."""
