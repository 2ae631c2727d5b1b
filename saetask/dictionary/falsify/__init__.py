"""Tests that can prove labels wrong: injected tokens, ablation, generated texts."""
