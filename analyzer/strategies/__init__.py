"""The search strategies: pure, one module each."""
