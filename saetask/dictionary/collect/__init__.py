"""Reads a corpus: activation statistics, contexts and neighbours of features."""
