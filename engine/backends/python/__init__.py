"""Python models, with Triton's interface (``triton_python_backend_utils``).

The backend is imported when it is asked for: a model's own process needs what models see, and
none of what a server needs.
"""

from __future__ import annotations

from importlib import import_module

__all__ = ["BACKEND"]


def __getattr__(name: str) -> object:
    if name == "BACKEND":
        return import_module("engine.backends.python.backend").Python()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
