"""The identity: what it costs to serve it is what the server itself costs."""

from __future__ import annotations

from engine.examples import Example
from engine.examples._graph import FLOAT, Graph

CONFIG = """\
# OUTPUT0 = INPUT0
name: "identity"
backend: "onnxruntime"
max_batch_size: 64

input [
  {
    name: "INPUT0"
    data_type: TYPE_FP32
    dims: [ 16 ]
  }
]
output [
  {
    name: "OUTPUT0"
    data_type: TYPE_FP32
    dims: [ 16 ]
  }
]

dynamic_batching { }
instance_group [ { kind: KIND_CPU count: 1 } ]
"""


def _model() -> bytes:
    graph = Graph("identity", seed=0)
    value = graph.input("INPUT0", FLOAT, 16)
    graph.node("Identity", value, into=graph.output("OUTPUT0", FLOAT, 16))
    return graph.to_bytes()


EXAMPLE = Example(
    summary="[16] -> the same [16]: measures the server's own cost",
    megabytes=0.01,
    config=CONFIG,
    model=_model,
)
