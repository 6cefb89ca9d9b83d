"""A running sum in Python that adds its sequence's id at the end, by the control CORRID.

Names and meaning are those of Triton's ``simple_dyna_sequence``: any number of sequences, batched
by the oldest, told apart by their id.
"""

from __future__ import annotations

from engine.examples import Example

CONFIG = """\
# OUTPUT = INPUT + what the sequence has come to; the last one adds the sequence's id.
name: "simple_dyna_sequence"
backend: "python"
max_batch_size: 8

input [ { name: "INPUT" data_type: TYPE_INT32 dims: [ 1 ] } ]
output [ { name: "OUTPUT" data_type: TYPE_INT32 dims: [ 1 ] } ]

sequence_batching {
  max_sequence_idle_microseconds: 5000000
  oldest {
    max_candidate_sequences: 1024
    preferred_batch_size: [ 4, 6 ]
    max_queue_delay_microseconds: 1000
  }
  control_input [
    {
      name: "START"
      control [ { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] } ]
    },
    {
      name: "END"
      control [ { kind: CONTROL_SEQUENCE_END int32_false_true: [ 0, 1 ] } ]
    },
    {
      name: "READY"
      control [ { kind: CONTROL_SEQUENCE_READY int32_false_true: [ 0, 1 ] } ]
    },
    {
      name: "CORRID"
      control [ { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_UINT64 } ]
    }
  ]
}
instance_group [ { kind: KIND_CPU count: 1 } ]
"""

CODE = '''\
"""Adds up the numbers of each sequence, and its id at the end."""

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        self.totals = {}

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        value = tensor(request, "INPUT")
        if not tensor(request, "READY").any():
            return response(np.zeros_like(value))
        sequence = int(tensor(request, "CORRID").item())
        total = value if tensor(request, "START").any() else value + self.totals.pop(sequence, 0)
        if tensor(request, "END").any():
            return response(total + sequence)
        self.totals[sequence] = total
        return response(total)


def tensor(request, name):
    return pb_utils.get_input_tensor_by_name(request, name).as_numpy()


def response(array):
    return pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT", array.astype(np.int32))])
'''

EXAMPLE = Example(
    summary="running sum of a sequence, in Python, plus its id at the end: CORRID, oldest first",
    megabytes=0.01,
    config=CONFIG,
    code=CODE,
)
