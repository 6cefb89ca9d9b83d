"""The bytes of one inference request, built once and sent many times.

Owns the choice of message for a protocol. Does not own its spelling: the engine's codecs do.
"""

from __future__ import annotations

import json
import struct
from urllib.parse import quote

from engine.types import DType, InferRequest, Tensor


def http_message(address: str, model: str, request: InferRequest) -> bytes:
    """Return a whole HTTP/1.1 message: tensors in binary both ways."""
    raws = [_raw(tensor) for tensor in request.inputs]
    inputs = [
        {
            "name": tensor.name,
            "datatype": tensor.dtype.value,
            "shape": tensor.array.shape,
            "parameters": {"binary_data_size": len(raw)},
        }
        for tensor, raw in zip(request.inputs, raws, strict=True)
    ]
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    body = b"".join((head, *raws))
    lines = (
        f"POST /v2/models/{quote(model, safe='')}/infer HTTP/1.1",
        f"Host: {address}",
        "Content-Type: application/octet-stream",
        f"Inference-Header-Content-Length: {len(head)}",
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join((*lines, "", "")).encode() + body


def grpc_message(model: str, request: InferRequest) -> bytes:
    """Return a serialized ModelInferRequest."""
    from tritonclient.grpc import service_pb2  # noqa: PLC0415 - slow to import

    message = service_pb2.ModelInferRequest(model_name=model)
    for tensor in request.inputs:
        message.inputs.add(name=tensor.name, datatype=tensor.dtype.value, shape=tensor.array.shape)
        message.raw_input_contents.append(_raw(tensor))
    return bytes(message.SerializeToString())


def _raw(tensor: Tensor) -> bytes:
    if tensor.dtype is DType.BYTES:
        return b"".join(struct.pack("<I", len(item)) + item for item in tensor.array.flat)
    return tensor.array.tobytes()
