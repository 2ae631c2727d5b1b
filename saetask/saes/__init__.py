"""Everything particular to SAE-Lens: loading, checking, encoding, extraction."""
