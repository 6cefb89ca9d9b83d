"""Models in C and C++: shared libraries that speak ``servetune_backend.h``.

``python -m engine.backends.native`` prints the folder of that header, for a compiler's ``-I``. The
backend is imported when it is asked for: a model's own process needs none of it.
"""

from __future__ import annotations

from importlib import import_module

__all__ = ["BACKEND"]


def __getattr__(name: str) -> object:
    if name == "BACKEND":
        return import_module("engine.backends.native.backend").Native()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
