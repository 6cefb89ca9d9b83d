"""ONNX to OpenVINO's own format, IR: weights in fp16 (half the size) or f32.

Only how weights are stored differs: what they are computed in, the ``openvino`` backend decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from engine.conversion import Conversion, Job
from engine.errors import InvalidArgument, Unavailable

_PRECISIONS = ("fp16", "f32")


def _write(job: Job, directory: Path) -> Sequence[str]:
    precision = job.precision or _PRECISIONS[0]
    if precision not in _PRECISIONS:
        raise InvalidArgument(
            f"--precision {precision}: IR has {', '.join(_PRECISIONS)}; for int8 convert to"
            " onnx_int8 first, and that to openvino"
        )
    try:
        openvino = import_module("openvino")
    except ImportError as fault:
        raise Unavailable(
            f"this needs the package openvino, which cannot be imported ({fault}); pip install"
            " 'servetune[openvino]'"
        ) from fault
    try:
        model = openvino.Core().read_model(job.model)
        openvino.save_model(model, directory / "model.xml", compress_to_fp16=precision == "fp16")
    except RuntimeError as fault:
        last = str(fault).strip().splitlines()[-1].strip()
        raise InvalidArgument(f"{job.model}: OpenVINO cannot convert it: {last}") from fault
    return (f"weights are stored in {precision}",)


CONVERSION = Conversion(
    summary="OpenVINO IR; --precision fp16 (default) or f32, of the weights",
    backend="openvino",
    filename="model.xml",
    takes=frozenset(("precision",)),
    write=_write,
)
