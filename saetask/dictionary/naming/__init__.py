"""Names of features: a battery of word contrasts, tried on unseen documents."""
