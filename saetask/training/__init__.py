"""Trains an SAE with SAE-Lens's trainer on harvested activations."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
