"""A shared library that is loaded here: what it exports, in which version, for how many.

Owns loading it, the check that it is one of ours, and that it is initialised once in a process and
finalised when its last model is gone. It is never unloaded from memory: threads of its own may
still be inside. Does not own what its functions are called for (``executor``).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import POINTER, c_uint32, c_void_p
from pathlib import Path
from threading import Lock
from typing import Any

from engine.backends.native import abi
from engine.backends.native.host import Host
from engine.errors import Internal, InvalidArgument, NotFound, Unsupported

_TRITONS = ("TRITONBACKEND_", "TRITONSERVER_")
_OUT = POINTER(c_void_p)
#: what a library exports: result and arguments
_EXPORTS: dict[str, tuple[Any, ...]] = {
    "servetune_abi_version": (c_uint32,),
    "servetune_initialize": (c_void_p, POINTER(abi.CHost)),
    "servetune_instance_execute": (c_void_p, c_void_p, POINTER(c_void_p), c_uint32),
    "servetune_finalize": (None,),
    "servetune_model_complete": (c_void_p, POINTER(abi.CModelArgs), abi.TOLD, c_void_p),
    "servetune_model_create": (c_void_p, POINTER(abi.CModelArgs), _OUT),
    "servetune_model_destroy": (None, c_void_p),
    "servetune_instance_create": (c_void_p, c_void_p, POINTER(abi.CInstanceArgs), _OUT),
    "servetune_instance_destroy": (None, c_void_p),
    "servetune_instance_ready": (c_void_p, c_void_p),
}
_REQUIRED = tuple(_EXPORTS)[:3]


class Library:
    """One library in this process; ``use`` gives it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.host = Host(path.name)
        self._functions = _bound(path)
        self._users = 0

    def find(self, name: str) -> Callable[..., Any] | None:
        """Give an optional function, None if it is not exported."""
        return self._functions.get(f"servetune_{name}")

    def call(self, name: str, *arguments: object) -> None:
        """Call a function that returns an error, if it is exported; the interpreter goes on.

        Raises:
            EngineError: what the library returned.
        """
        function = self.find(name)
        if function is None:
            return
        error = self.host.errors.take(function(*arguments))
        if error is not None:
            raise error

    def let_go(self) -> None:
        """Use it no longer."""
        with _LOCK:
            self._users -= 1
            if not self._users and (finalize := self.find("finalize")) is not None:
                finalize()

    def taken(self) -> Library:
        """Use it once more; the first time it is initialised."""
        if not self._users:
            self.call("initialize", ctypes.byref(self.host.table))
        self._users += 1
        return self


_LOCK = Lock()
_loaded: dict[tuple[str, int, int], Library] = {}


def use(path: Path) -> Library:
    """Load a library, or use the one that is loaded already; whoever does lets it go once.

    Raises:
        NotFound: there is no such file.
        Unsupported: it is one for Triton, or for another version of this interface.
        InvalidArgument: it lacks functions.
        Internal: it cannot be loaded.
    """
    try:
        stat = path.stat()
    except OSError as fault:
        raise NotFound(f"{path}: {fault.strerror}") from fault
    key = (str(path.resolve()), stat.st_ino, stat.st_mtime_ns)
    with _LOCK:
        if key not in _loaded:
            _loaded[key] = Library(path)
        return _loaded[key].taken()


def _bound(path: Path) -> dict[str, Callable[..., Any]]:
    try:
        library = ctypes.CDLL(str(path))
    except OSError as fault:
        if any(prefix in str(fault) for prefix in _TRITONS):
            raise Unsupported(_for_triton(path)) from fault
        raise Internal(
            f"{path}: cannot be loaded: {fault}; `ldd {path.name}` lists what it needs"
        ) from fault
    found = {name: getattr(library, name) for name in _EXPORTS if hasattr(library, name)}
    if missing := [name for name in _REQUIRED if name not in found]:
        if hasattr(library, "TRITONBACKEND_ModelInstanceExecute"):
            raise Unsupported(_for_triton(path))
        raise InvalidArgument(
            f"{path}: this library does not export {', '.join(missing)}; include"
            " servetune_backend.h (`python -m engine.backends.native` prints its folder), define"
            ' them, as extern "C", and do not hide them'
        )
    for name, function in found.items():
        function.restype, *function.argtypes = _EXPORTS[name]
    version = found["servetune_abi_version"]()
    major, minor = version >> 16, version & 0xFFFF
    if major != abi.MAJOR or minor > abi.MINOR:
        raise Unsupported(
            f"{path}: this library was built for version {major}.{minor} of servetune_backend.h;"
            f" this engine has {abi.MAJOR}.{abi.MINOR}: build it anew with this engine's header"
        )
    return found


def _for_triton(path: Path) -> str:
    return (
        f"{path}: this library is a backend for Triton (it speaks TRITONBACKEND_*), which this"
        " engine cannot load; build its model code against servetune_backend.h instead (`python -m"
        " engine.backends.native` prints its folder), or serve the model by a backend of the engine"
    )
