"""From feature activations to misunderstandings: protocols, calibration, baselines."""
