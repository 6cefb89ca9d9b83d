"""Where CUDA's, cuDNN's and TensorRT's libraries are, for those who load them by name alone.

ONNX Runtime's providers for GPUs are linked against libraries that Python packages bring (PyTorch
needs the same ones), and the system's linker does not look into packages. Its own ``preload_dlls``
looks beside itself only; packages may as well lie in another folder of ``sys.path``. A library that
is loaded is found by its name from then on. Owns finding and loading; what is missing is said by
whoever needs it.
"""

from __future__ import annotations

import ctypes
import logging
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

logger = logging.getLogger(__name__)

#: in the order in which they need each other; {} is CUDA's major version
CUDA = (
    "libcudart.so.{}",
    "libnvJitLink.so.{}",
    "libnvrtc.so.{}",
    "libcublasLt.so.{}",
    "libcublas.so.{}",
    "libcurand.so.*",
    "libcufft.so.*",
    "libcudnn.so.9",
)
TENSORRT = ("libnvinfer.so.10", "libnvinfer_plugin.so.10", "libnvonnxparser.so.10")
_FOLDERS = ("nvidia/*/lib", "torch/lib", "tensorrt_libs")


def find(names: Sequence[str], places: Sequence[str], cuda: str) -> Iterator[Path]:
    """Find the first file of each name, in its packages' folders below ``places``."""
    for pattern in names:
        name = pattern.format(cuda.partition(".")[0] or "[0-9]*")
        yield from next(
            (
                found[:1]
                for place in places
                for folder in _FOLDERS
                if (found := sorted(Path(place or ".").glob(f"{folder}/{name}")))
            ),
            (),
        )


def usable(name: str) -> bool:
    """Say whether a library can be loaded by its name; it stays loaded then."""
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


@cache  # a library stays loaded
def load(names: tuple[str, ...], cuda: str) -> None:
    """Load what there is of some libraries; ``cuda`` is the version they are for, "" any."""
    for path in find(names, sys.path, cuda):
        try:
            ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
        except OSError as fault:
            logger.warning("%s: cannot be loaded: %s", path, fault)
