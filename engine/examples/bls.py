"""A Python model that has another one compute: business logic scripting, as Triton's ``bls_sync``.

Which model is called is an input, so that its answer to a name that nobody serves can be seen, too.
"""

from __future__ import annotations

from engine.examples import Example

CONFIG = """\
# Has the model MODEL_NAME answer INPUT0 and INPUT1: "add_sub" gives their sum and difference.
name: "bls"
backend: "python"
max_batch_size: 64

input [
  { name: "MODEL_NAME" data_type: TYPE_STRING dims: [ 1 ] },
  { name: "INPUT0" data_type: TYPE_FP32 dims: [ 16 ] },
  { name: "INPUT1" data_type: TYPE_FP32 dims: [ 16 ] }
]
output [
  { name: "OUTPUT0" data_type: TYPE_FP32 dims: [ 16 ] },
  { name: "OUTPUT1" data_type: TYPE_FP32 dims: [ 16 ] }
]

instance_group [ { kind: KIND_CPU count: 1 } ]
"""

CODE = '''\
"""Calls a model for each request, all of them at the same time, and hands its answers on."""

import asyncio

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    async def execute(self, requests):
        return list(await asyncio.gather(*map(answer, requests)))


async def answer(request):
    name = pb_utils.get_input_tensor_by_name(request, "MODEL_NAME").as_numpy()
    asked = pb_utils.InferenceRequest(
        model_name=name.flat[0].decode(),
        requested_output_names=["OUTPUT0", "OUTPUT1"],
        inputs=[pb_utils.get_input_tensor_by_name(request, one) for one in ("INPUT0", "INPUT1")],
        request_id=request.request_id(),
    )
    response = await asked.async_exec()
    if response.has_error():
        return pb_utils.InferenceResponse(error=response.error())
    return pb_utils.InferenceResponse(response.output_tensors())
'''

EXAMPLE = Example(
    summary="a Python model that calls the model it is told to: business logic scripting",
    megabytes=0.01,
    config=CONFIG,
    code=CODE,
    needs=("add_sub",),
)
