"""The dictionary: what each feature of an SAE is about, tried on unseen text."""
