"""V2 over gRPC on a real channel: every RPC of Triton's is there, and errors have its statuses."""

import asyncio
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from support.conditions import within
from support.fake_registry import FakeModel, echo_config
from support.in_thread import Ports, serving_fakes
from tritonclient.grpc import service_pb2, service_pb2_grpc

from engine.errors import Unavailable
from engine.service import SHARED_MEMORY_IS_OFF
from engine.transports.grpc import serve_grpc
from engine.types import DType, InferRequest, Tensor

RPCS = [
    method.name
    for method in service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods
]
LATER = {"TraceSetting", "LogSettings"}
SHARING = {name for name in RPCS if "SharedMemory" in name}


@pytest.fixture(scope="module")
def server() -> Iterator[Ports]:
    with serving_fakes(FakeModel(), FakeModel(echo_config("held"))) as ports:
        yield ports


@pytest.fixture
def stub(server: Ports) -> Iterator[Any]:
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc.port}") as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


def infer(model: str = "identity", **more: Any) -> Any:
    raw = np.arange(16, dtype=np.float32).tobytes()
    request = service_pb2.ModelInferRequest(model_name=model, raw_input_contents=[raw], **more)
    request.inputs.add(name="INPUT0", datatype="FP32", shape=[1, 16])
    return request


def status(error: Any) -> tuple[str, str]:
    return error.value.code().name, error.value.details()


def test_there_are_tritons_twenty_rpcs() -> None:
    assert len(RPCS) == 20


@pytest.mark.parametrize("name", sorted(LATER))
def test_rpcs_of_later_versions_are_unimplemented_in_words(stub: Any, name: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        getattr(stub, name)(getattr(service_pb2, f"{name}Request")())
    code, text = status(caught)
    assert code == "UNIMPLEMENTED"
    assert "is not served by this version" in text


@pytest.mark.parametrize("name", sorted(SHARING))
def test_shared_memory_is_off_without_its_flag(stub: Any, name: str) -> None:
    request = getattr(service_pb2, f"{name}Request")(name="r")
    if name == "CudaSharedMemoryRegister":
        request.raw_handle = bytes(64)
    with pytest.raises(grpc.RpcError) as caught:
        getattr(stub, name)(request)
    assert status(caught) == ("UNIMPLEMENTED", SHARED_MEMORY_IS_OFF)


@pytest.mark.parametrize("name", sorted(set(RPCS) - LATER - SHARING - {"ModelStreamInfer"}))
def test_every_other_rpc_is_served(stub: Any, name: str) -> None:
    request = getattr(service_pb2, f"{name}Request")()
    if name == "ModelInfer":
        request = infer()
    elif "name" in request.DESCRIPTOR.fields_by_name and name != "ModelStatistics":
        request.name = "identity"
    assert getattr(stub, name)(request) is not None


def test_an_inference_comes_back_as_raw_bytes_with_its_id(stub: Any) -> None:
    got = stub.ModelInfer(infer(id="seven"))
    assert (got.model_name, got.model_version, got.id) == ("identity", "1", "seven")
    assert got.raw_output_contents[0] == np.arange(16, dtype=np.float32).tobytes()


@pytest.mark.parametrize(
    ("request_", "code", "text"),
    [
        (infer("nobody"), "NOT_FOUND", "Request for unknown model: 'nobody' is not found"),
        (infer(model_version="x"), "INVALID_ARGUMENT", "failed to get model version"),
        (infer(id="a\nb"), "OK", ""),
        (
            service_pb2.ModelInferRequest(model_name="identity"),
            "INVALID_ARGUMENT",
            "expected 1 inputs",
        ),
    ],
)
def test_errors_have_tritons_status(stub: Any, request_: Any, code: str, text: str) -> None:
    if code == "OK":
        stub.ModelInfer(request_)
        return
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(request_)
    got, details = status(caught)
    assert got == code
    assert text in details


def test_an_unknown_model_is_not_found_rather_than_not_ready(server: Ports, stub: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelReady(service_pb2.ModelReadyRequest(name="nobody"))
    assert status(caught)[0] == "NOT_FOUND"
    server.registry.sleeping.add(("held", 1))
    assert not stub.ModelReady(service_pb2.ModelReadyRequest(name="held")).ready
    server.registry.sleeping.clear()


def test_health_is_grpcs_own(server: Ports) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc.port}") as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check", bytes, bytes)
        assert check(b"") == b"\x08\x01"
        server.registry.is_ready = False
        assert check(b"") == b"\x08\x02"
        server.registry.is_ready = True
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/grpc.health.v1.Health/Nothing", bytes, bytes)(b"")
        assert status(caught)[0] == "UNIMPLEMENTED"


def test_a_client_that_cancels_takes_its_request_back(server: Ports, stub: Any) -> None:
    held = server.registry.get("held")
    server.on_loop(lambda: setattr(held, "held", True))
    call = stub.ModelInfer.future(infer("held"))
    assert within(lambda: held.pending == 1)
    call.cancel()
    assert within(lambda: held.pending == 0)
    assert held.cancelled
    server.on_loop(lambda: setattr(held, "held", False))


def test_messages_beyond_grpcs_own_limit_are_taken(server: Ports) -> None:
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc.port}", options) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        request = infer()
        request.raw_input_contents.append(bytes(6_000_000))  # more than is needed: nobody's
        assert stub.ModelInfer(request).raw_output_contents


def test_a_fault_of_ours_is_internal() -> None:
    def fault(_: InferRequest) -> tuple[Tensor, ...]:
        return (Tensor("OUTPUT0", DType.FP32, "not an array"),)  # type: ignore[arg-type]

    with (
        serving_fakes(FakeModel(compute=fault)) as ports,
        grpc.insecure_channel(f"127.0.0.1:{ports.grpc.port}") as channel,
        pytest.raises(grpc.RpcError) as caught,
    ):
        service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(infer())
    code, text = status(caught)
    assert code == "INTERNAL"
    assert text.startswith("internal error: AttributeError")


def test_draining_answers_what_is_in_flight_and_refuses_the_rest() -> None:
    model = FakeModel()
    with (
        serving_fakes(model) as ports,
        grpc.insecure_channel(f"127.0.0.1:{ports.grpc.port}") as channel,
    ):
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        ports.on_loop(lambda: setattr(model, "held", True))
        in_flight = stub.ModelInfer.future(infer())
        assert within(lambda: model.pending == 1)
        ports.on_loop(ports.grpc.stop_accepting)
        assert stub.ServerLive(service_pb2.ServerLiveRequest()).live, "it may have come before"
        drained = asyncio.run_coroutine_threadsafe(ports.grpc.drain(5), ports.loop)
        codes: list[grpc.StatusCode] = []

        def refused() -> bool:
            try:
                stub.ServerLive(service_pb2.ServerLiveRequest())
            except grpc.RpcError as error:
                codes.append(error.code())
            return bool(codes)

        assert within(refused)
        ports.on_loop(model.release)
        assert in_flight.result(10).raw_output_contents
        drained.result(10)
    assert codes == [grpc.StatusCode.UNAVAILABLE], "which clients try again, unlike CANCELLED"


def test_a_port_in_use_is_told_with_its_flag(server: Ports) -> None:
    async def again() -> None:
        await serve_grpc(server.service, address="127.0.0.1", port=server.grpc.port)

    with pytest.raises(Unavailable, match=f"port {server.grpc.port} is in use; .*--grpc-port"):
        server.wait_for(again)
