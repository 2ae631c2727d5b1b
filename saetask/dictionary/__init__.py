"""Dictionaries of SAE features: built from a corpus, labelled, validated, falsified, looked up."""
