"""What the engine says about its own work: statistics and metrics."""
