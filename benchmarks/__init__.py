"""What the engine itself costs: ``scripts/bench``. Not installed, not a test."""
