"""Inference over HTTP by bytes on a socket: what may be sent, and what comes back."""

import json
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.fake_registry import FakeModel, echo_config
from support.in_thread import serving_fakes
from support.onnx_identity import KINDS, write_identity
from support.raw_http import Answer, ask
from support.served import served

from engine.types import DType, Parameter

LENGTH = "Inference-Header-Content-Length"
FLOATS = np.arange(6, dtype=np.float32).reshape(2, 3)
WHOLE = np.arange(4, dtype=np.int32).reshape(2, 2)
BAD = "Unable to parse 'data': "


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with tempfile.TemporaryDirectory() as place:
        for kind in KINDS:
            write_identity(Path(place), kind, [kind])
        write_identity(Path(place), "pair", ["FP32", "INT32"])
        write_identity(Path(place), "grid", ["FP32"], max_batch_size=0)
        with served(Path(place)) as ports:
            yield ports.http.port


def tensor(kind: str, shape: list[int], **more: Any) -> dict[str, Any]:
    return {"name": f"IN_{kind}", "shape": shape, "datatype": kind, **more}


def binary(kind: str, array: Any) -> dict[str, Any]:
    return tensor(kind, list(array.shape), parameters={"binary_data_size": array.nbytes})


def infer(port: int, model: str, plain: object, content: bytes = b"") -> Answer:
    """Ask; the length of the JSON is told where content follows it."""
    text = plain if isinstance(plain, bytes) else json.dumps(plain).encode()
    headers = {LENGTH: str(len(text))} if content else {}
    return ask(port, "POST", f"/v2/models/{model}/infer", text + content, headers)


def refusal(answer: Answer) -> str:
    assert answer.status == 400
    return answer.error


@pytest.mark.triton("4.20", "4.29", "4.30", "4.31")
def test_a_json_request_is_answered_in_json_in_tritons_order(port: int) -> None:
    plain = {"inputs": [tensor("FP32", [2, 3], data=FLOATS.tolist())]}
    answer = infer(port, "FP32", plain)
    assert answer.headers["content-type"] == "application/json"
    assert LENGTH.lower() not in answer.headers
    assert answer.body == (
        b'{"model_name":"FP32","model_version":"1","outputs":[{"name":"OUT_FP32",'
        b'"datatype":"FP32","shape":[2,3],"data":[0.0,1.0,2.0,3.0,4.0,5.0]}]}'
    )
    named = infer(port, "FP32", {**plain, "id": "7", "outputs": [{"name": "OUT_FP32"}]})
    assert list(named.json) == ["id", "model_name", "model_version", "outputs"]
    assert named.json["id"] == "7"
    empty = infer(port, "FP32", {**plain, "id": ""})
    assert "id" not in empty.json


@pytest.mark.triton("4.29", "6.5")
def test_parameters_of_an_answer_stand_behind_the_version() -> None:
    parameters: dict[str, Parameter] = {"a": 1, "b": True, "c": "x", "d": 0.5}
    model = FakeModel(echo_config(dims=(1,)), parameters=parameters)
    with serving_fakes(model) as ports:
        plain = {"inputs": [{"name": "INPUT0", "shape": [1, 1], "datatype": "FP32", "data": [7]}]}
        answer = infer(ports.http.port, "identity", plain)
        assert list(answer.json) == ["model_name", "model_version", "parameters", "outputs"]
        assert answer.json["parameters"] == parameters


@pytest.mark.triton("4.8", "4.21", "4.23", "4.30", "6.1")
def test_binary_tensors_stand_behind_the_json_in_the_order_of_their_inputs(port: int) -> None:
    inputs = [binary("INT32", WHOLE), binary("FP32", FLOATS)]
    wanted = [
        {"name": "OUT_INT32", "parameters": {"binary_data": True}},
        {"name": "OUT_FP32", "parameters": {"binary_data": True}},
    ]
    content = WHOLE.tobytes() + FLOATS.tobytes()
    answer = infer(port, "pair", {"inputs": inputs, "outputs": wanted}, content)
    assert answer.headers["content-type"] == "application/octet-stream"
    size = int(answer.headers[LENGTH.lower()])
    sizes = {
        one["name"]: one["parameters"]["binary_data_size"]
        for one in json.loads(answer.body[:size])["outputs"]
    }
    # An output has no other parameter: some clients take every object of them for the size's.
    assert sizes == {"OUT_FP32": 24, "OUT_INT32": 16}
    parts = {"OUT_FP32": FLOATS.tobytes(), "OUT_INT32": WHOLE.tobytes()}
    assert answer.body[size:] == b"".join(parts[name] for name in sizes)


@pytest.mark.triton("4.21", "4.26", "4.30")
def test_forms_mix_and_json_is_each_outputs_default(port: int) -> None:
    inputs = [tensor("FP32", [2, 3], data=FLOATS.tolist()), binary("INT32", WHOLE)]
    plain = {
        "inputs": inputs,
        "outputs": [
            {"name": "OUT_FP32"},
            {"name": "OUT_INT32", "parameters": {"binary_data": True}},
        ],
        "parameters": {"binary_data_output": True},
    }
    answer = infer(port, "pair", plain, WHOLE.tobytes())
    size = int(answer.headers[LENGTH.lower()])
    first, second = json.loads(answer.body[:size])["outputs"]
    assert first["data"] == FLOATS.ravel().tolist()
    assert second["parameters"] == {"binary_data_size": 16}


@pytest.mark.triton("4.31")
def test_without_outputs_all_come_in_the_form_of_binary_data_output(port: int) -> None:
    inputs = [binary("FP32", FLOATS), binary("INT32", WHOLE)]
    content = FLOATS.tobytes() + WHOLE.tobytes()
    plain = {"inputs": inputs, "parameters": {"binary_data_output": True}}
    answer = infer(port, "pair", plain, content)
    assert answer.body[int(answer.headers[LENGTH.lower()]) :] == content
    for form in ({}, {"parameters": {"binary_data_output": False}}):
        answer = infer(port, "pair", {"inputs": inputs, **form}, content)
        assert [one["data"] for one in answer.json["outputs"]] == [
            FLOATS.ravel().tolist(),
            WHOLE.ravel().tolist(),
        ]


@pytest.mark.triton("4.30")
def test_only_empty_binary_outputs_need_no_header(port: int) -> None:
    empty = np.zeros((2, 0), np.float32)
    plain = {"inputs": [binary("FP32", empty)], "parameters": {"binary_data_output": True}}
    answer = infer(port, "FP32", plain)
    assert answer.headers["content-type"] == "application/json"
    assert LENGTH.lower() not in answer.headers
    assert answer.json["outputs"] == [
        {
            "name": "OUT_FP32",
            "datatype": "FP32",
            "shape": [2, 0],
            "parameters": {"binary_data_size": 0},
        }
    ]
    plain = {"inputs": [tensor("FP32", [2, 0], data=[])]}
    assert infer(port, "FP32", plain).json["outputs"][0]["data"] == []


@pytest.mark.triton("4.21")
@pytest.mark.parametrize("length", ["whole", None])
def test_a_text_may_come_with_its_length_or_without(port: int, length: str | None) -> None:
    body = json.dumps({"inputs": [tensor("FP32", [1, 1], data=[7])]}).encode()
    headers = {LENGTH: str(len(body))} if length else {}
    answer = ask(port, "POST", "/v2/models/FP32/infer", body, headers)
    assert answer.json["outputs"][0]["data"] == [7]


@pytest.mark.triton("4.21")
@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("11", "inference header size should be in range (0, 10), got: 11"),
        ("-1", "inference header size should be in range (0, 10), got: -1"),
        ("x", "Unable to parse Inference-Header-Content-Length, got: x"),
    ],
)
def test_a_header_length_that_is_none_is_refused(port: int, given: str, text: str) -> None:
    answer = ask(port, "POST", "/v2/models/FP32/infer", b"0123456789", {LENGTH: given})
    assert refusal(answer) == text


@pytest.mark.triton("4.23")
def test_bytes_that_are_missing_or_left_over_are_told(port: int) -> None:
    plain = {"inputs": [binary("FP32", FLOATS)]}
    short = infer(port, "FP32", plain, FLOATS.tobytes()[:-3])
    text = "unexpected size for input 'IN_FP32', expecting 3 additional bytes for model 'FP32'"
    assert refusal(short) == text
    long = infer(port, "FP32", plain, FLOATS.tobytes() + b"x")
    assert refusal(long) == "unexpected additional input data for model 'FP32'"
    other = infer(port, "FP32", {"inputs": [binary("FP32", FLOATS[:, :2])]}, bytes(16))
    assert other.status == 200
    wrong = {"inputs": [tensor("FP32", [2, 3], parameters={"binary_data_size": 20})]}
    assert refusal(infer(port, "FP32", wrong, bytes(20))).endswith(
        "input byte size mismatch for input 'IN_FP32' for model 'FP32'. Expected 24, got 20"
    )


@pytest.mark.triton("4.22")
@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, "no field is set"),
        ({"data": [1], "parameters": {"binary_data_size": 4}}, "set 'data' 'binary_data_size'"),
        (
            {
                "data": [1],
                "parameters": {"binary_data_size": 4, "shared_memory_region": "r"},
            },
            "set 'data' 'binary_data_size' 'shared_memory_region'",
        ),
    ],
)
def test_an_input_has_its_elements_in_one_place(port: int, given: Any, found: str) -> None:
    assert refusal(infer(port, "FP32", {"inputs": [tensor("FP32", [1, 1], **given)]})).startswith(
        "Input must set only one of the following fields: 'data', 'binary_data_size' in "
        f"'parameters', 'shared_memory_region' in 'parameters'. But {found}"
    )


@pytest.mark.triton("4.24")
@pytest.mark.parametrize(
    "data",
    [
        [0, 1, 2, 3, 4, 5],
        [[0, 1, 2], [3, 4, 5]],
        [[[[0]], 1], [2, [3, 4]], 5],
    ],
)
def test_data_may_be_nested_or_flat(port: int, data: list[Any]) -> None:
    answer = infer(port, "FP32", {"inputs": [tensor("FP32", [2, 3], data=data)]})
    assert answer.json["outputs"][0]["data"] == FLOATS.ravel().tolist()


@pytest.mark.triton("4.24")
def test_nesting_has_a_bottom(port: int) -> None:
    for depth, status in ((99, 200), (120, 400)):
        data = "[" * depth + "1" + "]" * depth
        text = json.dumps({"inputs": [tensor("FP32", [1, 1], data="D")]}).replace('"D"', data)
        assert infer(port, "FP32", text.encode()).status == status


@pytest.mark.triton("4.24")
@pytest.mark.parametrize(
    ("kind", "data", "text"),
    [
        ("FP32", [1, 2], f"{BAD}Shape does not match true shape of 'data' field"),
        ("FP32", [], f"{BAD}Shape does not match true shape of 'data' field"),
        ("FP32", ["1"], f"{BAD}attempt to access JSON non-number as double"),
        ("FP32", [True], f"{BAD}attempt to access JSON non-number as double"),
        ("INT32", [1.0], f"{BAD}attempt to access JSON non-signed-integer as signed-integer"),
        ("UINT8", [-1.5], f"{BAD}attempt to access JSON non-unsigned-integer as unsigned-integer"),
        ("BOOL", [1], f"{BAD}attempt to access JSON non-boolean as boolean"),
        ("BYTES", [1], f"{BAD}attempt to access JSON non-string as string"),
        ("UINT8", [256], f"{BAD}a value of input 'IN_UINT8' is out of the range of UINT8"),
        (
            "FP16", [1],
            ("receiving FP16 data via JSON is not supported. Please use the binary data format for "
            "input IN_FP16"),
        ),
    ],
)  # fmt: skip
def test_data_must_be_of_its_kind(port: int, kind: str, data: list[Any], text: str) -> None:
    answer = infer(port, kind, {"inputs": [tensor(kind, [1, 1], data=data)]})
    assert refusal(answer).startswith(text)


@pytest.mark.triton("4.24")
@pytest.mark.parametrize(
    ("kind", "data", "written"),
    [
        ("FP32", "[0.1,1,-2e3]", "[0.10000000149011612,1.0,-2000.0]"),
        ("FP64", "[0.1,NaN,-Infinity]", "[0.1,NaN,-Infinity]"),
        ("FP32", "[NaN,Infinity,0]", "[NaN,Infinity,0.0]"),
        ("UINT64", "[18446744073709551615,0,9223372036854775808]", None),
        ("INT64", "[-9223372036854775808,9223372036854775807,0]", None),
        ("BOOL", "[true,false,true]", None),
        ("BYTES", '["a","","ä\\n"]', None),
        ("INT8", "[-128,127,0]", None),
    ],
)
def test_values_are_written_as_triton_writes_them(
    port: int, kind: str, data: str, written: str | None
) -> None:
    text = json.dumps({"inputs": [tensor(kind, [1, 3], data="D")]}).replace('"D"', data)
    answer = infer(port, kind, text.encode())
    assert answer.body.decode().endswith(f'"shape":[1,3],"data":{written or data}}}]}}')


@pytest.mark.triton("4.24", "4.29")
def test_json_cannot_carry_a_half(port: int) -> None:
    half = np.zeros((1, 2), np.float16)
    answer = infer(port, "FP16", {"inputs": [binary("FP16", half)]}, half.tobytes())
    assert refusal(answer).startswith(
        "sending FP16 data via JSON is not supported. Please use the binary data format for output"
    )


@pytest.mark.triton("6.1")
@pytest.mark.parametrize(
    ("content", "text"),
    [
        (
            struct.pack("<I", 0),
            "expected 2 string elements for inference input 'IN_BYTES' for model",
        ),
        (
            struct.pack("<III", 0, 0, 0),
            "unexpected number of string elements 3 for inference input",
        ),
        (bytes(6), "incomplete string length indicator for inference input 'IN_BYTES' for model"),
        (struct.pack("<IIb", 0, 2, 65), "incomplete string data for inference input 'IN_BYTES'"),
    ],
)
def test_strings_that_do_not_fit_are_told_why(port: int, content: bytes, text: str) -> None:
    one = tensor("BYTES", [1, 2], parameters={"binary_data_size": len(content)})
    assert text in refusal(infer(port, "BYTES", {"inputs": [one]}, content))


@pytest.mark.triton("6.1")
@pytest.mark.parametrize("kind", list(KINDS))
def test_every_type_comes_back_to_the_byte(port: int, kind: str) -> None:
    array = KINDS[kind][2]
    content = array.tobytes()
    if kind == "BYTES":
        content = b"".join(struct.pack("<I", len(one)) + one for one in array.ravel())
    one = tensor(kind, [1, 3], parameters={"binary_data_size": len(content)})
    plain = {"inputs": [one], "parameters": {"binary_data_output": True}}
    answer = infer(port, kind, plain, content)
    assert answer.body[int(answer.headers[LENGTH.lower()]) :] == content


UNSIGNED = "attempt to access JSON non-unsigned-integer as unsigned-integer"


@pytest.mark.triton("4.25")
@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ([-1, 1], f"Unable to parse 'shape': {UNSIGNED}"),
        ([1.0], f"Unable to parse 'shape': {UNSIGNED}"),
        (["1"], f"Unable to parse 'shape': {UNSIGNED}"),
        (1, "Unable to parse 'shape': attempt to access JSON non-array as array"),
        ([2**40, 2**40], "has more elements than can be counted"),
        ([1] * 70, ""),
    ],
)
def test_shapes_are_whole_numbers_that_can_be_counted(port: int, shape: Any, text: str) -> None:
    one = {**tensor("FP32", []), "shape": shape, "data": [1]}
    assert text in refusal(infer(port, "FP32", {"inputs": [one]}))


@pytest.mark.triton("4.20")
@pytest.mark.parametrize(
    ("plain", "text"),
    [
        (b"", "failed to parse the request JSON buffer"),
        (b"{", "failed to parse the request JSON buffer"),
        (b"[]", "failed to parse the request JSON buffer"),
        ({}, "Unable to parse 'inputs': attempt to access non-existing object member 'inputs'"),
        ({"inputs": {}}, "Unable to parse 'inputs': attempt to access JSON non-array as array"),
        ({"inputs": [], "id": 7}, "Unable to parse 'id': "),
        ({"inputs": [], "outputs": {}}, "Unable to parse 'outputs': "),
        ({"inputs": [{}]}, "Unable to parse 'name': "),
        ({"inputs": [{"name": "x", "shape": []}]}, "Unable to parse 'datatype': "),
        ({"inputs": [{**tensor("FP32", [1]), "datatype": "FP33"}]}, "tensor 'IN_FP32' has unknown"),
    ],
)
def test_what_is_no_request_is_told_why(port: int, plain: object, text: str) -> None:
    assert refusal(infer(port, "FP32", plain)).startswith(text)


@pytest.mark.triton("4.20")
def test_members_nobody_knows_are_passed_over(port: int) -> None:
    one = tensor("FP32", [1, 1], data=[7], more=1, parameters={"content_type": "np"})
    assert infer(port, "FP32", {"inputs": [one], "extra": [1]}).status == 200


NOTE = "NOTE: Setting a non-zero max_batch_size in the model config requires a batch dimension"
ROW = tensor("FP32", [1, 1], data=[7])


@pytest.mark.triton("4.8", "4.20")
@pytest.mark.parametrize(
    ("model", "inputs", "text"),
    [
        ("pair", [ROW], ("expected 2 inputs but got 1 inputs for model 'pair'. Got input(s) "
         "['IN_FP32'], but missing required input(s) ['IN_INT32']. Please provide all required "
         "input(s).")),
        ("FP32", [{**ROW, "name": "x"}], "unexpected inference input 'x' for model 'FP32'"),
        ("pair", [ROW, ROW], "input 'IN_FP32' already exists in request"),
        ("INT32", [{**ROW, "name": "IN_INT32"}], ("inference input 'IN_INT32' data-type is 'FP32', "
         "but model 'INT32' expects 'INT32'")),
        ("FP32", [tensor("FP32", [1], data=[7])], ("unexpected shape for input 'IN_FP32' for model "
         f"'FP32'. Expected [-1,-1], got [1]. {NOTE}")),
        ("grid", [tensor("FP32", [1], data=[7])], ("unexpected shape for input 'IN_FP32' for model "
         "'grid'. Expected [-1,-1], got [1]. ")),
        ("FP32", [tensor("FP32", [], data=[7])], ("input 'IN_FP32' has no shape but model requires "
         "batch dimension for 'FP32'")),
        ("FP32", [tensor("FP32", [9, 1], data=[7] * 9)],
         "inference request batch-size must be <= 8 for 'FP32'"),
        ("pair", [ROW, tensor("INT32", [2, 1], data=[7, 7])],
         "input 'IN_INT32' batch size does not match other inputs for 'pair'"),
    ],
)  # fmt: skip
def test_a_request_that_does_not_fit_its_model_is_told_why(
    port: int, model: str, inputs: list[Any], text: str
) -> None:
    assert refusal(infer(port, model, {"inputs": inputs, "id": "7"})).startswith(
        f"[request id: 7] {text}"
    )


@pytest.mark.triton("4.26")
@pytest.mark.parametrize(
    ("outputs", "text"),
    [
        ([{"name": "x"}], "unexpected inference output 'x' for model 'FP32'"),
        ([{"name": "OUT_FP32"}] * 2, "output 'OUT_FP32' already exists in request"),
        ([{"name": "OUT_FP32", "parameters": {"binary_data": 1}}], "Unable to parse 'binary_data'"),
        ([{"name": "OUT_FP32", "parameters": {"classification": -1}}],
         f"Unable to parse 'classification': {UNSIGNED}"),
        ([{"name": "OUT_FP32", "parameters": {"shared_memory_region": "r", "classification": 1}}],
         "Output can't set both 'shared_memory_region' and 'classification'"),
        ([{"name": "OUT_FP32", "parameters": {"shared_memory_region": "r", "binary_data": True}}],
         "Output can't set both 'shared_memory_region' and 'binary_data'"),
    ],
)  # fmt: skip
def test_an_output_that_cannot_be_is_told_why(port: int, outputs: list[Any], text: str) -> None:
    assert text in refusal(infer(port, "FP32", {"inputs": [ROW], "outputs": outputs}))


RESERVED = (
    "parameter keys starting with 'triton_' are reserved for Triton usage and should not be "
    "specified."
)


@pytest.mark.triton("4.28", "6.3", "6.4", "6.5")
@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("sequence_id", 1.5, "Unable to parse 'sequence_id'"),
        ("sequence_start", 1, "Unable to parse 'sequence_start'"),
        ("sequence_end", "true", "Unable to parse 'sequence_end'"),
        ("priority", -1, f"Unable to parse 'priority': {UNSIGNED}"),
        ("timeout", "1", f"Unable to parse 'timeout': {UNSIGNED}"),
        ("binary_data_output", 0, "Unable to parse 'binary_data_output'"),
        ("triton_anything", 1, RESERVED),
        ("headers", 1, "parameter key 'headers' is reserved"),
        ("mine", [1], "parameter 'mine' has invalid type. It should be either 'int', 'bool', "),
        ("mine", None, "parameter 'mine' has invalid type."),
    ],
)
def test_a_parameter_that_cannot_be_is_named(port: int, name: str, value: Any, text: str) -> None:
    answer = infer(port, "FP32", {"inputs": [ROW], "parameters": {name: value}})
    assert refusal(answer).startswith(text)


@pytest.mark.triton("4.28", "6.3", "6.4", "6.5")
def test_parameters_reach_the_model_sorted_into_the_protocols_and_its_own() -> None:
    model = FakeModel(echo_config(dims=(1,)))
    own = {"mine": "a", "n": -3, "b": True, "x": 0.5}
    parameters: dict[str, object] = {
        "sequence_id": 2**63, "sequence_start": True, "sequence_end": False, "priority": 2,
        "timeout": 1000, "binary_data_output": False, **own,
    }  # fmt: skip
    one = {"name": "INPUT0", "shape": [1, 1], "datatype": "FP32", "data": [7]}
    with serving_fakes(model) as ports:
        for sequence_id in (2**63, "a sequence"):
            parameters["sequence_id"] = sequence_id
            plain = {"inputs": [one], "parameters": parameters}
            assert infer(ports.http.port, "identity", plain).status == 200
            seen = model.requests[-1]
            assert seen.sequence_id == sequence_id
            assert (seen.sequence_start, seen.sequence_end) == (True, False)
            assert (seen.priority, seen.timeout_us) == (2, 1000)
            assert seen.parameters == own


def raw(port: int, model: str, content: bytes) -> Answer:
    return ask(port, "POST", f"/v2/models/{model}/infer", content, {LENGTH: "0"})


@pytest.mark.triton("4.27", "4.21")
def test_a_body_without_a_head_is_the_models_one_input(port: int) -> None:
    answer = raw(port, "FP32", FLOATS.tobytes())
    size = int(answer.headers[LENGTH.lower()])
    assert json.loads(answer.body[:size])["outputs"][0]["shape"] == [1, 6]
    assert answer.body[size:] == FLOATS.tobytes()
    answer = raw(port, "BYTES", b"any text")
    assert answer.body.endswith(struct.pack("<I", 8) + b"any text")
    assert refusal(raw(port, "pair", bytes(8))) == (
        "Raw request must only have 1 input to be deduced but got 2 inputs in 'pair' model "
        "configuration"
    )
    assert "more than one variable-sized dimension" in refusal(raw(port, "grid", bytes(8)))
    assert raw(port, "FP32", bytes(7)).status == 400
    assert raw(port, "FP32", b"").status == 200


@pytest.mark.triton("4.8")
def test_zero_rows_and_empty_dimensions_are_no_error(port: int) -> None:
    answer = infer(port, "FP32", {"inputs": [tensor("FP32", [0, 3], data=[])]})
    assert answer.json["outputs"][0]["shape"] == [0, 3]


@pytest.mark.triton("4.20")
def test_a_model_without_inputs_is_asked_with_none() -> None:
    config = replace(echo_config(), max_batch_size=0, input=())
    made = FakeModel(config, compute=lambda _request: ())
    with serving_fakes(made) as ports:
        assert infer(ports.http.port, "identity", {"inputs": []}).json["outputs"] == []
        assert infer(ports.http.port, "identity", b"").status == 400


def test_bf16_travels_in_binary_and_never_as_json() -> None:
    model = FakeModel(echo_config(dims=(2,), dtype=DType.BF16))
    bits = np.array([[0x3F80, 0x4000]], np.uint16)
    one = {"name": "INPUT0", "shape": [1, 2], "datatype": "BF16"}
    binary_one = {**one, "parameters": {"binary_data_size": 4}}
    with serving_fakes(model) as ports:
        port = ports.http.port
        plain = {"inputs": [binary_one], "parameters": {"binary_data_output": True}}
        assert infer(port, "identity", plain, bits.tobytes()).body.endswith(bits.tobytes())
        answer = infer(port, "identity", {"inputs": [{**one, "data": [1, 2]}]})
        assert refusal(answer).startswith("receiving BF16 data via JSON is not supported.")
        answer = infer(port, "identity", {"inputs": [binary_one]}, bits.tobytes())
        assert refusal(answer).startswith("sending BF16 data via JSON is not supported.")
