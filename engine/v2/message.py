"""An inference request's and response's JSON head, and the binary tensors behind it.

Owns the object's members, their strictness and texts, the order of keys, and which tensor's
bytes stand where. Does not own HTTP's headers (``v2.http``) nor whether a model takes such a
request (``engine.service``).

The head of a request whose tensors are binary is small and the same for every request of a
client, so heads read lately are remembered by their bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

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
from engine.v2 import binary, strict, values
from engine.v2.binary import Content, Slot, slot
from engine.v2.call import Infer, SharedInput

#: Heads longer than this are not remembered: 1024 of them must stay a small thing.
WORTH_REMEMBERING = 4096

_DTYPES = {dtype.value: dtype for dtype in DType}
_REGION = "shared_memory_region"
_OFFSET = "shared_memory_offset"
_SIZE = "shared_memory_byte_size"
#: Parameters of the protocol itself; all others are the model's.
RESERVED = frozenset(
    {
        "sequence_id", "sequence_start", "sequence_end", "priority", "timeout",
        "binary_data_output", "headers",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Input:
    """One input: its slot, and where its elements are: ``size`` bytes, ``data``, or a span."""

    slot: Slot
    size: int | None
    data: list[Any] | None = None
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class _Head:
    """A request's head; ``fields`` are the arguments of ``InferRequest`` besides its inputs."""

    inputs: tuple[_Input, ...]
    fields: Mapping[str, Any] = field(default_factory=dict)
    id: str = ""
    shared: tuple[SharedInput, ...] = ()


def parse_request(
    content: Content, head_size: int | None, model: str, version: str, limit: int
) -> Infer:
    """Read an inference request; ``head_size`` None means that all of it is JSON.

    Raises:
        InvalidArgument: it is not one.
    """
    size = len(content) if head_size is None else head_size
    if size > limit:
        raise too_large(size, limit)
    text = bytes(content[:size])
    known = head_size is not None and size <= WORTH_REMEMBERING
    head = _remembered_head(text) if known else _head(text)
    tensors: list[Tensor] = []
    at = size
    for given in head.inputs:
        if given.size is None:
            tensors.append(_from_data(given, model, limit))
            continue
        end = at + given.size
        if end > len(content):
            message = (
                f"unexpected size for input '{given.slot.name}', expecting {end - len(content)} "
                f"additional bytes for model '{model}'"
            )
            raise InvalidArgument(message)
        tensors.append(binary.decode(content[at:end], given.slot, model, head.id))
        at = end
    if at != len(content):
        raise InvalidArgument(f"unexpected additional input data for model '{model}'")
    request = InferRequest(inputs=tuple(tensors), id=head.id, **head.fields)
    return Infer(model, version, request, head.shared)


def too_large(size: int, limit: int) -> InvalidArgument:
    """Refuse a text beyond the limit, in Triton's words."""
    return InvalidArgument(
        f"request JSON size of {size} bytes exceeds the maximum allowed input size of {limit} "
        "bytes. Use --http-max-input-size to increase the limit."
    )


def _from_data(given: _Input, model: str, limit: int) -> Tensor:
    if given.slot.size > limit:
        raise too_large(given.slot.size, limit)
    assert given.data is not None
    return values.read(given.data, given.slot, model)


def _head(text: bytes) -> _Head:
    plain = strict.document(text)
    request_id = strict.text(plain, "id") if "id" in plain else ""
    fields = _parameters(strict.members(plain, "parameters"))
    if "outputs" in plain:
        wanted = strict.array(plain, "outputs")
        fields["outputs"] = tuple(_output(_object(one, "outputs")) for one in wanted)
    given = tuple(_input(_object(one, "inputs")) for one in strict.array(plain, "inputs"))
    shared = tuple(
        SharedInput(place, one.slot, one.span)
        for place, one in enumerate(given)
        if one.span is not None
    )
    inputs = tuple(one for one in given if one.span is None) if shared else given
    return _Head(inputs, fields, request_id, shared)


_remembered_head = lru_cache(maxsize=1024)(_head)


def _object(value: object, name: str) -> dict[str, Any]:
    if type(value) is dict:
        return value
    raise strict.wrong(name, "expected an array of objects")


def _input(plain: dict[str, Any]) -> _Input:
    name = strict.text(plain, "name")
    shape = tuple(strict.natural(dim, "shape") for dim in strict.array(plain, "shape"))
    dtype = datatype(strict.text(plain, "datatype"), name)
    place = slot(name, dtype, shape)
    parameters = strict.members(plain, "parameters")
    given = [member for member in ("data",) if member in plain]
    given += [member for member in ("binary_data_size", _REGION) if member in parameters]
    if len(given) != 1:
        message = (
            "Input must set only one of the following fields: 'data', 'binary_data_size' in "
            "'parameters', 'shared_memory_region' in 'parameters'. But"
        )
        found = f"set {' '.join(map(repr, given))}" if given else "no field is set"
        raise InvalidArgument(f"{message} {found} (input '{name}')")
    if given[0] == "data":
        return _Input(place, None, strict.array(plain, "data"))
    if given[0] == _REGION:
        return _Input(place, None, None, _span(parameters))
    return _Input(place, strict.unsigned(parameters, "binary_data_size"))


def _span(parameters: dict[str, Any]) -> Span:
    return Span(
        strict.text(parameters, _REGION),
        strict.unsigned(parameters, _OFFSET) if _OFFSET in parameters else 0,
        strict.unsigned(parameters, _SIZE) if _SIZE in parameters else 0,
    )


def datatype(word: str, name: str) -> DType:
    """Find the type of that name, for input ``name``.

    Raises:
        InvalidArgument: there is none.
    """
    dtype = _DTYPES.get(word)
    if dtype is None:
        known = ", ".join(_DTYPES)
        raise InvalidArgument(f"tensor '{name}' has unknown datatype '{word}'; there are: {known}")
    return dtype


def _output(plain: dict[str, Any]) -> RequestedOutput:
    name = strict.text(plain, "name")
    parameters = strict.members(plain, "parameters")
    if not parameters:
        return RequestedOutput(name)
    in_binary = strict.flag(parameters, "binary_data") if "binary_data" in parameters else False
    if _REGION not in parameters:
        has_classes = "classification" in parameters
        classes = strict.unsigned(parameters, "classification") if has_classes else 0
        return RequestedOutput(name, binary=in_binary, classification=classes)
    if "classification" in parameters:
        raise InvalidArgument(not_both("classification"))
    if in_binary:
        raise InvalidArgument(not_both("binary_data"))
    return RequestedOutput(name, span=_span(parameters))


def not_both(other: str) -> str:
    """Say that an output cannot go into a region and be that as well, in Triton's words."""
    return f"Output can't set both 'shared_memory_region' and '{other}'"


def _parameters(plain: dict[str, Any]) -> dict[str, Any]:
    """Sort a request's parameters into the protocol's fields and the model's own."""
    fields: dict[str, Any] = {}
    own: dict[str, Parameter] = {}
    for name, value in plain.items():
        match name:
            case "binary_data_output":
                fields["binary_default"] = strict.flag(plain, name)
            case "sequence_id":
                is_text = type(value) is str
                fields[name] = value if is_text else strict.natural(value, name)
            case "sequence_start" | "sequence_end":
                fields[name] = strict.flag(plain, name)
            case "priority":
                fields[name] = strict.natural(value, name)
            case "timeout":
                fields["timeout_us"] = strict.natural(value, name)
            case _:
                own[name] = own_parameter(name, value)
    if own:
        fields["parameters"] = own
    return fields


def own_parameter(name: str, value: object) -> Parameter:
    """Take a model's own parameter of a request.

    Raises:
        InvalidArgument: the name is reserved, or the value is no string, number or boolean.
    """
    if name.startswith("triton_"):
        message = (
            "parameter keys starting with 'triton_' are reserved for Triton usage and should not "
            "be specified."
        )
        raise InvalidArgument(message)
    if name == "headers":
        raise InvalidArgument("parameter key 'headers' is reserved and should not be specified.")
    if isinstance(value, bool | int | float | str):
        return value
    message = (
        f"parameter '{name}' has invalid type. It should be either 'int', 'bool', 'string' or "
        "'double'."
    )
    raise InvalidArgument(message)


def raw_request(
    content: bytes, model: str, name: str, dtype: DType, shape: tuple[int, ...]
) -> InferRequest:
    """Make a request of a body without a head: the model's one input; outputs come back binary.

    ``shape`` is the model's, with a leading 1 where it batches; one -1 is deduced.

    Raises:
        InvalidArgument: the shape cannot be deduced.
    """
    if dtype is DType.BYTES:
        if any(dim not in (1, -1) for dim in shape):
            message = f"For BYTES datatype raw input '{name}', the model must have input shape [1]"
            raise InvalidArgument(message)
        array = binary.strings([content]).reshape((1,) * len(shape))
        return InferRequest(inputs=(Tensor(name, dtype, array),), binary_default=True)
    if shape.count(-1) > 1:
        message = (
            f"The shape of the raw input '{name}' can not be deduced because there are more than "
            "one variable-sized dimension"
        )
        raise InvalidArgument(message)
    fixed = slot(name, dtype, tuple(dim for dim in shape if dim != -1))
    deduced = len(content) // fixed.size if fixed.size else 0
    place = slot(name, dtype, tuple(deduced if dim == -1 else dim for dim in shape))
    tensor = binary.decode(content, place, model, "")
    return InferRequest(inputs=(tensor,), binary_default=True)


def render_request(call: Infer) -> tuple[bytes, tuple[bytes | memoryview, ...]]:
    """Write a request: its head, and its inputs' bytes in order.

    All are sent as binary, but those that lie in a region.
    """
    request = call.request
    plain: dict[str, Any] = {}
    if request.id:
        plain["id"] = request.id
    parameters = _spell_parameters(request)
    if parameters:
        plain["parameters"] = parameters
    contents = tuple(binary.encode(tensor) for tensor in request.inputs)
    inputs = [
        {
            "name": tensor.name,
            "shape": tensor.array.shape,
            "datatype": tensor.dtype.value,
            "parameters": {"binary_data_size": len(content)},
        }
        for tensor, content in zip(request.inputs, contents, strict=True)
    ]
    for one in call.shared:
        place = one.slot
        spelled = {"name": place.name, "shape": place.shape, "datatype": place.dtype.value}
        inputs.insert(one.place, {**spelled, "parameters": _spell_span(one.span)})
    plain["inputs"] = inputs
    if request.outputs:
        plain["outputs"] = [_spell_output(output) for output in request.outputs]
    return strict.dumps(plain), contents


def _spell_parameters(request: InferRequest) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    if request.sequence_id not in (0, ""):
        plain["sequence_id"] = request.sequence_id
    for name in ("sequence_start", "sequence_end", "priority"):
        value = getattr(request, name)
        if value:
            plain[name] = value
    if request.timeout_us:
        plain["timeout"] = request.timeout_us
    if request.binary_default:
        plain["binary_data_output"] = True
    return plain | dict(request.parameters)


def _spell_span(span: Span) -> dict[str, Any]:
    spelled: dict[str, Any] = {_REGION: span.region, _SIZE: span.size}
    return {**spelled, _OFFSET: span.offset} if span.offset else spelled


def _spell_output(output: RequestedOutput) -> dict[str, Any]:
    if output.span is not None:
        return {"name": output.name, "parameters": _spell_span(output.span)}
    parameters: dict[str, Any] = {"binary_data": output.binary}
    if output.classification:
        parameters["classification"] = output.classification
    return {"name": output.name, "parameters": parameters}


def render_response(
    request: InferRequest, response: InferResponse
) -> tuple[bytes, list[bytes | memoryview]]:
    """Write a response: its head, and its binary outputs' bytes in order.

    An output is binary where the request asks for that, and a list of JSON values where it does
    not; one whose elements are in a region has neither.

    Raises:
        InvalidArgument: JSON cannot carry an output that is to be JSON.
    """
    contents: list[bytes | memoryview] = []
    outputs: list[dict[str, Any]] = []
    for tensor in response.outputs:
        plain: dict[str, Any] = {
            "name": tensor.name,
            "datatype": tensor.dtype.value,
            "shape": tensor.array.shape,
        }
        if response.elsewhere and tensor.name in response.elsewhere:
            pass  # its elements are where the client put their place
        elif _wants_binary(request, tensor.name):
            content = binary.encode(tensor)
            contents.append(content)
            plain["parameters"] = {"binary_data_size": len(content)}
        else:
            plain["data"] = values.write(tensor)
        outputs.append(plain)
    head: dict[str, Any] = {"id": response.id} if response.id else {}
    head["model_name"] = response.model
    head["model_version"] = response.version
    if response.parameters:
        head["parameters"] = dict(response.parameters)
    head["outputs"] = outputs
    return strict.dumps(head), contents


def _wants_binary(request: InferRequest, name: str) -> bool:
    for output in request.outputs:
        if output.name == name:
            return output.binary
    return request.binary_default


def parse_response(content: Content, head_size: int | None) -> InferResponse:
    """Read a response; ``head_size`` None means that all of it is JSON.

    Outputs that were put into a region of memory are named in ``elsewhere`` alone.

    Raises:
        InvalidArgument: it is not one.
    """
    size = len(content) if head_size is None else head_size
    plain = strict.document(bytes(content[:size]))
    model = strict.text(plain, "model_name")
    outputs: list[Tensor] = []
    elsewhere: set[str] = set()
    at = size
    for one in strict.array(plain, "outputs"):
        member = _object(one, "outputs")
        name = strict.text(member, "name")
        shape = tuple(strict.natural(dim, "shape") for dim in strict.array(member, "shape"))
        place = slot(name, datatype(strict.text(member, "datatype"), name), shape)
        parameters = strict.members(member, "parameters")
        if "binary_data_size" in parameters:
            end = at + strict.unsigned(parameters, "binary_data_size")
            outputs.append(binary.decode(content[at:end], place, model, ""))
            at = end
        elif _REGION in parameters or "data" not in member:
            elsewhere.add(name)
        else:
            outputs.append(values.read(strict.array(member, "data"), place, model))
    return InferResponse(
        model=model,
        version=strict.text(plain, "model_version"),
        outputs=tuple(outputs),
        id=strict.text(plain, "id") if "id" in plain else "",
        parameters=strict.members(plain, "parameters"),
        elsewhere=frozenset(elsewhere),
    )
