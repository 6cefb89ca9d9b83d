"""The identity in Python, as slow as it is told: for trying queues, timeouts and cancellation."""

from __future__ import annotations

from engine.examples import Example

CONFIG = """\
# OUTPUT0 = INPUT0, after a while.
name: "delayed_identity"
backend: "python"
max_batch_size: 8

input [
  {
    name: "INPUT0"
    data_type: TYPE_FP32
    dims: [ -1 ]
  }
]
output [
  {
    name: "OUTPUT0"
    data_type: TYPE_FP32
    dims: [ -1 ]
  }
]

# How long a batch takes; a request may ask for another delay by its parameter delay_ms.
parameters { key: "execute_delay_ms" value { string_value: "100" } }

instance_group [ { kind: KIND_CPU count: 1 } ]
"""

CODE = '''\
"""Gives its input back after a delay, and stops waiting for who has gone."""

import json
import time

import triton_python_backend_utils as pb_utils

_LOOK_S = 0.005


class TritonPythonModel:
    def initialize(self, args):
        parameters = json.loads(args["model_config"])["parameters"]
        self.delay_ms = float(parameters["execute_delay_ms"]["string_value"])

    def execute(self, requests):
        asked = [json.loads(request.parameters()) for request in requests]
        delay_s = max(float(one.get("delay_ms", self.delay_ms)) for one in asked) / 1000
        until = time.monotonic() + delay_s
        while (left := until - time.monotonic()) > 0:
            if all(request.is_cancelled() for request in requests):
                break
            time.sleep(min(left, _LOOK_S))
        return [answer(request) for request in requests]


def answer(request):
    if request.is_cancelled():
        error = pb_utils.TritonError("the client has gone", pb_utils.TritonError.CANCELLED)
        return pb_utils.InferenceResponse(error=error)
    given = pb_utils.get_input_tensor_by_name(request, "INPUT0")
    return pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT0", given.as_numpy())])
'''

EXAMPLE = Example(
    summary="[n] -> the same [n], in Python, after parameter execute_delay_ms",
    megabytes=0.01,
    config=CONFIG,
    code=CODE,
)
