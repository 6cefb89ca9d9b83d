"""ONNX models that hand each of their inputs on, for every type there is."""

from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper

#: For each type: ONNX's, the configuration's, and an array that shows its corners.
KINDS: dict[str, tuple[int, str, Any]] = {
    "BOOL": (TensorProto.BOOL, "TYPE_BOOL", np.array([[True, False, True]])),
    "UINT8": (TensorProto.UINT8, "TYPE_UINT8", np.array([[0, 255, 3]], np.uint8)),
    "UINT16": (TensorProto.UINT16, "TYPE_UINT16", np.array([[0, 65535, 3]], np.uint16)),
    "UINT32": (TensorProto.UINT32, "TYPE_UINT32", np.array([[0, 2**32 - 1, 3]], np.uint32)),
    "UINT64": (TensorProto.UINT64, "TYPE_UINT64", np.array([[0, 2**64 - 1, 3]], np.uint64)),
    "INT8": (TensorProto.INT8, "TYPE_INT8", np.array([[-128, 127, 3]], np.int8)),
    "INT16": (TensorProto.INT16, "TYPE_INT16", np.array([[-(2**15), 5, 3]], np.int16)),
    "INT32": (TensorProto.INT32, "TYPE_INT32", np.array([[-(2**31), 5, 3]], np.int32)),
    "INT64": (TensorProto.INT64, "TYPE_INT64", np.array([[-(2**63), 2**63 - 1, 3]], np.int64)),
    "FP32": (TensorProto.FLOAT, "TYPE_FP32", np.array([[0.1, np.inf, -3.25e38]], np.float32)),
    "FP64": (TensorProto.DOUBLE, "TYPE_FP64", np.array([[0.1, -np.inf, 1e300]])),
    "BYTES": (
        TensorProto.STRING,
        "TYPE_STRING",
        np.array([[b"a", "\u00e4".encode(), b""]], object),
    ),
    "FP16": (TensorProto.FLOAT16, "TYPE_FP16", np.array([[0.5, np.inf, 3]], np.float16)),
}


def write_identity(
    folder: Path, name: str, kinds: list[str], *, max_batch_size: int = 8, more: str = ""
) -> None:
    """Write a model that hands each IN_<kind> on as OUT_<kind>; ``more`` ends each output."""
    dims = ["rows", "columns"]
    given = [helper.make_tensor_value_info(f"IN_{kind}", KINDS[kind][0], dims) for kind in kinds]
    made = [helper.make_tensor_value_info(f"OUT_{kind}", KINDS[kind][0], dims) for kind in kinds]
    nodes = [helper.make_node("Identity", [f"IN_{kind}"], [f"OUT_{kind}"]) for kind in kinds]
    model = helper.make_model(
        helper.make_graph(nodes, name, given, made), opset_imports=[helper.make_opsetid("", 17)]
    )
    model.ir_version = 8
    (folder / name / "1").mkdir(parents=True)
    (folder / name / "1" / "model.onnx").write_bytes(model.SerializeToString())
    seen = "[ -1 ]" if max_batch_size else "[ -1, -1 ]"
    lines = ['backend: "onnxruntime"', f"max_batch_size: {max_batch_size}"]
    for side, field, end in (("IN", "input", ""), ("OUT", "output", more)):
        lines += [
            f'{field} [{{ name: "{side}_{kind}" data_type: {KINDS[kind][1]} dims: {seen} {end} }}]'
            for kind in kinds
        ]
    (folder / name / "config.pbtxt").write_text("\n".join(lines))
