"""What measurements mean: estimates with their uncertainty, and when enough was measured."""
