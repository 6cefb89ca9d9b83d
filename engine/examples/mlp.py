"""A multilayer perceptron 1024-4096-4096-1000, bound by reading its weights.

25,079,784 parameters: a single row reads 100 MB of weights to do a few multiplications with
each, so a batch of many rows costs little more than one. The example for batching.
"""

from __future__ import annotations

from itertools import pairwise

from engine.examples import Example
from engine.examples._graph import FLOAT, RELU, Graph

WIDTHS = (1024, 4096, 4096, 1000)

CONFIG = """\
# A multilayer perceptron with seeded weights: batches make it several times as fast.
name: "mlp"
backend: "onnxruntime"
max_batch_size: 64

input [
  {
    name: "input"
    data_type: TYPE_FP32
    dims: [ 1024 ]
  }
]
output [
  {
    name: "output"
    data_type: TYPE_FP32
    dims: [ 1000 ]
  }
]

# Requests that wait at the same time run together.
dynamic_batching { }
"""


def _model() -> bytes:
    graph = Graph("mlp", seed=4)
    value = graph.input("input", FLOAT, WIDTHS[0])
    for width, units in pairwise(WIDTHS[:-1]):
        value = graph.node("Relu", graph.dense(value, width, units, gain=RELU))
    graph.dense(value, *WIDTHS[-2:], into=graph.output("output", FLOAT, WIDTHS[-1]))
    return graph.to_bytes()


EXAMPLE = Example(
    summary="MLP 1024-4096-4096-1000: bound by its weights, gains much from batches",
    megabytes=100,
    config=CONFIG,
    model=_model,
)
