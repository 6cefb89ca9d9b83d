"""Python models, with Triton's interface (``triton_python_backend_utils``)."""

from __future__ import annotations

from engine.backends.python.backend import Python

__all__ = ["BACKEND"]

BACKEND = Python()
