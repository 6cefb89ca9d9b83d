"""Reading a plan by the package that built it, and saying why where that cannot be."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

from engine.backends.tensorrt.settings import Shared
from engine.errors import InvalidArgument, NotFound
from engine.tensorrtlib import Library


def deserialize(library: Library, content: bytes, path: Path, shared: Shared) -> tuple[Any, Any]:
    """Make an engine of a plan, on the GPU that is this thread's.

    Returns:
        the engine, and the runtime, which has to outlive it.

    Raises:
        NotFound: a library of plugins is missing.
        InvalidArgument: the plan is not for this TensorRT, or this GPU; or none at all.
    """
    for plugin in shared.plugins:
        try:
            ctypes.CDLL(plugin, mode=ctypes.RTLD_GLOBAL)
        except OSError as fault:
            raise NotFound(f"--backend-config=tensorrt,plugins: {fault}") from fault
    initialise = getattr(library.module, "init_libnvinfer_plugins", None)
    if initialise is not None:
        initialise(library.log, "")
    library.said.clear()
    runtime = library.module.Runtime(library.log)
    if shared.version_compatible:
        runtime.engine_host_code_allowed = True
    engine = runtime.deserialize_cuda_engine(content)
    if engine is None:
        raise InvalidArgument(
            f"{path}: {library.text} cannot read this plan: {library.why()}. A plan is for the"
            " version of TensorRT and the kind of GPU that it was built for: build it again here"
            " from its ONNX file, engine convert --to tensorrt"
        )
    return engine, runtime
