"""Inference messages of gRPC: protobuf to requests and responses, and back.

Owns ``ModelInferRequest`` and ``ModelInferResponse`` with their parameters and both forms of
contents. Does not own the other messages (``v2.grpc``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tritonclient.grpc import service_pb2

from engine.errors import InvalidArgument
from engine.types import (
    DType,
    InferRequest,
    InferResponse,
    Parameter,
    RequestedOutput,
    Span,
    Tensor,
)
from engine.v2 import binary
from engine.v2.binary import Slot, slot, tag
from engine.v2.call import Infer, SharedInput
from engine.v2.message import datatype, not_both, own_parameter

Message = Any  # protobuf's generated code publishes no types

_REGION = "shared_memory_region"
_OFFSET = "shared_memory_offset"
_SIZE = "shared_memory_byte_size"


def parse_request(message: Message) -> Infer:
    """Read an inference request.

    Raises:
        EngineError: it is not one, or asks for what is not served.
    """
    model, request_id = message.model_name, message.id
    fields = _fields(message.parameters)
    raw, given = message.raw_input_contents, message.inputs
    inputs: list[Tensor] = []
    shared: list[SharedInput] = []
    for one in given:
        place = _slot(one, model)
        if one.parameters and _REGION in one.parameters:
            shared.append(_shared(one, place, len(inputs) + len(shared), model))
            continue
        if one.HasField("contents"):
            if raw:
                raise InvalidArgument(
                    "contents field must not be specified when using raw_input_contents for "
                    f"'{one.name}' for model '{model}'"
                )
            inputs.append(_explicit(one.contents, place, model, request_id))
            continue
        if len(inputs) >= len(raw):
            raise InvalidArgument(
                f"unable to find data for input tensor '{one.name}' for model '{model}' in request."
            )
        inputs.append(binary.decode(raw[len(inputs)], place, model, request_id))
    if message.outputs:
        fields["outputs"] = tuple(map(_output, message.outputs))
    request = InferRequest(inputs=tuple(inputs), id=request_id, **fields)
    return Infer(model, message.model_version, request, tuple(shared))


def _shared(one: Message, place: Slot, at: int, model: str) -> SharedInput:
    if one.HasField("contents"):
        raise InvalidArgument(
            "unexpected 'content' provided when using shared memory for input tensor "
            f"'{one.name}' for model '{model}'"
        )
    return SharedInput(at, place, _span(one))


def _span(one: Message) -> Span:
    """Read where in a region a tensor is; Triton's words name the tensor where a type is wrong."""
    found: dict[str, Any] = {}
    for name, kind in ((_REGION, "string_param"), (_OFFSET, "int64_param"), (_SIZE, "int64_param")):
        if name not in one.parameters:
            continue
        parameter = one.parameters[name]
        if parameter.WhichOneof("parameter_choice") != kind:
            raise InvalidArgument(
                f"invalid value type for '{name}' parameter for tensor '{one.name}', expected "
                f"{kind}."
            )
        found[name] = getattr(parameter, kind)
    for name in (_OFFSET, _SIZE):
        if found.get(name, 0) < 0:
            raise InvalidArgument(
                f"invalid value {found[name]} for '{name}' parameter for tensor '{one.name}', "
                "expected >= 0"
            )
    return Span(found[_REGION], found.get(_OFFSET, 0), found.get(_SIZE, 0))


def _slot(one: Message, model: str) -> Slot:
    shape = tuple(one.shape)
    if shape and min(shape) < 0:
        dims = ",".join(map(str, shape))
        raise InvalidArgument(
            f"All input dimensions should be specified for input '{one.name}' for model "
            f"'{model}', got [{dims}]"
        )
    return slot(one.name, datatype(one.datatype, one.name), shape)


_SMALL = frozenset({DType.INT8, DType.INT16, DType.UINT8, DType.UINT16})
_FIELD: Mapping[DType, str] = {
    DType.BOOL: "bool_contents",
    **dict.fromkeys((DType.INT8, DType.INT16, DType.INT32), "int_contents"),
    DType.INT64: "int64_contents",
    **dict.fromkeys((DType.UINT8, DType.UINT16, DType.UINT32), "uint_contents"),
    DType.UINT64: "uint64_contents",
    DType.FP32: "fp32_contents",
    DType.FP64: "fp64_contents",
    DType.BYTES: "bytes_contents",
}


def _explicit(contents: Message, place: Slot, model: str, request_id: str) -> Tensor:
    """Read the typed contents that some KServe clients send instead of raw bytes."""
    field = _FIELD.get(place.dtype)
    others = [found.name for found, _ in contents.ListFields() if found.name != field]
    if field is None or others:
        raise InvalidArgument(
            f"unexpected explicit tensor data for input tensor '{place.name}' for model "
            f"'{model}' of type '{place.dtype.value}'"
            + (f", expected it in {field}" if field else ", which only raw contents carry")
        )
    given = getattr(contents, field)
    if place.dtype is DType.BYTES:
        array = binary.strings(list(given))
    else:
        wide = np.int64 if place.dtype in _SMALL else place.dtype.numpy
        array = np.array(given, wide).astype(place.dtype.numpy, copy=False)
    if len(given) != place.count:
        raise InvalidArgument(
            f"{tag(request_id)}unexpected number of elements {len(given)} for inference input "
            f"'{place.name}' for model '{model}', expecting {place.count}"
        )
    return place.fill(array)


def _output(one: Message) -> RequestedOutput:
    if not one.parameters:
        return RequestedOutput(one.name)
    span = _span(one) if _REGION in one.parameters else None
    classes = 0
    if "classification" in one.parameters:
        if span is not None:
            raise InvalidArgument(not_both("classification"))
        classes = one.parameters["classification"].int64_param
        if classes <= 0:
            raise InvalidArgument("invalid value for 'classification' parameter, expected >= 0")
    return RequestedOutput(one.name, classification=classes, span=span)


def _fields(parameters: Mapping[str, Message]) -> dict[str, Any]:
    """Sort a request's parameters into the protocol's fields and the model's own."""
    fields: dict[str, Any] = {}
    if not parameters:
        return fields
    own: dict[str, Parameter] = {}
    for name, parameter in parameters.items():
        match name:
            case "sequence_id":
                fields[name] = _value(name, parameter, "int64_param", "string_param")
            case "sequence_start" | "sequence_end":
                fields[name] = _value(name, parameter, "bool_param")
            case "priority":
                fields[name] = _natural(name, parameter, "uint64_param", "int64_param")
            case "timeout":
                fields["timeout_us"] = _natural(name, parameter, "int64_param")
            case "triton_enable_empty_final_response":
                continue
            case _:
                kinds = ("int64_param", "bool_param", "string_param", "double_param")
                own[name] = own_parameter(name, _value(name, parameter, *kinds))
    if own:
        fields["parameters"] = own
    return fields


def _natural(name: str, parameter: Message, *kinds: str) -> int:
    value: int = _value(name, parameter, *kinds)
    if value < 0:
        raise InvalidArgument(f"invalid value {value} for '{name}' parameter, expected >= 0")
    return value


def _value(name: str, parameter: Message, *kinds: str) -> Any:  # noqa: ANN401 - a oneof
    kind = parameter.WhichOneof("parameter_choice")
    if kind in kinds:
        return getattr(parameter, kind)
    *most, last = [kind for kind in kinds if kind != "double_param"]
    wanted = f"{', '.join(most)}{',' if len(most) > 1 else ''} or {last}" if most else last
    raise InvalidArgument(f"invalid value type for '{name}' parameter, expected {wanted}.")


def render_response(response: InferResponse) -> Message:
    """Write a response; its tensors go as raw bytes."""
    elsewhere = response.elsewhere
    message = service_pb2.ModelInferResponse(
        model_name=response.model,
        model_version=response.version,
        id=response.id,
        # One entry an output, also for one without elements or in a region: clients go by the
        # index.
        raw_output_contents=[
            b"" if elsewhere and tensor.name in elsewhere else bytes(binary.encode(tensor))
            for tensor in response.outputs
        ],
    )
    for tensor in response.outputs:
        message.outputs.add(name=tensor.name, datatype=tensor.dtype.value, shape=tensor.array.shape)
    _set_parameters(message.parameters, response.parameters)
    return message


def _set_parameters(owner: Message, parameters: Mapping[str, Parameter]) -> None:
    for name, value in parameters.items():
        match value:
            case bool():
                owner[name].bool_param = value
            case int():
                owner[name].int64_param = value
            case float():
                owner[name].double_param = value
            case str():
                owner[name].string_param = value


def render_request(call: Infer) -> Message:
    """Write a request, as a client sends it; its tensors go as raw bytes."""
    request = call.request
    message = service_pb2.ModelInferRequest(
        model_name=call.model,
        model_version=call.version,
        id=request.id,
        raw_input_contents=[bytes(binary.encode(tensor)) for tensor in request.inputs],
    )
    heads: list[tuple[str, DType, tuple[int, ...], Span | None]] = [
        (tensor.name, tensor.dtype, tensor.array.shape, None) for tensor in request.inputs
    ]
    for shared in call.shared:
        place = shared.slot
        heads.insert(shared.place, (place.name, place.dtype, place.shape, shared.span))
    for name, dtype, shape, span in heads:
        one = message.inputs.add(name=name, datatype=dtype.value, shape=shape)
        _set_span(one, span)
    for output in request.outputs:
        one = message.outputs.add(name=output.name)
        _set_span(one, output.span)
        if output.classification:
            one.parameters["classification"].int64_param = output.classification
    _set_parameters(message.parameters, request.parameters)
    own: dict[str, Parameter] = {}
    if request.sequence_id not in (0, ""):
        own["sequence_id"] = request.sequence_id
    for name in ("sequence_start", "sequence_end"):
        if getattr(request, name):
            own[name] = True
    if request.timeout_us:
        own["timeout"] = request.timeout_us
    _set_parameters(message.parameters, own)
    if request.priority:
        message.parameters["priority"].uint64_param = request.priority
    return message


def _set_span(one: Message, span: Span | None) -> None:
    if span is not None:
        one.parameters[_REGION].string_param = span.region
        one.parameters[_SIZE].int64_param = span.size
        if span.offset:
            one.parameters[_OFFSET].int64_param = span.offset


def parse_response(message: Message) -> InferResponse:
    """Read a response, as a client gets it.

    Raises:
        InvalidArgument: its tensors do not fit their shapes.
    """
    raw: Sequence[bytes] = message.raw_output_contents
    if len(raw) != len(message.outputs):
        raise InvalidArgument(
            f"the answer has {len(message.outputs)} outputs and the bytes of {len(raw)}"
        )
    outputs = tuple(
        binary.decode(content, _slot(one, message.model_name), message.model_name, message.id)
        for one, content in zip(message.outputs, raw, strict=True)
    )
    parameters = {
        name: getattr(value, value.WhichOneof("parameter_choice"))
        for name, value in message.parameters.items()
    }
    return InferResponse(
        model=message.model_name,
        version=message.model_version,
        outputs=outputs,
        id=message.id,
        parameters=parameters,
    )
