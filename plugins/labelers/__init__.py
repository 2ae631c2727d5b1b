"""Labelers: what a feature is about."""
