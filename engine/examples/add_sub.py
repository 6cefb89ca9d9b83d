"""Sum and difference of two vectors: the smallest model with two inputs and two outputs."""

from __future__ import annotations

from engine.examples import Example
from engine.examples._graph import FLOAT, Graph

CONFIG = """\
# OUTPUT0 = INPUT0 + INPUT1, OUTPUT1 = INPUT0 - INPUT1
name: "add_sub"
backend: "onnxruntime"
max_batch_size: 64

input [
  {
    name: "INPUT0"
    data_type: TYPE_FP32
    dims: [ 16 ]
  },
  {
    name: "INPUT1"
    data_type: TYPE_FP32
    dims: [ 16 ]
  }
]
output [
  {
    name: "OUTPUT0"
    data_type: TYPE_FP32
    dims: [ 16 ]
  },
  {
    name: "OUTPUT1"
    data_type: TYPE_FP32
    dims: [ 16 ]
  }
]

dynamic_batching { }
instance_group [ { kind: KIND_CPU count: 1 } ]
"""


def _model() -> bytes:
    graph = Graph("add_sub", seed=0)
    left, right = (graph.input(name, FLOAT, 16) for name in ("INPUT0", "INPUT1"))
    graph.node("Add", left, right, into=graph.output("OUTPUT0", FLOAT, 16))
    graph.node("Sub", left, right, into=graph.output("OUTPUT1", FLOAT, 16))
    return graph.to_bytes()


EXAMPLE = Example(
    summary="sum and difference of two [16]: to try a client",
    megabytes=0.01,
    config=CONFIG,
    model=_model,
)
