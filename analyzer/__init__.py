"""The sweeper: find, by measurement, the best way to serve a model on given hardware.

``from analyzer import profile, load_results`` does what the command line does (``library``). That
is imported when it is asked for: it takes two seconds, and the command line has no need of it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from engine import __version__

if TYPE_CHECKING:
    from analyzer.errors import AnalyzerError
    from analyzer.library import Configuration, Results, load_results, profile

__all__ = [
    "AnalyzerError",
    "Configuration",
    "Results",
    "__version__",
    "load_results",
    "profile",
]

if not TYPE_CHECKING:  # else any name at all would pass for one of this package's

    def __getattr__(name: str) -> Any:  # noqa: ANN401 - a function or a class
        """Import what the library has when it is first asked for."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module("analyzer.library"), name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
