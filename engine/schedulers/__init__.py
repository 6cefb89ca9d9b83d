"""The schedulers: pure machines, one module each."""
