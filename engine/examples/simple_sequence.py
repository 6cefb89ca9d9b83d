"""A running sum in Python that the model itself keeps, by the controls START and READY.

Names and meaning are those of Triton's ``simple_sequence``, so its client examples run against it.
"""

from __future__ import annotations

from engine.examples import Example

CONFIG = """\
# OUTPUT = INPUT + what the sequence has come to.
name: "simple_sequence"
backend: "python"
max_batch_size: 8

input [ { name: "INPUT" data_type: TYPE_INT32 dims: [ 1 ] } ]
output [ { name: "OUTPUT" data_type: TYPE_INT32 dims: [ 1 ] } ]

sequence_batching {
  max_sequence_idle_microseconds: 5000000
  control_input [
    {
      name: "START"
      control [ { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] } ]
    },
    {
      name: "READY"
      control [ { kind: CONTROL_SEQUENCE_READY int32_false_true: [ 0, 1 ] } ]
    }
  ]
}
instance_group [ { kind: KIND_CPU count: 1 } ]
"""

CODE = '''\
"""Adds up the numbers of each sequence."""

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        self.totals = {}

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        value = tensor(request, "INPUT")
        if not tensor(request, "READY").any():  # nobody's: it fills a slot of the batch
            return response(np.zeros_like(value))
        sequence = request.correlation_id()
        if tensor(request, "START").any():
            self.totals[sequence] = 0
        if sequence not in self.totals:
            error = pb_utils.TritonError(f"sequence {sequence} has not been started")
            return pb_utils.InferenceResponse(error=error)
        total = value + self.totals[sequence]
        self.totals[sequence] = total
        if request.flags() & pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_END:
            del self.totals[sequence]
        return response(total)


def tensor(request, name):
    return pb_utils.get_input_tensor_by_name(request, name).as_numpy()


def response(array):
    return pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT", array.astype(np.int32))])
'''

EXAMPLE = Example(
    summary="running sum of a sequence, in Python: START and READY, state kept by the model",
    megabytes=0.01,
    config=CONFIG,
    code=CODE,
)
