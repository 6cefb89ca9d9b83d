"""NVIDIA's driver library, called as its C interface is: nothing has to be installed for it.

Owns the library (``libcuda.so.1``, which comes with the driver), the devices' primary contexts,
which all that uses the CUDA runtime in this process shares, and errors by their names. Does not own
what is called for what.
"""

from __future__ import annotations

import ctypes

from engine.errors import Internal, Unavailable

LIBRARY = "libcuda.so.1"


class CudaDriver:
    """The library, initialised. ``purpose`` needs it; ``instead`` is what else could be done.

    Raises:
        Unavailable: there is no such library, or no GPU.
    """

    def __init__(self, purpose: str, instead: str, library: str = LIBRARY) -> None:
        try:
            self._library = ctypes.CDLL(library)
        except OSError as error:
            message = (
                f"{purpose} needs an NVIDIA GPU and its driver ({library}), which this "
                f"machine does not have; {instead}, or install the driver"
            )
            raise Unavailable(message) from error
        self._contexts: dict[int, ctypes.c_void_p] = {}
        try:
            self.call("cuInit", 0)
        except Internal as error:
            message = f"{purpose} needs an NVIDIA GPU: {error.message}"
            raise Unavailable(message) from error

    def enter(self, device: int) -> None:
        """Make a device's context this thread's.

        Raises:
            Unavailable: there is no such device, or it cannot be used.
        """
        context = self._contexts.get(device)
        if context is None:
            number, context = ctypes.c_int(), ctypes.c_void_p()
            try:
                self.call("cuDeviceGet", ctypes.byref(number), ctypes.c_int(device))
                self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), number)
            except Internal as error:
                raise Unavailable(f"GPU {device} cannot be used: {error.message}") from error
            self._contexts[device] = context
        self.call("cuCtxSetCurrent", context)

    def call(self, name: str, *arguments: object) -> None:
        """Call a function.

        Raises:
            Internal: the driver's error, by its name.
        """
        code = getattr(self._library, name)(*arguments)
        if code:
            word = ctypes.c_char_p()
            self._library.cuGetErrorName(code, ctypes.byref(word))
            raise Internal(f"{name}: {(word.value or b'').decode() or f'error {code}'}")
