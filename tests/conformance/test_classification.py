"""Classification, with NVIDIA's own clients and on a socket."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.http
from support.in_thread import Ports
from support.onnx_identity import write_identity
from support.oracle_clients import Oracle
from support.raw_http import ask
from support.served import served
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from engine import examples

CLIENTS = ("http", "grpc", "http.aio", "grpc.aio")
SCORES = np.array([[0.1, 0.7, 0.2, 0.0], [4, 3, 2, 1]], np.float32)
LABELS = "zero\none\n\u00e4\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Ports]:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        labelled = 'label_filename: "labels.txt"'
        write_identity(folder, "scores", ["FP32", "INT32"], more=labelled)
        write_identity(folder, "whole", ["FP32"], max_batch_size=0)
        write_identity(folder, "others", ["BYTES", "FP16", "BOOL"])
        (folder / "scores" / "labels.txt").write_text(LABELS)
        examples.build("repeat_int32", folder)
        with served(folder) as ports:
            yield ports


@pytest.fixture(params=CLIENTS)
def oracle(request: pytest.FixtureRequest, server: Ports) -> Oracle:
    return Oracle(request.param, server.http.port, server.grpc.port)


def given(oracle: Oracle, name: str, array: Any, kind: str) -> Any:
    one = oracle.module.InferInput(name, list(array.shape), kind)
    one.set_data_from_numpy(array)
    return one


def classes(oracle: Oracle, name: str, count: int, *, binary: bool = True) -> Any:
    form = {"binary_data": binary} if oracle.is_http else {}
    return oracle.module.InferRequestedOutput(name, class_count=count, **form)


def texts(array: Any) -> list[Any]:
    decode = np.vectorize(
        lambda one: one if isinstance(one, str) else one.decode(), otypes=[object]
    )
    found: list[Any] = decode(array).tolist()
    return found


@pytest.mark.triton("6.2", "5.17", "4.26", "2e.1")
@pytest.mark.parametrize("binary", [True, False])
def test_each_row_has_its_greatest_with_their_labels(
    oracle: Oracle,
    binary: bool,  # noqa: FBT001 - a case
) -> None:
    whole = np.array([[1, -5, 3], [7, 7, 8]], np.int32)
    answer = oracle.does(
        "infer",
        "scores",
        [given(oracle, "IN_FP32", SCORES, "FP32"), given(oracle, "IN_INT32", whole, "INT32")],
        outputs=[
            classes(oracle, "OUT_FP32", 4, binary=binary),
            classes(oracle, "OUT_INT32", 2, binary=binary),
        ],
    )
    assert texts(answer.as_numpy("OUT_FP32")) == [
        ["0.700000:1:one", "0.200000:2:\u00e4", "0.100000:0:zero", "0.000000:3"],
        ["4.000000:0:zero", "3.000000:1:one", "2.000000:2:\u00e4", "1.000000:3"],
    ]
    assert texts(answer.as_numpy("OUT_INT32")) == [
        ["3:2:\u00e4", "1:0:zero"],
        ["8:2:\u00e4", "7:0:zero"],
    ]
    output = answer.get_output("OUT_FP32")
    assert (output["datatype"] if oracle.is_http else output.datatype) == "BYTES"
    assert list(output["shape"] if oracle.is_http else output.shape) == [2, 4]


@pytest.mark.triton("6.2")
def test_without_a_batch_all_elements_are_one_ranking_and_their_number_the_bound(
    oracle: Oracle,
) -> None:
    inputs = [given(oracle, "IN_FP32", SCORES, "FP32")]
    answer = oracle.does("infer", "whole", inputs, outputs=[classes(oracle, "OUT_FP32", 3)])
    assert texts(answer.as_numpy("OUT_FP32")) == ["4.000000:4", "3.000000:5", "2.000000:6"]
    answer = oracle.does("infer", "whole", inputs, outputs=[classes(oracle, "OUT_FP32", 99)])
    assert answer.as_numpy("OUT_FP32").shape == (8,)


@pytest.mark.triton("6.2")
@pytest.mark.parametrize("kind", ["BYTES", "FP16", "BOOL"])
def test_a_type_that_cannot_be_ranked_is_refused(oracle: Oracle, kind: str) -> None:
    inputs = [
        given(oracle, "IN_BYTES", np.array([[b"a"]], object), "BYTES"),
        given(oracle, "IN_FP16", np.zeros((1, 1), np.float16), "FP16"),
        given(oracle, "IN_BOOL", np.zeros((1, 1), np.bool_), "BOOL"),
    ]
    with pytest.raises(InferenceServerException) as caught:
        oracle.does("infer", "others", inputs, outputs=[classes(oracle, f"OUT_{kind}", 1)])
    text = f"class result not available for output due to unsupported type '{kind}'"
    assert text in caught.value.message()
    assert caught.value.status() == ("400" if oracle.is_http else "StatusCode.INVALID_ARGUMENT")


@pytest.mark.triton("6.2")
def test_more_than_a_million_elements_are_not_ranked(server: Ports) -> None:
    oracle = Oracle("grpc", server.http.port, server.grpc.port)
    inputs = [given(oracle, "IN_FP32", np.zeros((1, 1_000_001), np.float32), "FP32")]
    with pytest.raises(InferenceServerException, match="limited to 1000000 elements"):
        oracle.does("infer", "whole", inputs, outputs=[classes(oracle, "OUT_FP32", 1)])


@pytest.mark.triton("6.2", "4.29")
def test_the_json_of_classes_is_flat_strings(server: Ports) -> None:
    one = {"name": "IN_FP32", "shape": [2, 4], "datatype": "FP32", "data": SCORES.tolist()}
    wanted = {"name": "OUT_FP32", "parameters": {"classification": 1}}
    body = json.dumps({"inputs": [one], "outputs": [wanted]}).encode()
    answer = ask(server.http.port, "POST", "/v2/models/whole/infer", body)
    assert answer.json["outputs"] == [
        {"name": "OUT_FP32", "datatype": "BYTES", "shape": [1], "data": ["4.000000:4"]}
    ]


@pytest.mark.triton("6.2")
def test_an_output_may_be_classified_beside_one_that_is_not(server: Ports) -> None:
    oracle = Oracle("http", server.http.port, server.grpc.port)
    whole = np.array([[1, 2]], np.int32)
    answer = oracle.does(
        "infer",
        "scores",
        [given(oracle, "IN_FP32", SCORES[:1], "FP32"), given(oracle, "IN_INT32", whole, "INT32")],
        outputs=[
            classes(oracle, "OUT_FP32", 1),
            tritonclient.http.InferRequestedOutput("OUT_INT32"),
        ],
    )
    assert texts(answer.as_numpy("OUT_FP32")) == [["0.700000:1:one"]]
    assert answer.as_numpy("OUT_INT32").tolist() == whole.tolist()


@pytest.mark.triton("6.2", "5.5")
def test_every_answer_of_a_stream_is_classified(server: Ports) -> None:
    request = service_pb2.ModelInferRequest(model_name="repeat_int32")
    for name, kind, values in (
        ("IN", "INT32", np.array([4, 2], np.int32)),
        ("DELAY", "UINT32", np.zeros(2, np.uint32)),
        ("WAIT", "UINT32", np.zeros(1, np.uint32)),
    ):
        request.inputs.add(name=name, datatype=kind, shape=values.shape)
        request.raw_input_contents.append(values.tobytes())
    request.outputs.add(name="OUT").parameters["classification"].int64_param = 3
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc.port}") as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        answers = [one.infer_response for one in stub.ModelStreamInfer(iter([request]))]
    assert [(one.outputs[0].datatype, list(one.outputs[0].shape)) for one in answers] == [
        ("BYTES", [1]),
        ("BYTES", [1]),
    ]
    assert [one.raw_output_contents[0][4:] for one in answers] == [b"4:0", b"2:0"]
