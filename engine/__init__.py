"""A Triton-compatible inference server. It never imports ``analyzer``."""

__version__ = "0.1.0"
