"""The sweeper: find, by measurement, the best way to serve a model on given hardware."""

from engine import __version__

__all__ = ["__version__"]
