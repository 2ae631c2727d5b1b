"""Tests labels on unseen documents, by rule and by a language model."""
