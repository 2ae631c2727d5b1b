"""Everything particular to TransformerLens: loading, forward passes, hooks."""
