"""Reads a corpus through an SAE: feature statistics, contexts and neighbours."""
