"""The response caches, one module each; ``engine.cache`` finds them by name."""
