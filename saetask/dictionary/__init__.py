"""Dictionaries: what each feature of an SAE is about, and how well that holds."""
