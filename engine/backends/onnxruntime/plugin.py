"""TensorRT-RTX's provider, which is a plug-in: a library that ONNX Runtime loads when told to.

Owns whether its package is there, that it is registered once in a process, and on which of its
devices a session runs. ONNX Runtime ignores a plug-in's provider that is only named; it has to be
given the plug-in's device.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from engine.backends.onnxruntime import rtx
from engine.errors import Unavailable

_PACKAGE = "onnxruntime_ep_nv_tensorrt_rtx"


class Plugin:
    """The plug-in, for one ONNX Runtime. ``bring`` imports, ``look_up`` finds packages."""

    def __init__(
        self,
        runtime: Any,  # noqa: ANN401 - untyped library
        bring: Callable[[str], Any] = import_module,
        look_up: Callable[[str], object] = find_spec,
    ) -> None:
        self._runtime = runtime
        self._bring = bring
        self._look_up = look_up
        self._registered = False
        self._lock = threading.Lock()

    @property
    def names(self) -> tuple[str, ...]:
        """The provider that it has, if it is installed and this ONNX Runtime takes plug-ins."""
        takes = hasattr(self._runtime, "register_execution_provider_library")
        return (rtx.NAME,) if takes and self._look_up(_PACKAGE) is not None else ()

    def add(self, options: Any, settings: Mapping[str, str], device: int) -> None:  # noqa: ANN401 - as above
        """Have a session run on one of its devices, by their order.

        Raises:
            Unavailable: it cannot be loaded, or finds no such GPU that it can use.
        """
        with self._lock:
            if not self._registered:
                self._register()
                self._registered = True
        there = [one for one in self._runtime.get_ep_devices() if one.ep_name == rtx.NAME]
        if device >= len(there):
            raise Unavailable(
                f"TensorRT-RTX's provider can use {len(there)} of this machine's GPUs, and GPU"
                f" {device} is none of them: it is for GeForce and RTX cards; take the accelerator"
                " out of config.pbtxt"
            )
        options.add_provider_for_devices([there[device]], dict(settings))

    def _register(self) -> None:
        try:
            package = self._bring(_PACKAGE)
            library = package.get_library_path()
            self._runtime.register_execution_provider_library(rtx.NAME, library)
        except Exception as fault:
            raise Unavailable(
                f"TensorRT-RTX's provider cannot be loaded: {fault}; it needs an NVIDIA driver for"
                f" CUDA 13 ({rtx.INSTALL} --force-reinstall, if its files are damaged)"
            ) from fault
