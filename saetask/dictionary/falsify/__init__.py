"""Tries to prove labels wrong: injected tokens, ablation, generated texts."""
