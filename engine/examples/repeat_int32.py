"""A decoupled model: one response for each element of its input, each after a delay of its own.

Names and meaning are those of Triton's ``repeat_int32``, so its client examples run against it.
"""

from __future__ import annotations

from engine.examples import Example

CONFIG = """\
# Sends OUT = IN[i], IDX = i for each i, each DELAY[i] ms after the one before it.
name: "repeat_int32"
backend: "python"

input [
  { name: "IN" data_type: TYPE_INT32 dims: [ -1 ] },
  { name: "DELAY" data_type: TYPE_UINT32 dims: [ -1 ] },
  # How long execute takes, ms: the responses are sent meanwhile, and afterwards.
  { name: "WAIT" data_type: TYPE_UINT32 dims: [ 1 ] }
]
output [
  { name: "OUT" data_type: TYPE_INT32 dims: [ 1 ] },
  { name: "IDX" data_type: TYPE_UINT32 dims: [ 1 ] }
]

model_transaction_policy { decoupled: true }
instance_group [ { kind: KIND_CPU count: 1 } ]
"""

CODE = '''\
"""Repeats its input, element by element; each request has a thread that answers it."""

import threading
import time

import numpy as np
import triton_python_backend_utils as pb_utils

_LOOK_S = 0.005


class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            threading.Thread(target=answer, args=(request,), daemon=True).start()
        waits = [tensor(request, "WAIT").item() for request in requests]
        time.sleep(max(waits) / 1000)


def answer(request):
    sender = request.get_response_sender()
    values, delays = tensor(request, "IN"), tensor(request, "DELAY")
    if len(values) != len(delays):
        text = f"expected IN and DELAY to be as long, got {len(values)} and {len(delays)}"
        fail(sender, text, pb_utils.TritonError.INVALID_ARG)
        return
    for index, (value, delay) in enumerate(zip(values, delays)):
        if not wait(delay / 1000, sender):
            fail(sender, "the client has gone", pb_utils.TritonError.CANCELLED)
            return
        outputs = [
            pb_utils.Tensor("OUT", np.array([value], np.int32)),
            pb_utils.Tensor("IDX", np.array([index], np.uint32)),
        ]
        sender.send(pb_utils.InferenceResponse(outputs))
    sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)


def fail(sender, text, code):
    response = pb_utils.InferenceResponse(error=pb_utils.TritonError(text, code))
    sender.send(response, pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)


def wait(seconds, sender):
    """Wait, and say whether somebody still wants the response."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0 and not sender.is_cancelled():
        time.sleep(min(left, _LOOK_S))
    return not sender.is_cancelled()


def tensor(request, name):
    return pb_utils.get_input_tensor_by_name(request, name).as_numpy()
'''

EXAMPLE = Example(
    summary="decoupled, in Python: a response for each element of IN, each after its DELAY",
    megabytes=0.01,
    config=CONFIG,
    code=CODE,
)
