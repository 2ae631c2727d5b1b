"""How fast saetask is, beside the bare computation and beside what one writes with SAE-Lens."""
