"""An accumulator: each request of a sequence adds to what the ones before it have added.

``OUTPUT`` = ``INPUT`` + what the sequence has come to. The server tells the model where a
sequence starts and ends, and keeps its state between requests (implicit state).
"""

from __future__ import annotations

import numpy as np

from engine.examples import Example
from engine.examples._graph import INT32, Graph

CONFIG = """\
# The running total of a sequence of whole numbers.
name: "sequence"
backend: "onnxruntime"
max_batch_size: 8

input [
  {
    name: "INPUT"
    data_type: TYPE_INT32
    dims: [ 1 ]
  }
]
output [
  {
    name: "OUTPUT"
    data_type: TYPE_INT32
    dims: [ 1 ]
  }
]

sequence_batching {
  # A sequence that is silent for five seconds is forgotten.
  max_sequence_idle_microseconds: 5000000

  # Tensors that the server fills in: 1 on the first and on the last request of a sequence.
  control_input [
    {
      name: "START"
      control [ { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] } ]
    },
    {
      name: "END"
      control [ { kind: CONTROL_SEQUENCE_END int32_false_true: [ 0, 1 ] } ]
    }
  ]

  # What the model writes here it reads again with the sequence's next request.
  state [
    {
      input_name: "TOTAL_IN"
      output_name: "TOTAL_OUT"
      data_type: TYPE_INT32
      dims: [ 1 ]
      initial_state { name: "zero" data_type: TYPE_INT32 dims: [ 1 ] zero_data: true }
    }
  ]
}
instance_group [ { kind: KIND_CPU count: 1 } ]
"""


def _model() -> bytes:
    graph = Graph("sequence", seed=0)
    value, start, end, total = (
        graph.input(name, INT32, 1) for name in ("INPUT", "START", "END", "TOTAL_IN")
    )
    one = graph.constant(np.array([1], np.int32))
    carried = graph.node("Mul", total, graph.node("Sub", one, start))
    result = graph.node("Add", carried, value, into=graph.output("OUTPUT", INT32, 1))
    left = graph.output("TOTAL_OUT", INT32, 1)
    graph.node("Mul", result, graph.node("Sub", one, end), into=left)
    return graph.to_bytes()


EXAMPLE = Example(
    summary="running total of a sequence: START and END controls, state kept by the server",
    megabytes=0.01,
    config=CONFIG,
    model=_model,
)
