"""A decoupled model: as many responses as its input says, each holding that number; 0 for none.

Names and meaning are those of Triton's ``square_int32``.
"""

from __future__ import annotations

from engine.examples import Example

CONFIG = """\
# IN = n is answered n times with OUT = n.
name: "square_int32"
backend: "python"
max_batch_size: 8

input [ { name: "IN" data_type: TYPE_INT32 dims: [ 1 ] } ]
output [ { name: "OUT" data_type: TYPE_INT32 dims: [ 1 ] } ]

dynamic_batching { }
model_transaction_policy { decoupled: true }
instance_group [ { kind: KIND_CPU count: 1 } ]
"""

CODE = '''\
"""Answers n with n times n; the requests of a batch take turns."""

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        left = [(request.get_response_sender(), number(request)) for request in requests]
        rounds = [value for _, value in left]
        while left:
            for place, (sender, value) in enumerate(left):
                if rounds[place] > 0 and not sender.is_cancelled():
                    output = pb_utils.Tensor("OUT", np.array([[value]], np.int32))
                    sender.send(pb_utils.InferenceResponse([output]))
                    rounds[place] -= 1
                else:
                    end(sender)
                    rounds[place] = None
            left = [one for one, count in zip(left, rounds) if count is not None]
            rounds = [count for count in rounds if count is not None]


def end(sender):
    error = None
    if sender.is_cancelled():
        error = pb_utils.TritonError("the client has gone", pb_utils.TritonError.CANCELLED)
    response = pb_utils.InferenceResponse(error=error) if error else None
    sender.send(response, pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)


def number(request):
    array = pb_utils.get_input_tensor_by_name(request, "IN").as_numpy()
    if array.size != 1:
        raise pb_utils.TritonModelException(f"IN has {array.size} elements; send one")
    return int(array.item())
'''

EXAMPLE = Example(
    summary="decoupled, in Python: n is answered n times with n",
    megabytes=0.01,
    config=CONFIG,
    code=CODE,
)
