"""Helpers independent of models and SAEs: files, journals, threads, statistics."""
