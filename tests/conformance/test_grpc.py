"""gRPC with the generated stubs: messages as a client may send them, and what comes back."""

import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from support.conditions import within
from support.fake_registry import FakeModel, echo_config
from support.in_thread import Ports, serving_fakes
from support.onnx_identity import KINDS, write_identity
from support.served import served
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from engine import __version__
from engine.errors import (
    AlreadyExists,
    Cancelled,
    EngineError,
    Internal,
    InvalidArgument,
    NotFound,
    Unavailable,
    Unsupported,
)
from engine.types import DType

FLOATS = np.arange(6, dtype=np.float32).reshape(2, 3)
WHOLE = np.arange(4, dtype=np.int32).reshape(2, 2)


@pytest.fixture(scope="module")
def server() -> Iterator[Ports]:
    with tempfile.TemporaryDirectory() as place:
        for kind in KINDS:
            write_identity(Path(place), kind, [kind])
        write_identity(Path(place), "pair", ["FP32", "INT32"])
        with served(Path(place)) as ports:
            yield ports


@pytest.fixture
def stub(server: Ports) -> Iterator[Any]:
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc.port}") as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


def ask(model: str = "FP32", *raw: bytes, **more: Any) -> Any:
    """Ask a model; its inputs are still to be added."""
    return pb.ModelInferRequest(model_name=model, raw_input_contents=raw, **more)


def floats(*raw: bytes, **more: Any) -> Any:
    request = ask("FP32", *(raw or (FLOATS.tobytes(),)), **more)
    request.inputs.add(name="IN_FP32", datatype="FP32", shape=[2, 3])
    return request


def refusal(call: Any, request: Any) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(request)
    error: Any = caught.value
    return error.code().name, error.details()


@pytest.mark.triton("5.1")
def test_health_is_a_boolean_and_an_unknown_model_an_error(stub: Any) -> None:
    assert stub.ServerLive(pb.ServerLiveRequest()).live
    assert stub.ServerReady(pb.ServerReadyRequest()).ready
    assert stub.ModelReady(pb.ModelReadyRequest(name="pair")).ready
    assert stub.ModelReady(pb.ModelReadyRequest(name="pair", version="1")).ready
    assert refusal(stub.ModelReady, pb.ModelReadyRequest(name="no")) == (
        "NOT_FOUND",
        "Request for unknown model: 'no' is not found",
    )


@pytest.mark.triton("5.1", "5.15")
def test_what_is_not_ready_says_no() -> None:
    with serving_fakes(FakeModel()) as ports:
        ports.registry.is_ready = False
        ports.registry.sleeping.add(("identity", 1))
        with grpc.insecure_channel(f"127.0.0.1:{ports.grpc.port}") as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            check = channel.unary_unary("/grpc.health.v1.Health/Check", bytes, bytes)
            assert stub.ServerLive(pb.ServerLiveRequest()).live
            assert not stub.ServerReady(pb.ServerReadyRequest()).ready
            assert not stub.ModelReady(pb.ModelReadyRequest(name="identity")).ready
            serving, not_serving = b"\x08\x01", b"\x08\x02"
            assert check(b"") == not_serving
            ports.registry.is_ready = True
            assert check(b"") == serving


@pytest.mark.triton("5.2")
def test_metadata_configuration_and_statistics_are_https(stub: Any) -> None:
    server = stub.ServerMetadata(pb.ServerMetadataRequest())
    assert (server.name, server.version) == ("triton", __version__)
    assert "statistics" in server.extensions
    model = stub.ModelMetadata(pb.ModelMetadataRequest(name="pair"))
    assert (model.name, list(model.versions), model.platform) == (
        "pair", ["1"], "onnxruntime_onnx",
    )  # fmt: skip
    assert [(one.name, one.datatype, list(one.shape)) for one in model.inputs] == [
        ("IN_FP32", "FP32", [-1, -1]),
        ("IN_INT32", "INT32", [-1, -1]),
    ]
    config = stub.ModelConfig(pb.ModelConfigRequest(name="pair")).config
    assert (config.name, config.max_batch_size, len(config.input)) == ("pair", 8, 2)
    (one,) = stub.ModelStatistics(pb.ModelStatisticsRequest(name="pair")).model_stats
    assert (one.name, one.version) == ("pair", "1")
    assert one.inference_stats.HasField("success")
    every = stub.ModelStatistics(pb.ModelStatisticsRequest()).model_stats
    assert {one.name for one in every} >= {"pair", "FP32"}


@pytest.mark.triton("5.2", "5.12")
def test_what_is_not_there_has_its_status(stub: Any) -> None:
    unknown = ("NOT_FOUND", "Request for unknown model: 'no' is not found")
    assert refusal(stub.ModelMetadata, pb.ModelMetadataRequest(name="no")) == unknown
    assert refusal(stub.ModelConfig, pb.ModelConfigRequest(name="no")) == unknown
    assert refusal(stub.ModelStatistics, pb.ModelStatisticsRequest(name="no")) == (
        "INVALID_ARGUMENT",
        "requested model 'no' is not available",
    )


@pytest.mark.triton("5.2", "4.38")
@pytest.mark.parametrize(
    ("version", "text"),
    [
        ("x", " (details: stol), version should be an integral value > 0"),
        ("0", ", version should be an integral value > 0"),
        ("-2", ", version should be an integral value > 0"),
    ],
)
def test_a_version_is_a_number_above_zero(stub: Any, version: str, text: str) -> None:
    told = f"failed to get model version from specified version string '{version}'{text}"
    request = pb.ModelMetadataRequest(name="pair", version=version)
    assert refusal(stub.ModelMetadata, request) == ("INVALID_ARGUMENT", told)
    code, said = refusal(stub.ModelInfer, floats(model_version=version))
    assert (code, said) == ("INVALID_ARGUMENT", told)


@pytest.mark.triton("5.3", "5.4")
def test_raw_contents_are_taken_in_order_and_all_outputs_are_raw(stub: Any) -> None:
    request = ask("pair", WHOLE.tobytes(), FLOATS.tobytes(), id="seven")
    request.inputs.add(name="IN_INT32", datatype="INT32", shape=[2, 2])
    request.inputs.add(name="IN_FP32", datatype="FP32", shape=[2, 3])
    answer = stub.ModelInfer(request)
    assert (answer.model_name, answer.model_version, answer.id) == ("pair", "1", "seven")
    found = {
        one.name: (one.datatype, list(one.shape), raw)
        for one, raw in zip(answer.outputs, answer.raw_output_contents, strict=True)
    }
    assert found == {
        "OUT_FP32": ("FP32", [2, 3], FLOATS.tobytes()),
        "OUT_INT32": ("INT32", [2, 2], WHOLE.tobytes()),
    }
    assert not answer.outputs[0].HasField("contents")
    request.outputs.add(name="OUT_INT32")
    assert [one.name for one in stub.ModelInfer(request).outputs] == ["OUT_INT32"]


@pytest.mark.triton("5.3", "5.4")
def test_an_empty_output_has_an_entry_of_no_bytes(stub: Any) -> None:
    request = ask("FP32", b"")
    request.inputs.add(name="IN_FP32", datatype="FP32", shape=[2, 0])
    answer = stub.ModelInfer(request)
    assert list(answer.raw_output_contents) == [b""]
    assert (answer.id, list(answer.outputs[0].shape)) == ("", [2, 0])


FIELDS = {
    "BOOL": "bool_contents", "UINT8": "uint_contents", "UINT16": "uint_contents",
    "UINT32": "uint_contents", "UINT64": "uint64_contents", "INT8": "int_contents",
    "INT16": "int_contents", "INT32": "int_contents", "INT64": "int64_contents",
    "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents",
}  # fmt: skip


@pytest.mark.triton("5.3")
@pytest.mark.parametrize("kind", FIELDS)
def test_typed_contents_are_read_and_answered_raw(stub: Any, kind: str) -> None:
    array = KINDS[kind][2]
    request = ask(kind)
    one = request.inputs.add(name=f"IN_{kind}", datatype=kind, shape=[1, 3])
    getattr(one.contents, FIELDS[kind]).extend(array.ravel().tolist())
    (raw,) = stub.ModelInfer(request).raw_output_contents
    if kind == "BYTES":
        assert raw == b"".join(struct.pack("<I", len(text)) + text for text in array.ravel())
    else:
        assert raw == array.tobytes()


@pytest.mark.triton("5.3")
def test_contents_that_cannot_be_are_told_why(stub: Any) -> None:
    both = floats()
    both.inputs[0].contents.fp32_contents.extend(range(6))
    assert refusal(stub.ModelInfer, both) == (
        "INVALID_ARGUMENT",
        (
            "contents field must not be specified when using raw_input_contents for 'IN_FP32' for "
            "model 'FP32'"
        ),
    )
    none = floats()
    del none.raw_input_contents[:]
    assert refusal(stub.ModelInfer, none) == (
        "INVALID_ARGUMENT",
        "unable to find data for input tensor 'IN_FP32' for model 'FP32' in request.",
    )
    wrong = floats()
    del wrong.raw_input_contents[:]
    wrong.inputs[0].contents.int_contents.extend(range(6))
    code, text = refusal(stub.ModelInfer, wrong)
    assert text.startswith("unexpected explicit tensor data for input tensor 'IN_FP32'")
    half = ask("FP16")
    one = half.inputs.add(name="IN_FP16", datatype="FP16", shape=[1, 1])
    one.contents.fp32_contents.append(1)
    code, text = refusal(stub.ModelInfer, half)
    assert text.startswith("unexpected explicit tensor data for input tensor 'IN_FP16'")
    code, text = refusal(stub.ModelInfer, floats(bytes(20)))
    assert (code, text.split("] ")[1]) == (
        "INVALID_ARGUMENT",
        "input byte size mismatch for input 'IN_FP32' for model 'FP32'. Expected 24, got 20",
    )
    negative = ask("FP32", b"")
    negative.inputs.add(name="IN_FP32", datatype="FP32", shape=[2, -1])
    code, text = refusal(stub.ModelInfer, negative)
    assert text == (
        "All input dimensions should be specified for input 'IN_FP32' for model 'FP32', got [2,-1]"
    )
    # further raw contents are nobody's
    assert stub.ModelInfer(floats(FLOATS.tobytes(), b"more")).raw_output_contents


@pytest.mark.triton("5.7", "6.3", "6.4", "6.5")
def test_parameters_reach_the_model_by_their_types() -> None:
    model = FakeModel(echo_config(dims=(3,)))
    request = floats(model_version="1")
    request.model_name, request.inputs[0].name = "identity", "INPUT0"
    for name, kind, value in (
        ("sequence_id", "string_param", "s"),
        ("sequence_start", "bool_param", True),
        ("sequence_end", "bool_param", False),
        ("priority", "uint64_param", 2),
        ("timeout", "int64_param", 1000),
        ("triton_enable_empty_final_response", "bool_param", True),
        ("n", "int64_param", -3),
        ("b", "bool_param", True),
        ("t", "string_param", "x"),
        ("d", "double_param", 0.5),
    ):
        setattr(request.parameters[name], kind, value)
    with serving_fakes(model) as ports:
        with grpc.insecure_channel(f"127.0.0.1:{ports.grpc.port}") as channel:
            service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request)
        (seen,) = model.requests
        assert (seen.sequence_id, seen.sequence_start, seen.sequence_end) == ("s", True, False)
        assert (seen.priority, seen.timeout_us) == (2, 1000)
        assert seen.parameters == {"n": -3, "b": True, "t": "x", "d": 0.5}


@pytest.mark.triton("5.7", "6.5")
@pytest.mark.parametrize(
    ("name", "kind", "value", "text"),
    [
        ("sequence_id", "bool_param", True, "expected int64_param or string_param."),
        ("sequence_start", "int64_param", 1, "expected bool_param."),
        ("priority", "string_param", "1", "expected uint64_param or int64_param."),
        ("priority", "int64_param", -1, "expected >= 0"),
        ("timeout", "uint64_param", 1, "expected int64_param."),
        (
            "mine", "uint64_param", 1,
            ("invalid value type for 'mine' parameter, expected int64_param, bool_param, or "
             "string_param."),
        ),
        (
            "triton_x", "bool_param", True,
            ("parameter keys starting with 'triton_' are reserved for Triton usage and should not "
             "be specified."),
        ),
    ],
)  # fmt: skip
def test_a_parameter_that_cannot_be_is_named(
    stub: Any, name: str, kind: str, value: Any, text: str
) -> None:
    request = floats()
    setattr(request.parameters[name], kind, value)
    code, said = refusal(stub.ModelInfer, request)
    assert code == "INVALID_ARGUMENT"
    assert said.endswith(text)


@pytest.mark.triton("5.4", "6.5")
def test_parameters_of_an_answer_keep_their_types() -> None:
    model = FakeModel(echo_config(dims=(3,)), parameters={"a": 1, "b": True, "c": "x", "d": 0.5})
    request = floats()
    request.model_name, request.inputs[0].name = "identity", "INPUT0"
    with (
        serving_fakes(model) as ports,
        grpc.insecure_channel(f"127.0.0.1:{ports.grpc.port}") as channel,
    ):
        answer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request)
        kinds = {
            name: one.WhichOneof("parameter_choice") for name, one in answer.parameters.items()
        }
    assert kinds == {
        "a": "int64_param", "b": "bool_param", "c": "string_param", "d": "double_param",
    }  # fmt: skip


@pytest.mark.triton("5.9", "5.12")
def test_the_repository_is_listed_and_changed(stub: Any) -> None:
    def states() -> dict[str, str]:
        index = stub.RepositoryIndex(pb.RepositoryIndexRequest()).models
        return {one.name: one.state for one in index}

    load, unload = stub.RepositoryModelLoad, stub.RepositoryModelUnload
    assert states()["UINT8"] == "READY"
    request = pb.RepositoryModelUnloadRequest(model_name="UINT8")
    request.parameters["unload_dependents"].bool_param = True
    unload(request)
    assert within(lambda: states()["UINT8"] == "UNAVAILABLE")
    ready = stub.RepositoryIndex(pb.RepositoryIndexRequest(ready=True)).models
    assert "UINT8" not in {one.name for one in ready}
    load(pb.RepositoryModelLoadRequest(model_name="UINT8"))
    assert states()["UINT8"] == "READY"
    code, text = refusal(load, pb.RepositoryModelLoadRequest(model_name="no"))
    assert (code, text.split(",")[0]) == ("INTERNAL", "failed to load 'no'")
    wrong = pb.RepositoryModelLoadRequest(model_name="UINT8")
    wrong.parameters["config"].bool_param = True
    assert refusal(load, wrong)[0] == "INVALID_ARGUMENT"
    elsewhere = pb.RepositoryModelLoadRequest(model_name="UINT8", repository_name="x")
    assert refusal(load, elsewhere)[0] == "UNIMPLEMENTED"


ERRORS: dict[str, type[EngineError]] = {
    "UNKNOWN": EngineError, "INTERNAL": Internal, "NOT_FOUND": NotFound,
    "INVALID_ARGUMENT": InvalidArgument, "UNAVAILABLE": Unavailable,
    "UNIMPLEMENTED": Unsupported, "ALREADY_EXISTS": AlreadyExists, "CANCELLED": Cancelled,
}  # fmt: skip


@pytest.mark.triton("5.12")
def test_every_code_has_its_status() -> None:
    raised: list[EngineError] = []

    def fail(_: object) -> Any:
        raise raised[-1]

    request = floats()
    request.model_name, request.inputs[0].name = "identity", "INPUT0"
    with (
        serving_fakes(FakeModel(echo_config(dims=(3,)), compute=fail)) as ports,
        grpc.insecure_channel(f"127.0.0.1:{ports.grpc.port}") as channel,
    ):
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for code, kind in ERRORS.items():
            raised.append(kind("as it is"))
            assert refusal(stub.ModelInfer, request) == (code, "as it is")


@pytest.mark.triton("5.13")
def test_messages_are_larger_than_grpcs_own_limit_both_ways(server: Ports) -> None:
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    large = np.zeros((1, 2_000_000), np.float32)
    request = ask("FP32", large.tobytes())
    request.inputs.add(name="IN_FP32", datatype="FP32", shape=large.shape)
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc.port}", options) as channel:
        answer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request)
    assert len(answer.raw_output_contents[0]) == large.nbytes


@pytest.mark.triton("5.3")
@pytest.mark.parametrize("coding", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_compressed_messages_are_accepted(stub: Any, coding: grpc.Compression) -> None:
    answer = stub.ModelInfer(floats(), compression=coding)
    assert list(answer.raw_output_contents) == [FLOATS.tobytes()]


@pytest.mark.triton("5.3")
def test_bf16_is_raw_alone() -> None:
    request = ask("identity", bytes(4))
    request.inputs.add(name="INPUT0", datatype="BF16", shape=[1, 2])
    model = FakeModel(echo_config(dims=(2,), dtype=DType.BF16))
    with (
        serving_fakes(model) as ports,
        grpc.insecure_channel(f"127.0.0.1:{ports.grpc.port}") as channel,
    ):
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert list(stub.ModelInfer(request).raw_output_contents) == [bytes(4)]
        del request.raw_input_contents[:]
        request.inputs[0].contents.fp32_contents.extend((1, 2))
        assert "unexpected explicit tensor data" in refusal(stub.ModelInfer, request)[1]


@pytest.mark.triton("5.16")
def test_a_call_that_is_cancelled_takes_its_request_back() -> None:
    model = FakeModel(echo_config(dims=(3,)))
    model.held = True
    request = floats()
    request.model_name, request.inputs[0].name = "identity", "INPUT0"
    with (
        serving_fakes(model) as ports,
        grpc.insecure_channel(f"127.0.0.1:{ports.grpc.port}") as channel,
    ):
        call = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer.future(request)
        assert within(lambda: model.pending == 1)
        call.cancel()
        assert within(lambda: model.pending == 0)
        assert len(model.cancelled) == 1


def test_an_rpc_that_there_is_not_is_unimplemented(server: Ports) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc.port}") as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/Nothing", bytes, bytes)
        assert refusal(call, b"")[0] == "UNIMPLEMENTED"
