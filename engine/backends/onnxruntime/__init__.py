"""ONNX models, run by ONNX Runtime.

``settings`` and ``providers`` decide, from a configuration, how a session is made; ``session``
makes and runs it.
"""

from __future__ import annotations

from engine.errors import Unsupported

try:
    from engine.backends.onnxruntime.session import OnnxRuntime
except ImportError as fault:
    if not (fault.name or "").startswith("onnxruntime"):
        raise
    raise Unsupported(
        f"ONNX models need ONNX Runtime, and it cannot be imported ({fault}); pip install"
        " --force-reinstall onnxruntime, or onnxruntime-gpu, but only one of the two"
    ) from fault

BACKEND = OnnxRuntime()
