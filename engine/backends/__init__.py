"""The backends: one module each, found by name."""
