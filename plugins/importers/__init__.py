"""Importers: evaluation logs, read as evaluated items."""
