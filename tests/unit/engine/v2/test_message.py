"""Inference messages over HTTP: Triton's words for every way to get them wrong, and key order."""

import json
from typing import Any

import numpy as np
import pytest

from engine.errors import EngineError, InvalidArgument
from engine.types import DType, InferRequest, InferResponse, RequestedOutput, Span, Tensor
from engine.v2 import http
from engine.v2.call import Call, Infer, InferRaw

NOT_UNSIGNED = "attempt to access JSON non-unsigned-integer as unsigned-integer"
X = {"name": "x", "shape": [2], "datatype": "FP32"}
ONE = {**X, "data": [1, 2.5]}


def parse(plain: object, content: bytes = b"", size: int | str | None = None, **more: Any) -> Call:
    text = plain if isinstance(plain, bytes) else json.dumps(plain).encode()
    headers = {}
    if content or size is not None:
        headers["inference-header-content-length"] = str(len(text) if size is None else size)
    limit = more.get("limit", 1 << 20)
    return http.parse_request("POST", "/v2/models/m/infer", headers, text + content, limit=limit)


def inference(plain: object, content: bytes = b"") -> Infer:
    call = parse(plain, content)
    assert isinstance(call, Infer)
    return call


def request(plain: object, content: bytes = b"") -> InferRequest:
    return inference(plain, content).request


def refusal(plain: object, content: bytes = b"", **more: Any) -> EngineError:
    with pytest.raises(EngineError) as caught:
        parse(plain, content, **more)
    return caught.value


def binary(size: int, **more: object) -> dict[str, object]:
    return {**X, "parameters": {"binary_data_size": size}, **more}


def test_all_members_of_a_request_are_read() -> None:
    plain = {
        "id": "seven",
        "parameters": {
            "sequence_id": 3, "sequence_start": True, "sequence_end": False, "priority": 2,
            "timeout": 99, "binary_data_output": True, "mine": "a", "half": 0.5, "n": -1, "b": True,
        },
        "inputs": [ONE],
        "outputs": [
            {"name": "y", "parameters": {"binary_data": True, "classification": 3}},
            {"name": "z"},
        ],
    }  # fmt: skip
    got = request(plain)
    assert got.inputs[0].array.tolist() == [1.0, 2.5]
    assert got == InferRequest(
        inputs=got.inputs,
        id="seven",
        outputs=(RequestedOutput("y", binary=True, classification=3), RequestedOutput("z")),
        binary_default=True,
        priority=2,
        timeout_us=99,
        sequence_id=3,
        sequence_start=True,
        parameters={"mine": "a", "half": 0.5, "n": -1, "b": True},
    )


def test_json_and_binary_inputs_mix_in_one_request() -> None:
    blob = np.array([3, 4], np.float32).tobytes()
    plain = {"inputs": [binary(8, name="a"), {**ONE, "name": "b"}, binary(8, name="c")]}
    got = request(plain, blob + blob[::-1])
    assert [tensor.name for tensor in got.inputs] == ["a", "b", "c"]
    assert got.inputs[0].array.tolist() == [3, 4]
    assert got.inputs[2].array.tobytes() == blob[::-1]


@pytest.mark.parametrize(
    ("member", "text"),
    [
        ({"id": 5}, "Unable to parse 'id': attempt to access JSON non-string as string"),
        ({"inputs": {}}, "Unable to parse 'inputs': attempt to access JSON non-array as array"),
        ({"outputs": 1}, "Unable to parse 'outputs': attempt to access JSON non-array as array"),
        ({"parameters": []}, "Unable to parse 'parameters': attempt to access JSON non-object"),
        (
            {"parameters": {"priority": -1}},
            f"Unable to parse 'priority': {NOT_UNSIGNED}",
        ),
        ({"parameters": {"timeout": "1"}}, "Unable to parse 'timeout'"),
        ({"parameters": {"sequence_start": 1}}, "Unable to parse 'sequence_start'"),
        ({"parameters": {"sequence_id": 1.5}}, "Unable to parse 'sequence_id'"),
        ({"parameters": {"binary_data_output": "true"}}, "Unable to parse 'binary_data_output'"),
        (
            {"parameters": {"triton_x": 1}},
            (
                "parameter keys starting with 'triton_' are reserved for Triton usage and should "
                "not be specified."
            ),
        ),
        ({"parameters": {"headers": "x"}}, "'headers' is reserved"),
        ({"parameters": {"x": [1]}}, "parameter 'x' has invalid type"),
        ({"inputs": [3]}, "Unable to parse 'inputs': expected an array of objects"),
    ],
)
def test_a_member_of_the_wrong_kind_is_named(member: dict[str, object], text: str) -> None:
    error = refusal({"inputs": [ONE], **member})
    assert isinstance(error, InvalidArgument)
    assert text in error.message


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"name": 1}, "Unable to parse 'name'"),
        (
            {"shape": [-1]},
            f"Unable to parse 'shape': {NOT_UNSIGNED}",
        ),
        ({"shape": [2.0]}, "Unable to parse 'shape'"),
        ({"shape": [True]}, "Unable to parse 'shape'"),
        ({"shape": [2**40, 2**40]}, "more elements than can be counted"),
        ({"shape": [0] * 99, "data": []}, "cannot be an array's"),
        ({"datatype": "FLOAT"}, "tensor 'x' has unknown datatype 'FLOAT'"),
        ({"data": [1]}, "Unable to parse 'data': Shape does not match true shape of 'data' field"),
        ({"data": [1, 2, 3]}, "Shape does not match true shape of 'data' field"),
        ({"data": 5}, "Unable to parse 'data'"),
        ({"data": [1, "2"]}, "attempt to access JSON non-number as double"),
        ({"data": [True, 1]}, "attempt to access JSON non-number as double"),
        (
            {"data": [1.0, 2], "datatype": "INT32"},
            "attempt to access JSON non-signed-integer as signed-integer",
        ),
        (
            {"data": [1.0, 2], "datatype": "UINT8"},
            "attempt to access JSON non-unsigned-integer as unsigned-integer",
        ),
        ({"data": [-1, 2], "datatype": "UINT8"}, "out of the range of UINT8"),
        ({"data": [300, 2], "datatype": "INT8"}, "out of the range of INT8"),
        ({"data": [1, 0], "datatype": "BOOL"}, "attempt to access JSON non-boolean as boolean"),
        ({"data": [1, 0], "datatype": "BYTES"}, "attempt to access JSON non-string as string"),
        (
            {"data": [1, 2], "datatype": "FP16"},
            (
                "receiving FP16 data via JSON is not supported. Please use the binary data "
                "format for input x"
            ),
        ),
        ({"data": [1, 2], "datatype": "BF16"}, "receiving BF16 data via JSON is not supported"),
    ],
)
def test_an_input_that_is_wrong_is_told_why(change: dict[str, object], text: str) -> None:
    error = refusal({"inputs": [{**ONE, **change}]})
    assert isinstance(error, InvalidArgument)
    assert text in error.message


def test_nesting_has_a_bottom() -> None:
    nested: object = 1
    for _ in range(102):
        nested = [nested]
    assert "deeper than 100" in refusal({"inputs": [{**X, "shape": [1], "data": nested}]}).message


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, "no field is set"),
        (
            {"data": [1, 2], "parameters": {"binary_data_size": 8}},
            "set 'data' 'binary_data_size'",
        ),
    ],
)
def test_an_input_has_its_elements_in_exactly_one_place(
    given: dict[str, object], found: str
) -> None:
    error = refusal({"inputs": [{**X, **given}]})
    assert error.message == (
        "Input must set only one of the following fields: 'data', 'binary_data_size' in "
        "'parameters', 'shared_memory_region' in 'parameters'. But "
        f"{found} (input 'x')"
    )


def test_tensors_may_lie_in_regions() -> None:
    there = {"shared_memory_region": "r", "shared_memory_byte_size": 8}
    call = inference(
        {
            "inputs": [{**X, "name": "first", "parameters": there}, ONE],
            "outputs": [{"name": "y", "parameters": {**there, "shared_memory_offset": 4}}],
        }
    )
    assert [tensor.name for tensor in call.request.inputs] == ["x"]
    (shared,) = call.shared
    assert (shared.place, shared.slot.name, shared.span) == (0, "first", Span("r", 0, 8))
    assert call.request.outputs == (RequestedOutput("y", span=Span("r", 4, 8)),)


@pytest.mark.parametrize("other", [{"classification": 1}, {"binary_data": True}])
def test_an_output_goes_one_way(other: dict[str, object]) -> None:
    parameters = {"shared_memory_region": "r", **other}
    error = refusal({"inputs": [ONE], "outputs": [{"name": "y", "parameters": parameters}]})
    (name,) = other
    assert error.message == f"Output can't set both 'shared_memory_region' and '{name}'"


def test_inputs_are_mandatory() -> None:
    assert refusal({}).message == (
        "Unable to parse 'inputs': attempt to access non-existing object member 'inputs'"
    )


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff", b'{"a":NaN', b"[" * 5000 + b"NaN"])
def test_what_is_not_a_json_object_is_refused(text: bytes) -> None:
    assert refusal(text).message.startswith("failed to parse the request JSON buffer: ")


def test_bytes_that_do_not_fit_are_told_how_many_are_expected() -> None:
    plain = {"inputs": [binary(8)]}
    short = refusal(plain, b"1234")
    assert short.message == (
        "unexpected size for input 'x', expecting 4 additional bytes for model 'm'"
    )
    long = refusal(plain, b"123456789")
    assert long.message == "unexpected additional input data for model 'm'"


def test_a_size_that_contradicts_the_shape_is_told_with_the_request() -> None:
    plain = {"inputs": [binary(4)]}
    assert refusal(plain, b"1234").message == (
        "[request id: <id_unknown>] input byte size mismatch for input 'x' for model 'm'. "
        "Expected 8, got 4"
    )
    assert refusal({**plain, "id": "a1"}, b"1234").message.startswith("[request id: a1] input byte")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"\1\0\0\0a", "expected 2 string elements for inference input 'x' for model 'm', got 1"),
        (
            b"\1\0\0\0a" * 3,
            (
                "unexpected number of string elements 3 for inference input 'x' for model 'm', "
                "expecting 2"
            ),
        ),
        (b"\1\0\0", "incomplete string length indicator for inference input 'x' for model 'm'"),
        (
            b"\5\0\0\0abc",
            (
                "incomplete string data for inference input 'x' for model 'm', expecting string of "
                "length 5 but only 3 bytes available"
            ),
        ),
    ],
)
def test_strings_that_do_not_fit_are_told_why(content: bytes, text: str) -> None:
    error = refusal({"inputs": [binary(len(content), datatype="BYTES")]}, content)
    assert text in error.message
    assert error.message.startswith("[request id: <id_unknown>] ")


def test_the_header_length_must_be_one() -> None:
    plain = {"inputs": [ONE]}
    size = len(json.dumps(plain))
    assert refusal(plain, size="x").message == (
        "Unable to parse Inference-Header-Content-Length, got: x"
    )
    assert refusal(plain, size=size + 1).message == (
        f"inference header size should be in range (0, {size}), got: {size + 1}"
    )
    assert "got: -1" in refusal(plain, size=-1).message
    assert isinstance(parse(plain, size=size), Infer)


def test_a_header_length_of_zero_means_a_body_without_a_head() -> None:
    assert parse(b"1234", size=0) == InferRaw("m", "", b"1234")


def test_only_texts_are_limited_in_size() -> None:
    plain = {"inputs": [binary(4000, shape=[1000])]}
    assert isinstance(parse(plain, bytes(4000), limit=500), Infer)
    text = {"inputs": [{**X, "shape": [200], "data": [0] * 200}]}
    size = len(json.dumps(text))
    assert refusal(text, limit=500).message == (
        f"request JSON size of {size} bytes exceeds the maximum allowed input size of 500 bytes. "
        "Use --http-max-input-size to increase the limit."
    )
    assert "request JSON size of 600 bytes" in refusal(bytes(600), size=0, limit=500).message


def test_infinities_and_nan_are_numbers_in_both_directions() -> None:
    values = b"[NaN,-Infinity,Infinity]"
    text = b'{"inputs":[{"name":"x","shape":[3],"datatype":"FP32","data":' + values + b"}]}"
    got = request(text).inputs[0].array
    assert np.isnan(got[0])
    assert got[1:].tolist() == [-np.inf, np.inf]
    assert b'"data":' + values in rendered(InferRequest(inputs=()), got)


def rendered(asked: InferRequest, *arrays: Any, dtype: DType = DType.FP32, **more: Any) -> bytes:
    outputs = tuple(Tensor(f"y{n}", dtype, array) for n, array in enumerate(arrays))
    response = InferResponse(model="m", version="3", outputs=outputs, **more)
    reply = http.render_reply(Infer("m", "", asked), response)
    length = dict(reply.headers).get("Inference-Header-Content-Length")
    assert length is None or length == str(len(reply.chunks[0]))
    return b"".join(reply.chunks)


def test_the_keys_of_a_response_stand_in_tritons_order() -> None:
    asked = InferRequest(inputs=(), outputs=(RequestedOutput("y1", binary=True),))
    one = np.array([[0.1, 2]], np.float32)
    assert rendered(asked, one, one, id="i", parameters={"p": 1}) == (
        b'{"id":"i","model_name":"m","model_version":"3","parameters":{"p":1},"outputs":['
        b'{"name":"y0","datatype":"FP32","shape":[1,2],"data":[0.10000000149011612,2.0]},'
        b'{"name":"y1","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}}]}'
        + one.tobytes()
    )


def test_an_empty_id_and_no_parameters_are_left_out() -> None:
    assert rendered(InferRequest(inputs=()), np.zeros((0, 4), np.float32)) == (
        b'{"model_name":"m","model_version":"3","outputs":'
        b'[{"name":"y0","datatype":"FP32","shape":[0,4],"data":[]}]}'
    )


def test_only_empty_binary_outputs_need_no_header() -> None:
    asked = InferRequest(inputs=(), binary_default=True)
    response = InferResponse(
        model="m", version="1", outputs=(Tensor("y", DType.FP32, np.zeros((0, 4), np.float32)),)
    )
    reply = http.render_reply(Infer("m", "", asked), response)
    assert reply.headers == (("Content-Type", "application/json"),)
    assert b'"parameters":{"binary_data_size":0}' in reply.chunks[0]


def test_a_large_output_is_not_copied() -> None:
    array = np.zeros((1, 100_000), np.float32)
    asked = InferRequest(inputs=(), binary_default=True)
    response = InferResponse(model="m", version="1", outputs=(Tensor("y", DType.FP32, array),))
    chunk = http.render_reply(Infer("m", "", asked), response).chunks[1]
    assert isinstance(chunk, memoryview)
    assert np.shares_memory(np.frombuffer(chunk, np.uint8), array)


def test_a_large_binary_input_is_not_copied_where_it_is_aligned() -> None:
    plain = {"inputs": [binary(400_000, shape=[100_000])]}
    text = json.dumps(plain).encode()
    text += b" " * (-len(text) % 16)
    body = text + bytes(400_000)
    headers = {"inference-header-content-length": str(len(text))}
    view = memoryview(body)
    call = http.parse_request("POST", "/v2/models/m/infer", headers, view, limit=1 << 20)
    assert isinstance(call, Infer)
    assert np.shares_memory(call.request.inputs[0].array, np.frombuffer(body, np.uint8))


@pytest.mark.parametrize(
    ("dtype", "array", "text"),
    [
        (DType.UINT64, np.array([2**64 - 1], np.uint64), b"[18446744073709551615]"),
        (DType.INT8, np.array([-128, 127], np.int8), b"[-128,127]"),
        (DType.BOOL, np.array([True, False]), b"[true,false]"),
        (DType.BYTES, np.array(["ä".encode(), b""], object), '["ä",""]'.encode()),
        (DType.FP64, np.array([0.1, 2.5]), b"[0.1,2.5]"),
    ],
)
def test_json_outputs_are_flat_and_exact(dtype: DType, array: Any, text: bytes) -> None:
    assert b'"data":' + text in rendered(InferRequest(inputs=()), array, dtype=dtype)


@pytest.mark.parametrize(
    ("dtype", "array", "text"),
    [
        (
            DType.FP16,
            np.zeros(1, np.float16),
            (
                "sending FP16 data via JSON is not supported. Please use the binary data "
                "format for output y0"
            ),
        ),
        (DType.BF16, np.zeros(1, np.uint16), "sending BF16 data via JSON is not supported"),
        (DType.BYTES, np.array([b"\xff"], object), "output 'y0' is not UTF-8 text"),
    ],
)
def test_what_json_cannot_carry_is_refused(dtype: DType, array: Any, text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        rendered(InferRequest(inputs=()), array, dtype=dtype)
    assert text in caught.value.message
