"""``analyze results``: what was measured, in the terminal, filtered, sorted, or for programs."""
