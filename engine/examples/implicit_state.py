"""A running sum in Python that the server keeps: implicit state of a model that sees requests."""

from __future__ import annotations

from engine.examples import Example

CONFIG = """\
# OUTPUT = INPUT + INPUT_STATE; the server gives what is written to OUTPUT_STATE back.
name: "implicit_state"
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
    }
  ]
  state [
    {
      input_name: "INPUT_STATE"
      output_name: "OUTPUT_STATE"
      data_type: TYPE_INT32
      dims: [ 1 ]
      initial_state { name: "zero" data_type: TYPE_INT32 dims: [ 1 ] zero_data: true }
    }
  ]
}
instance_group [ { kind: KIND_CPU count: 1 } ]
"""

CODE = '''\
"""Adds up the numbers of each sequence, and keeps nothing itself."""

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [answer(request) for request in requests]


def answer(request):
    total = tensor(request, "INPUT") + tensor(request, "INPUT_STATE")
    return pb_utils.InferenceResponse(
        [pb_utils.Tensor("OUTPUT", total), pb_utils.Tensor("OUTPUT_STATE", total)]
    )


def tensor(request, name):
    return pb_utils.get_input_tensor_by_name(request, name).as_numpy()
'''

EXAMPLE = Example(
    summary="running sum of a sequence, in Python: state kept by the server",
    megabytes=0.01,
    config=CONFIG,
    code=CODE,
)
