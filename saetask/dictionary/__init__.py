"""Dictionaries of SAE features: built from a corpus, labelled, validated, falsified, looked up."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
