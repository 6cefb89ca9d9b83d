"""The packages ``tensorrt`` and ``tensorrt_rtx``, for those who build plans and those who run them.

A plan begins with a mark of whoever built it, and nobody else can read it. Owns which of the two
that is, the import, and the log of TensorRT: its errors say what went wrong; calls only say that
something did. Neither package is imported before it is asked for.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from engine.errors import Unsupported

logger = logging.getLogger(__name__)

Bring = Callable[[str], Any]
TENSORRT, RTX = "tensorrt", "tensorrt_rtx"
_MARKS = {b"vtrt": RTX}
_INSTALL = {
    TENSORRT: "pip install 'servetune[tensorrt]'",
    RTX: "pip install 'servetune[tensorrt-rtx]'",
}
_SERIOUS = 1
_WARNING = 2


def needed(content: bytes) -> str:
    """Name the package that can read a plan."""
    return _MARKS.get(content[:4], TENSORRT)


@dataclass(slots=True)
class Library:
    """One of the two packages; ``said`` are the errors that it logged last."""

    name: str
    module: Any
    log: Any = None
    said: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Its name and version."""
        return f"{self.name} {self.module.__version__}"

    def why(self) -> str:
        """Give the errors since the last time, and forget them."""
        text = "; ".join(dict.fromkeys(self.said)) or "it does not say why"
        self.said.clear()
        return text


class Libraries:
    """The packages of this process, each brought once."""

    def __init__(self, bring: Bring = import_module) -> None:
        self._bring = bring
        self._there: dict[str, Library] = {}
        self._lock = threading.Lock()

    def missing(self, name: str) -> str:
        """Say why a package cannot be imported; "" if it can."""
        try:
            self._bring(name)
        except Exception as fault:  # noqa: BLE001 - one without its library fails in its own way
            return f"{type(fault).__name__}: {fault}"
        return ""

    def take(self, name: str, model: str) -> Library:
        """Bring a package.

        Raises:
            Unsupported: it cannot be imported; says how to get it.
        """
        with self._lock:
            if name not in self._there:
                if why := self.missing(name):
                    raise Unsupported(
                        f"model '{model}' is a plan of {name}, and that package cannot be imported"
                        f" ({why}); {_INSTALL[name]}"
                    )
                library = Library(name, self._bring(name))
                library.log = _log(library)
                self._there[name] = library
            return self._there[name]


def _log(library: Library) -> Any:  # noqa: ANN401 - untyped library
    """Make the log that TensorRT writes to."""

    def prepare(self: Any) -> None:  # noqa: ANN401 - as above
        library.module.ILogger.__init__(self)

    def log(_self: object, severity: Any, text: str) -> None:  # noqa: ANN401 - as above
        if int(severity) <= _SERIOUS:
            library.said.append(text)
        elif int(severity) == _WARNING:
            logger.info("%s: %s", library.name, text)

    kind = type("Log", (library.module.ILogger,), {"__init__": prepare, "log": log})
    return kind()
