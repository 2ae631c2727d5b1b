"""Asking language models: candidate answers ranked, texts generated, endpoints."""
