"""The package ``openvino``: imported when a model needs it, and whose errors are made readable.

Owns the one ``Core`` of the process, and the translation of its exceptions. A model with an
extension gets a core of its own, so that it does not become other models'.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import import_module
from typing import Any

from engine.backends.openvino.settings import Settings
from engine.errors import InvalidArgument, Unavailable

#: what OpenVINO raises, whatever is wrong
FAULTS = (RuntimeError, TypeError, ValueError)
_NOISE = re.compile(r"^(Exception from .*|Check '.*' failed at .*)$")


@cache
def openvino() -> Any:  # noqa: ANN401 - untyped library
    """Import the package.

    Raises:
        Unavailable: it is not installed, or is broken.
    """
    try:
        return import_module("openvino")
    except ImportError as fault:
        raise Unavailable(
            f"OpenVINO models need the package openvino, which cannot be imported ({fault});"
            " pip install 'servetune[openvino]'"
        ) from fault


def version() -> str:
    """Give its version, short: ``2026.4.1``."""
    return str(openvino().__version__).partition("-")[0]


def core(settings: Settings) -> Any:  # noqa: ANN401 - untyped library
    """Give the core that compiles a model.

    Raises:
        InvalidArgument: its extension cannot be loaded.
        Unavailable: there is no OpenVINO.
    """
    if not settings.extension:
        return _shared_core()
    own = openvino().Core()
    try:
        own.add_extension(settings.extension)
    except FAULTS as fault:
        raise InvalidArgument(
            f"parameters['CPU_EXTENSION_PATH'] = '{settings.extension}': {said(fault)}"
        ) from fault
    return own


@cache
def _shared_core() -> Any:  # noqa: ANN401 - untyped library
    return openvino().Core()


def said(fault: Exception) -> str:
    """Keep of an exception's text what says something: not the lines of C++ that it passed."""
    lines = [line.strip() for line in str(fault).splitlines()]
    kept = [line for line in lines if line and not _NOISE.match(line)]
    return " ".join(kept or lines).rstrip()
