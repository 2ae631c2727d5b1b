"""Helpers that know nothing of models or SAEs: files, threads, statistics."""
