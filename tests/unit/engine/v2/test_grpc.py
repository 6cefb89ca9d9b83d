"""gRPC messages: typed and raw contents, parameters, and the words for what is wrong."""

from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from engine.errors import EngineError, InvalidArgument, NotFound, Unsupported
from engine.types import DType, InferRequest, InferResponse, RequestedOutput, Span, Tensor
from engine.v2 import grpc
from engine.v2.call import DecoupledModel, Infer, InferRaw, Load, Unload


def message(**more: Any) -> Any:
    request = service_pb2.ModelInferRequest(model_name="m", **more)
    request.inputs.add(name="x", datatype="FP32", shape=[2])
    return request


def parse(request: Any) -> InferRequest:
    call = grpc.parse_request(request)
    assert isinstance(call, Infer)
    return call.request


def refusal(request: Any) -> EngineError:
    with pytest.raises(EngineError) as caught:
        grpc.parse_request(request)
    return caught.value


@pytest.mark.parametrize(
    ("dtype", "field", "given"),
    [
        (DType.BOOL, "bool_contents", [True, False]),
        (DType.INT8, "int_contents", [-1, 2]),
        (DType.INT16, "int_contents", [-1, 2]),
        (DType.INT32, "int_contents", [-1, 2]),
        (DType.INT64, "int64_contents", [-(2**63), 2]),
        (DType.UINT8, "uint_contents", [255, 0]),
        (DType.UINT16, "uint_contents", [65535, 0]),
        (DType.UINT32, "uint_contents", [2**32 - 1, 0]),
        (DType.UINT64, "uint64_contents", [2**64 - 1, 0]),
        (DType.FP32, "fp32_contents", [0.5, -2.0]),
        (DType.FP64, "fp64_contents", [0.1, 2.0]),
        (DType.BYTES, "bytes_contents", [b"a", b""]),
    ],
)
def test_typed_contents_are_read(dtype: DType, field: str, given: list[Any]) -> None:
    request = message()
    request.inputs[0].datatype = dtype.value
    getattr(request.inputs[0].contents, field).extend(given)
    tensor = parse(request).inputs[0]
    assert tensor.array.tolist() == given
    assert tensor.array.dtype == dtype.numpy


def test_raw_and_typed_contents_exclude_each_other() -> None:
    request = message(raw_input_contents=[bytes(8)])
    request.inputs[0].contents.fp32_contents.extend([1, 2])
    assert refusal(request).message == (
        "contents field must not be specified when using raw_input_contents for 'x' for model 'm'"
    )


def test_an_input_without_contents_is_missed() -> None:
    assert refusal(message()).message == (
        "unable to find data for input tensor 'x' for model 'm' in request."
    )


def test_further_raw_contents_are_nobodys() -> None:
    assert parse(message(raw_input_contents=[bytes(8), b"more"])).inputs[0].array.tolist() == [0, 0]


def test_raw_contents_must_fill_the_shape() -> None:
    assert refusal(message(raw_input_contents=[bytes(7)], id="i")).message == (
        "[request id: i] input byte size mismatch for input 'x' for model 'm'. Expected 8, got 7"
    )


def test_contents_of_another_type_are_refused() -> None:
    request = message()
    request.inputs[0].contents.int_contents.extend([1, 2])
    assert "unexpected explicit tensor data for input tensor 'x'" in refusal(request).message
    half = message()
    half.inputs[0].datatype = "FP16"
    half.inputs[0].contents.fp32_contents.extend([1, 2])
    assert "which only raw contents carry" in refusal(half).message


def test_too_few_typed_contents_are_refused() -> None:
    request = message()
    request.inputs[0].contents.fp32_contents.extend([1])
    assert "unexpected number of elements 1" in refusal(request).message


def test_every_dimension_is_specified() -> None:
    request = message(raw_input_contents=[bytes(8)])
    request.inputs[0].shape[:] = [-1, 2]
    assert refusal(request).message == (
        "All input dimensions should be specified for input 'x' for model 'm', got [-1,2]"
    )


def test_all_kinds_of_parameters_are_read() -> None:
    request = message(raw_input_contents=[bytes(8)], model_version="3", id="i")
    own = request.parameters
    own["sequence_id"].string_param = "s"
    own["sequence_start"].bool_param = True
    own["priority"].uint64_param = 2**63
    own["timeout"].int64_param = 5
    own["triton_enable_empty_final_response"].bool_param = True
    own["a"].int64_param = -1
    own["b"].bool_param = False
    own["c"].string_param = "x"
    own["d"].double_param = 0.5
    got = parse(request)
    assert (got.sequence_id, got.sequence_start, got.priority, got.timeout_us) == (
        "s",
        True,
        2**63,
        5,
    )
    assert got.parameters == {"a": -1, "b": False, "c": "x", "d": 0.5}


@pytest.mark.parametrize(
    ("name", "kind", "value", "text"),
    [
        ("x", "uint64_param", 1, ("invalid value type for 'x' parameter, expected int64_param, "
         "bool_param, or string_param.")),
        ("timeout", "string_param", "1", "invalid value type for 'timeout' parameter"),
        ("priority", "int64_param", -1, "invalid value -1 for 'priority' parameter, expected >= 0"),
        ("sequence_end", "int64_param", 1, "invalid value type for 'sequence_end' parameter"),
        ("triton_x", "int64_param", 1, "parameter keys starting with 'triton_' are reserved"),
    ],
)  # fmt: skip
def test_a_parameter_that_is_wrong_is_named(name: str, kind: str, value: Any, text: str) -> None:
    request = message(raw_input_contents=[bytes(8)])
    setattr(request.parameters[name], kind, value)
    assert refusal(request).message.startswith(text)


def in_region(name: str, kind: str, value: Any) -> Any:
    """Make a request whose one input lies in a region, with one more parameter."""
    request = message()
    request.inputs[0].parameters["shared_memory_region"].string_param = "r"
    setattr(request.inputs[0].parameters[name], kind, value)
    return request


def test_tensors_may_lie_in_regions_and_take_no_raw_contents() -> None:
    given = in_region("shared_memory_byte_size", "int64_param", 8)
    given.inputs.add(name="next", datatype="FP32", shape=[2])
    given.raw_input_contents.append(bytes(8))
    wanted = given.outputs.add(name="y")
    wanted.parameters["shared_memory_region"].string_param = "s"
    wanted.parameters["shared_memory_offset"].int64_param = 4
    call = grpc.parse_request(given)
    assert isinstance(call, Infer)
    assert [tensor.name for tensor in call.request.inputs] == ["next"]
    assert [(one.place, one.span) for one in call.shared] == [(0, Span("r", 0, 8))]
    assert call.request.outputs == (RequestedOutput("y", span=Span("s", 4, 0)),)


@pytest.mark.parametrize(
    ("name", "kind", "value", "text"),
    [
        ("shared_memory_region", "int64_param", 1, "expected string_param."),
        ("shared_memory_offset", "string_param", "1", "expected int64_param."),
        ("shared_memory_byte_size", "int64_param", -1, "expected >= 0"),
    ],
)
def test_where_a_tensor_lies_is_typed(name: str, kind: str, value: Any, text: str) -> None:
    error = refusal(in_region(name, kind, value))
    assert f"'{name}' parameter for tensor 'x'" in error.message
    assert error.message.endswith(text)


def test_an_input_is_not_in_a_region_and_in_the_message() -> None:
    request = in_region("shared_memory_byte_size", "int64_param", 8)
    request.inputs[0].contents.fp32_contents.extend([1, 2])
    assert refusal(request).message == (
        "unexpected 'content' provided when using shared memory for input tensor 'x' for model 'm'"
    )


def test_classification_asks_for_at_least_one_class() -> None:
    request = message(raw_input_contents=[bytes(8)])
    parameter = request.outputs.add(name="y").parameters["classification"]
    parameter.int64_param = 3
    assert parse(request).outputs[0].classification == 3
    parameter.int64_param = 0
    assert "classification" in refusal(request).message
    parameter.int64_param = 3
    request.outputs[0].parameters["shared_memory_region"].string_param = "r"
    text = "Output can't set both 'shared_memory_region' and 'classification'"
    assert refusal(request).message == text


def test_every_output_has_its_entry_of_raw_bytes() -> None:
    outputs = (
        Tensor("a", DType.FP32, np.zeros((0, 2), np.float32)),
        Tensor("b", DType.INT32, np.array([1], np.int32)),
    )
    response = InferResponse(model="m", version="1", outputs=outputs)
    got = grpc.render_reply(Infer("m", "", InferRequest(inputs=())), response)
    assert list(got.raw_output_contents) == [b"", b"\1\0\0\0"]
    assert [list(output.shape) for output in got.outputs] == [[0, 2], [1]]


def test_load_and_unload_know_their_parameters() -> None:
    load = service_pb2.RepositoryModelLoadRequest(model_name="m")
    load.parameters["config"].string_param = "{}"
    load.parameters["file:a"].bytes_param = b"x"
    assert grpc.parse_request(load) == Load("m", {"config": "{}", "file:a": b"x"})
    load.parameters["file:a"].string_param = "x"
    assert "expected bytes_param" in refusal(load).message
    odd = service_pb2.RepositoryModelLoadRequest(model_name="m")
    odd.parameters["speed"].int64_param = 1
    assert refusal(odd).message == "unrecognized load parameter 'speed'."
    unload = service_pb2.RepositoryModelUnloadRequest(model_name="m")
    unload.parameters["unload_dependents"].bool_param = True
    assert grpc.parse_request(unload) == Unload("m", True)
    unload.repository_name = "r"
    assert isinstance(refusal(unload), Unsupported)


def test_statuses_become_the_errors_they_came_from() -> None:
    assert isinstance(grpc.error_of("NOT_FOUND", "x"), NotFound)
    assert isinstance(grpc.error_of("UNIMPLEMENTED", "x"), Unsupported)
    assert type(grpc.error_of("DEADLINE_EXCEEDED", "x")) is EngineError
    assert grpc.error_text(DecoupledModel("m")).startswith("ModelInfer RPC doesn't support")
    assert grpc.error_text(InvalidArgument("x")) == "x"


def test_a_request_without_a_head_is_https_alone() -> None:
    with pytest.raises(Unsupported):
        grpc.render_request(InferRaw("m", "", b""))
