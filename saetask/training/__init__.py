"""Trains an SAE with SAE-Lens's trainer on harvested activations."""
