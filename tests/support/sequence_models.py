"""ONNX models that keep sequences, and their configurations: what the server tells them comes out.

``watcher`` gives its controls as outputs, with the row it ran in and the size of its batch;
``total`` adds up a sequence in its implicit state; ``grower`` remembers every value.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from engine.types import DType

ONNX = {
    DType.INT32: TensorProto.INT32,
    DType.INT64: TensorProto.INT64,
    DType.UINT32: TensorProto.UINT32,
    DType.UINT64: TensorProto.UINT64,
    DType.FP32: TensorProto.FLOAT,
    DType.BOOL: TensorProto.BOOL,
    DType.BYTES: TensorProto.STRING,
}
PAIRS = {
    DType.INT32: "int32_false_true: [ 0, 1 ]",
    DType.FP32: "fp32_false_true: [ -1.5, 2.5 ]",
    DType.BOOL: "bool_false_true: [ false, true ]",
}


@dataclass(frozen=True)
class Model:
    """A model's two files."""

    config: str
    onnx: bytes

    def write(self, repository: Path, name: str) -> None:
        (repository / name / "1").mkdir(parents=True)
        (repository / name / "1" / "model.onnx").write_bytes(self.onnx)
        (repository / name / "config.pbtxt").write_text(self.config)


def watcher(
    batching: str,
    *,
    max_batch_size: int = 4,
    flags: DType = DType.INT32,
    corrid: DType = DType.UINT64,
    count: int = 1,
) -> Model:
    """Build a model that tells what it is told; INPUT may have any width."""
    batched = max_batch_size > 0
    lead: list[Any] = ["n"] if batched else []
    value, one = [*lead, "width"], [*lead, 1]
    inputs = [_tensor("INPUT", DType.INT32, value)]
    inputs += [_tensor(name, flags, one) for name in ("START", "END", "READY")]
    inputs.append(_tensor("CORRID", corrid, one))
    outputs = [
        _tensor("OUTPUT", DType.INT32, value),
        _tensor("FLAGS", DType.FP32, [*lead, 3]),
        _tensor("ID", corrid, one),
        *(_tensor(name, DType.INT64, one) for name in ("ROW", "BATCH", "PRESENT")),
    ]
    names = ("START", "END", "READY")
    nodes = [
        _node("Identity", ["INPUT"], "OUTPUT"),
        _node("Identity", ["CORRID"], "ID"),
        *(_node("Cast", [name], f"f_{name}", to=TensorProto.FLOAT) for name in names),
        _node("Concat", [f"f_{name}" for name in names], "FLAGS", axis=-1),
        _node("Shape", ["READY"], "shape"),
        _node("Gather", ["shape", "zero"], "size"),
        _node("Range", ["zero", "size", "step"], "rows"),
        _node("Reshape", ["rows", "column"], "ROW"),
        _node("Expand", ["size", "shape"], "BATCH"),
        _node("Greater", ["f_READY", "nothing"], "ready"),
        _node("Cast", ["ready"], "ones", to=TensorProto.INT64),
        _node("ReduceSum", ["ones"], "sum", keepdims=0),
        _node("Expand", ["sum", "shape"], "PRESENT"),
    ]
    constants = {
        "zero": np.array(0, np.int64),
        "step": np.array(1, np.int64),
        "column": np.array([-1, 1] if batched else [-1], np.int64),
        "nothing": np.array(0, np.float32),
    }
    kinds = "".join(
        f'control_input [ {{ name: "{name}" control ['
        f" {{ kind: CONTROL_SEQUENCE_{name} {PAIRS[flags]} }} ] }} ]\n"
        for name in names
    )
    config = f"""
backend: "onnxruntime" max_batch_size: {max_batch_size}
input [ {{ name: "INPUT" data_type: TYPE_INT32 dims: [ -1 ] }} ]
output [
  {{ name: "OUTPUT" data_type: TYPE_INT32 dims: [ -1 ] }},
  {{ name: "FLAGS" data_type: TYPE_FP32 dims: [ 3 ] }},
  {{ name: "ID" data_type: {corrid.config_name} dims: [ 1 ] }},
  {{ name: "ROW" data_type: TYPE_INT64 dims: [ 1 ] }},
  {{ name: "BATCH" data_type: TYPE_INT64 dims: [ 1 ] }},
  {{ name: "PRESENT" data_type: TYPE_INT64 dims: [ 1 ] }}
]
instance_group [ {{ kind: KIND_CPU count: {count} }} ]
sequence_batching {{
  {batching}
  {kinds}
  control_input [ {{ name: "CORRID" control [
    {{ kind: CONTROL_SEQUENCE_CORRID data_type: {corrid.config_name} }} ] }} ]
}}
"""
    return Model(config, _model(nodes, inputs, outputs, constants))


def total(batching: str, *, max_batch_size: int = 4, first: str = "", more: str = "") -> Model:
    """Build a model that adds INPUT to its state; ``first`` is the initial state, ``more`` config.

    It has no controls at all.
    """
    shape: list[Any] = ["n", 1] if max_batch_size else [1]
    nodes = [
        _node("Add", ["INPUT", "TOTAL_IN"], "OUTPUT"),
        _node("Identity", ["OUTPUT"], "TOTAL_OUT"),
    ]
    inputs = [_tensor(name, DType.INT32, shape) for name in ("INPUT", "TOTAL_IN")]
    outputs = [_tensor(name, DType.INT32, shape) for name in ("OUTPUT", "TOTAL_OUT")]
    config = f"""
backend: "onnxruntime" max_batch_size: {max_batch_size}
input [ {{ name: "INPUT" data_type: TYPE_INT32 dims: [ 1 ] }} ]
output [ {{ name: "OUTPUT" data_type: TYPE_INT32 dims: [ 1 ] }} ]
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
sequence_batching {{
  {batching}
  state [ {{ input_name: "TOTAL_IN" output_name: "TOTAL_OUT" data_type: TYPE_INT32 dims: [ 1 ]
            {first} }} ]
}}
{more}
"""
    return Model(config, _model(nodes, inputs, outputs, {}))


def grower(batching: str, *, first: str = "", max_batch_size: int = 4) -> Model:
    """Build a model whose state grows by INPUT; HISTORY_OUT is an output as well."""
    nodes = [
        _node("Concat", ["HISTORY_IN", "INPUT"], "HISTORY_OUT", axis=1),
        _node("ReduceSum", ["HISTORY_OUT", "axis"], "OUTPUT", keepdims=1),
    ]
    inputs = [
        _tensor("INPUT", DType.INT32, ["n", 1]),
        _tensor("HISTORY_IN", DType.INT32, ["n", "length"]),
    ]
    outputs = [
        _tensor("OUTPUT", DType.INT32, ["n", 1]),
        _tensor("HISTORY_OUT", DType.INT32, ["n", "longer"]),
    ]
    config = f"""
backend: "onnxruntime" max_batch_size: {max_batch_size}
input [ {{ name: "INPUT" data_type: TYPE_INT32 dims: [ 1 ] }} ]
output [
  {{ name: "OUTPUT" data_type: TYPE_INT32 dims: [ 1 ] }},
  {{ name: "HISTORY_OUT" data_type: TYPE_INT32 dims: [ -1 ] }}
]
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
sequence_batching {{
  {batching}
  state [ {{ input_name: "HISTORY_IN" output_name: "HISTORY_OUT" data_type: TYPE_INT32
            dims: [ -1 ] {first} }} ]
}}
"""
    return Model(config, _model(nodes, inputs, outputs, {"axis": np.array([1], np.int64)}))


def _tensor(name: str, dtype: DType, shape: list[Any]) -> Any:
    return helper.make_tensor_value_info(name, ONNX[dtype], shape)


def _node(kind: str, inputs: list[str], output: str, **attributes: Any) -> Any:
    return helper.make_node(kind, inputs, [output], **attributes)


def _model(nodes: list[Any], inputs: list[Any], outputs: list[Any], constants: Any) -> bytes:
    stored = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "sequences", inputs, outputs, initializer=stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return bytes(model.SerializeToString())
