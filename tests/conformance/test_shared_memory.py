"""System shared memory, with NVIDIA's own clients and their own shared memory module."""

import json
import os
import tempfile
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.utils.shared_memory as shm
from support.conditions import within
from support.fake_registry import FakeModel, echo_config
from support.in_thread import Ports, serving_fakes
from support.onnx_identity import write_identity
from support.oracle_clients import Oracle, same_arrays
from support.raw_http import Raw, ask
from support.served import served
from support.serving import serving
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException, serialize_byte_tensor

from engine.memory.cuda import OpenCuda
from engine.memory.system import FOLDER, open_system
from engine.memory.table import RegionTable

CLIENTS = ("http", "grpc", "http.aio", "grpc.aio")
NUMBERS = count()
FLOATS = np.arange(24, dtype=np.float32).reshape(8, 3)


def table() -> RegionTable:
    return RegionTable(open_system, OpenCuda())


@pytest.fixture(scope="module")
def server() -> Iterator[Ports]:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_identity(folder, "pair", ["FP32", "INT32"])
        write_identity(folder, "texts", ["BYTES"])
        write_identity(folder, "floats", ["FP32"])
        with served(folder, regions=table()) as ports:
            yield ports


@pytest.fixture(params=CLIENTS)
def oracle(request: pytest.FixtureRequest, server: Ports) -> Iterator[Oracle]:
    found = Oracle(request.param, server.http.port, server.grpc.port)
    yield found
    found.does("unregister_system_shared_memory")


@contextmanager
def shared(size: int) -> Iterator[tuple[str, Any]]:
    """Create an object of the client's; gives its key and its handle."""
    key = f"/servetune_test_{os.getpid()}_{next(NUMBERS)}"
    handle = shm.create_shared_memory_region(key, key, size)
    try:
        yield key, handle
    finally:
        shm.destroy_shared_memory_region(handle)


def into(oracle: Oracle, name: str, array: Any, size: int, region: str, offset: int = 0) -> Any:
    kind = {"f": "FP32", "i": "INT32", "O": "BYTES"}[array.dtype.kind]
    one = oracle.module.InferInput(name, list(array.shape), kind)
    one.set_shared_memory(region, size, offset)
    return one


def out_of(oracle: Oracle, name: str, region: str, size: int, offset: int = 0) -> Any:
    wanted = oracle.module.InferRequestedOutput(name)
    wanted.set_shared_memory(region, size, offset)
    return wanted


def plain_input(oracle: Oracle, name: str, array: Any) -> Any:
    one = oracle.module.InferInput(name, list(array.shape), "FP32")
    one.set_data_from_numpy(array)
    return one


def wrong(oracle: Oracle, method: str, *args: Any, **more: Any) -> tuple[str, str]:
    """Call what must fail; gives the status, as HTTP's and gRPC's clients spell it, and text."""
    with pytest.raises(InferenceServerException) as caught:
        oracle.does(method, *args, **more)
    return caught.value.status(), caught.value.message()


def status(oracle: Oracle, http: str, grpc: str) -> str:
    return http if oracle.is_http else f"StatusCode.{grpc}"


def regions(oracle: Oracle, name: str = "") -> dict[str, Any]:
    answer = oracle.plain("get_system_shared_memory_status", name)
    if oracle.is_http:
        return {one["name"]: one for one in answer}
    found: dict[str, Any] = answer.get("regions", {})
    return found


@pytest.mark.triton("4.11", "5.10", "6.6")
def test_regions_are_registered_listed_and_let_go_of(oracle: Oracle) -> None:
    with shared(64) as (key, _):
        oracle.does("register_system_shared_memory", "one", key, 64)
        oracle.does("register_system_shared_memory", "two", key, 16, offset=8)
        assert set(regions(oracle)) == {"one", "two"}
        two = regions(oracle, "two")["two"]
        assert (two["key"], int(two["offset"]), int(two["byte_size"])) == (key, 8, 16)
        oracle.does("unregister_system_shared_memory", "one")
        oracle.does("unregister_system_shared_memory", "never registered")
        assert set(regions(oracle)) == {"two"}
        oracle.does("unregister_cuda_shared_memory")
        assert set(regions(oracle)) == {"two"}
        oracle.does("unregister_system_shared_memory")
        assert regions(oracle) == {}


@pytest.mark.triton("4.11")
def test_a_status_is_an_array_of_triton_members_in_their_order(server: Ports) -> None:
    with shared(64) as (key, _):
        body = json.dumps({"key": key, "byte_size": 64}).encode()
        done = ask(server.http.port, "POST", "/v2/systemsharedmemory/region/a%20b/register", body)
        assert (done.status, done.body) == (200, b"")
        listed = ask(server.http.port, "GET", "/v2/systemsharedmemory/region/a%20b/status")
        members = f'{{"name":"a b","key":"{key}","offset":0,"byte_size":64}}'
        assert listed.body.decode() == f"[{members}]"
        gone = ask(server.http.port, "POST", "/v2/systemsharedmemory/unregister")
        assert (gone.status, gone.body) == (200, b"")
        assert ask(server.http.port, "GET", "/v2/systemsharedmemory/status").body == b"[]"
        assert ask(server.http.port, "GET", "/v2/cudasharedmemory/status").body == b"[]"


@pytest.mark.triton("6.6", "4.22", "4.26", "4.29", "5.3")
@pytest.mark.parametrize("rows", [1, 8])
def test_tensors_come_from_and_go_to_regions(oracle: Oracle, rows: int) -> None:
    floats, whole = FLOATS[:rows], np.arange(rows * 2, dtype=np.int32).reshape(rows, 2)
    size = floats.nbytes + whole.nbytes
    with shared(size + 16) as (given, source), shared(size) as (made, sink):
        shm.set_shared_memory_region(source, [floats, whole], offset=16)
        oracle.does("register_system_shared_memory", "given", given, size + 16)
        oracle.does("register_system_shared_memory", "made", made, size)
        answer = oracle.does(
            "infer",
            "pair",
            [
                into(oracle, "IN_FP32", floats, floats.nbytes, "given", 16),
                into(oracle, "IN_INT32", whole, whole.nbytes, "given", 16 + floats.nbytes),
            ],
            outputs=[
                out_of(oracle, "OUT_INT32", "made", whole.nbytes),
                out_of(oracle, "OUT_FP32", "made", floats.nbytes, whole.nbytes),
            ],
        )
        got = shm.get_contents_as_numpy(sink, np.int32, whole.shape)
        assert same_arrays(got, whole)
        got = shm.get_contents_as_numpy(sink, np.float32, floats.shape, whole.nbytes)
        assert same_arrays(got, floats)
        assert carried(oracle, answer) == []


def carried(oracle: Oracle, answer: Any) -> list[object]:
    """What an answer carries of its outputs' elements."""
    response = answer.get_response()
    if not oracle.is_http:
        assert len(response.raw_output_contents) == len(response.outputs)
        return [raw for raw in response.raw_output_contents if raw]
    return [one for one in response["outputs"] if "data" in one or "parameters" in one]


@pytest.mark.triton("6.6", "4.22")
def test_a_request_may_mix_regions_and_its_own_bytes(oracle: Oracle) -> None:
    whole = np.arange(16, dtype=np.int32).reshape(8, 2)
    with shared(512) as (key, handle):
        shm.set_shared_memory_region(handle, [whole])
        oracle.does("register_system_shared_memory", "r", key, 512)
        inputs = [
            plain_input(oracle, "IN_FP32", FLOATS),
            into(oracle, "IN_INT32", whole, whole.nbytes, "r"),
        ]
        wanted = [
            oracle.module.InferRequestedOutput("OUT_INT32"),
            out_of(oracle, "OUT_FP32", "r", FLOATS.nbytes, 128),
        ]
        answer = oracle.does("infer", "pair", inputs, outputs=wanted)
        assert same_arrays(answer.as_numpy("OUT_INT32"), whole)
        got = shm.get_contents_as_numpy(handle, np.float32, FLOATS.shape, 128)
        assert same_arrays(got, FLOATS)
        # without any outputs named, all of them come in the answer
        answer = oracle.does("infer", "pair", inputs)
        assert same_arrays(answer.as_numpy("OUT_FP32"), FLOATS)


@pytest.mark.triton("6.6", "6.1")
def test_strings_fill_exactly_what_they_take(oracle: Oracle) -> None:
    texts = np.array([[b"a", b"", "ä".encode() * 50]] * 8, dtype=object)
    size = len(serialize_byte_tensor(texts).item())
    with shared(2 * size) as (key, handle):
        shm.set_shared_memory_region(handle, [serialize_byte_tensor(texts)])
        oracle.does("register_system_shared_memory", "r", key, 2 * size)
        outputs = [out_of(oracle, "OUT_BYTES", "r", size, size)]
        oracle.does("infer", "texts", [into(oracle, "IN_BYTES", texts, size, "r")], outputs=outputs)
        got = shm.get_contents_as_numpy(handle, np.object_, texts.shape, size)
        assert got.tolist() == texts.tolist()
        short = into(oracle, "IN_BYTES", texts, size - 1, "r")
        code, text = wrong(oracle, "infer", "texts", [short])
        assert code == status(oracle, "400", "INVALID_ARGUMENT")
        assert "incomplete string data for inference input 'IN_BYTES'" in text


@pytest.mark.triton("6.6", "4.11", "5.10", "4.18", "5.12")
def test_what_cannot_be_registered_is_told_why(oracle: Oracle) -> None:
    register = "register_system_shared_memory"
    with shared(64) as (key, _):
        oracle.does(register, "r", key, 64)
        bad = status(oracle, "400", "INVALID_ARGUMENT")
        there = status(oracle, "400", "ALREADY_EXISTS")
        fault = status(oracle, "500", "INTERNAL")
        none = status(oracle, "404", "NOT_FOUND")
        already = "shared memory region 'r' already in manager"
        assert wrong(oracle, register, "r", key, 64) == (there, already)
        invalid = "failed to register shared memory region 's': invalid args"
        assert wrong(oracle, register, "s", key, 65) == (bad, invalid)
        assert wrong(oracle, register, "s", key, 64, offset=1) == (bad, invalid)
        assert wrong(oracle, register, "s", key, 2**63, offset=2**63) == (bad, invalid)
        assert wrong(oracle, register, "s", key, 0) == (bad, invalid)
        for nowhere in ("/servetune_nowhere", "", "/", "..", "../../etc/passwd", "a/b", "a\0b"):
            text = f"Unable to open shared memory region: '{nowhere}'"
            assert wrong(oracle, register, "s", nowhere, 64) == (fault, text)
        prefix = "triton_python_backend_shm_region_"
        assert wrong(oracle, register, "s", f"{prefix}0", 64) == (
            bad,
            (
                f"cannot register shared memory region 's' with key '{prefix}0' as the key "
                f"contains the reserved prefix '{prefix}'"
            ),
        )
        unknown = "Unable to find system shared memory region: 's'"
        assert wrong(oracle, "get_system_shared_memory_status", "s") == (none, unknown)
        assert wrong(oracle, "get_cuda_shared_memory_status", "r") == (
            none,
            "The region named 'r' is registered as system shared memory, not CUDA shared memory",
        )


@pytest.mark.triton("6.6")
def test_a_span_outside_of_its_region_is_refused(oracle: Oracle) -> None:
    with shared(1024) as (key, _):
        oracle.does("register_system_shared_memory", "r", key, 96)
        bad = status(oracle, "400", "INVALID_ARGUMENT")
        offset = (bad, "Invalid offset for shared memory region: 'r'")
        beyond = (bad, "Invalid offset + byte size for shared memory region: 'r'")
        unknown = (
            status(oracle, "404", "NOT_FOUND"),
            "Unable to find shared memory region: 'nobody'",
        )
        given = plain_input(oracle, "IN_FP32", FLOATS)
        for region, size, at, told in (
            ("r", 96, 96, offset),
            ("r", 97, 0, beyond),
            ("r", 96, 1, beyond),
            ("nobody", 96, 0, unknown),
        ):
            shm_in = into(oracle, "IN_FP32", FLOATS, size, region, at)
            assert wrong(oracle, "infer", "floats", [shm_in]) == told
            wanted = [out_of(oracle, "OUT_FP32", region, size, at)]
            assert wrong(oracle, "infer", "floats", [given], outputs=wanted) == told
        code, text = wrong(oracle, "infer", "floats", [into(oracle, "IN_FP32", FLOATS, 92, "r")])
        assert code == bad
        assert "input byte size mismatch for input 'IN_FP32' for model 'floats'" in text
        assert text.endswith("Expected 96, got 92")
        wanted = [out_of(oracle, "OUT_FP32", "r", 95)]
        assert wrong(oracle, "infer", "floats", [given], outputs=wanted) == (
            status(oracle, "500", "INTERNAL"),
            (
                "shared memory size specified with the request for output 'OUT_FP32' (95 bytes) "
                "should be at least 96 bytes to hold the results"
            ),
        )


@pytest.mark.triton("6.6")
def test_a_size_that_overflows_is_refused(server: Ports) -> None:
    with shared(64) as (key, _):
        body = json.dumps({"key": key, "byte_size": 64}).encode()
        ask(server.http.port, "POST", "/v2/systemsharedmemory/region/r/register", body)
        parameters = {
            "shared_memory_region": "r",
            "shared_memory_offset": 32,
            "shared_memory_byte_size": 2**64 - 1,
        }
        one = {"name": "IN_FP32", "shape": [1, 3], "datatype": "FP32", "parameters": parameters}
        body = json.dumps({"inputs": [one]}).encode()
        refused = ask(server.http.port, "POST", "/v2/models/floats/infer", body)
        assert refused.status == 400
        assert refused.error.startswith(
            "Integer overflow detected: byte_size (18446744073709551615"
        )
        ask(server.http.port, "POST", "/v2/systemsharedmemory/unregister")


@pytest.mark.triton("6.6")
def test_a_client_that_cuts_its_object_gets_an_error_and_harms_nobody(oracle: Oracle) -> None:
    size = FLOATS.nbytes
    with shared(size) as (key, _):
        oracle.does("register_system_shared_memory", "r", key, size)
        os.truncate(FOLDER / key.strip("/"), 8)
        code, text = wrong(oracle, "infer", "floats", [into(oracle, "IN_FP32", FLOATS, size, "r")])
        assert code == status(oracle, "400", "INVALID_ARGUMENT")
        assert "shared memory region 'r' is smaller than the 96 bytes" in text
        given, wanted = (
            plain_input(oracle, "IN_FP32", FLOATS),
            out_of(oracle, "OUT_FP32", "r", size),
        )
        _, text = wrong(oracle, "infer", "floats", [given], outputs=[wanted])
        assert "shared memory region 'r' is smaller than the 96 bytes" in text
        answer = oracle.does("infer", "floats", [given])
        assert same_arrays(answer.as_numpy("OUT_FP32"), FLOATS)


@pytest.mark.triton("6.6")
def test_an_object_may_be_unlinked_while_it_is_registered(oracle: Oracle) -> None:
    size = FLOATS.nbytes
    with shared(size) as (key, handle):
        shm.set_shared_memory_region(handle, [FLOATS])
        oracle.does("register_system_shared_memory", "r", key, size)
    answer = oracle.does("infer", "floats", [into(oracle, "IN_FP32", FLOATS, size, "r")])
    assert same_arrays(answer.as_numpy("OUT_FP32"), FLOATS)


def echo_into(region: str) -> bytes:
    parameters = {"shared_memory_region": region, "shared_memory_byte_size": 4}
    given = {"name": "INPUT0", "shape": [1, 1], "datatype": "FP32", "data": [7]}
    outputs = [{"name": "OUTPUT0", "parameters": parameters}]
    return json.dumps({"inputs": [given], "outputs": outputs}).encode()


@pytest.mark.triton("6.6")
def test_a_region_in_use_is_let_go_of_when_the_last_request_has_its_answer() -> None:
    model = FakeModel(echo_config(dims=(1,)))
    model.held = True
    with serving_fakes(model, regions=table()) as ports, shared(4) as (key, handle):
        port = ports.http.port
        body = json.dumps({"key": key, "byte_size": 4}).encode()
        ask(port, "POST", "/v2/systemsharedmemory/region/r/register", body)
        infer = "/v2/models/identity/infer"
        with Raw(port) as waiting:
            waiting.ask("POST", infer, echo_into("r"))
            assert within(lambda: model.pending == 1)
            gone = ask(port, "POST", "/v2/systemsharedmemory/region/r/unregister")
            assert gone.status == 200
            listed = ask(port, "GET", "/v2/systemsharedmemory/status").json
            assert [one["name"] for one in listed] == ["r"]
            refused = ask(port, "POST", infer, echo_into("r"))
            assert refused.error == "Unable to find shared memory region: 'r'"
            ports.on_loop(model.release)
            assert waiting.answer().status == 200
        assert shm.get_contents_as_numpy(handle, np.float32, (1,)).tolist() == [7]
        assert ask(port, "GET", "/v2/systemsharedmemory/status").json == []


@pytest.mark.triton("6.7")
@pytest.mark.parametrize("kind", CLIENTS)
def test_regions_are_nobodys_without_the_flag(kind: str) -> None:
    with serving_fakes(FakeModel(echo_config(dims=(3,)))) as ports:
        oracle = Oracle(kind, ports.http.port, ports.grpc.port)
        told = (
            status(oracle, "501", "UNIMPLEMENTED"),
            (
                "Client shared memory is disabled. Start the server with "
                "'--allow-client-shm=true' to enable."
            ),
        )
        assert wrong(oracle, "register_system_shared_memory", "r", "/k", 4) == told
        assert wrong(oracle, "register_cuda_shared_memory", "r", b64encode(bytes(64)), 0, 4) == told
        for memory in ("system", "cuda"):
            assert wrong(oracle, f"get_{memory}_shared_memory_status") == told
            assert wrong(oracle, f"unregister_{memory}_shared_memory") == told
        given = into(oracle, "INPUT0", FLOATS, FLOATS.nbytes, "r")
        assert wrong(oracle, "infer", "identity", [given]) == told
        wanted = [out_of(oracle, "OUTPUT0", "r", 96)]
        given = plain_input(oracle, "INPUT0", FLOATS)
        assert wrong(oracle, "infer", "identity", [given], outputs=wanted) == told


@pytest.mark.triton("6.6", "5.5")
def test_a_streams_answers_go_to_their_region_one_after_the_other(server: Ports) -> None:
    target = "/v2/systemsharedmemory/region/r/register"
    request = service_pb2.ModelInferRequest(model_name="floats")
    one = request.inputs.add(name="IN_FP32", datatype="FP32", shape=[8, 3])
    wanted = request.outputs.add(name="OUT_FP32")
    for owner, offset in ((one, 0), (wanted, FLOATS.nbytes)):
        owner.parameters["shared_memory_region"].string_param = "r"
        owner.parameters["shared_memory_byte_size"].int64_param = FLOATS.nbytes
        owner.parameters["shared_memory_offset"].int64_param = offset
    with shared(2 * FLOATS.nbytes) as (key, handle):
        shm.set_shared_memory_region(handle, [FLOATS])
        body = json.dumps({"key": key, "byte_size": 2 * FLOATS.nbytes}).encode()
        ask(server.http.port, "POST", target, body)
        with grpc.insecure_channel(f"127.0.0.1:{server.grpc.port}") as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            answers = list(stub.ModelStreamInfer(iter([request] * 3)))
        got = shm.get_contents_as_numpy(handle, np.float32, FLOATS.shape, FLOATS.nbytes)
        assert same_arrays(got, FLOATS)
        ask(server.http.port, "POST", "/v2/systemsharedmemory/unregister")
    assert [list(one.infer_response.raw_output_contents) for one in answers] == [[b""]] * 3
    assert ask(server.http.port, "GET", "/v2/systemsharedmemory/status").json == []


@pytest.mark.triton("6.7", "6.8")
def test_the_flag_lets_clients_share(tmp_path: Path) -> None:
    write_identity(tmp_path / "models", "floats", ["FP32"])
    repository = str(tmp_path / "models")
    flags = ("--model-repository", repository, "--allow-client-shm=true")
    with serving(*flags, folder=tmp_path) as up, shared(64) as (key, _):
        port = int(up.http.split(":")[1])
        body = json.dumps({"key": key, "byte_size": 64}).encode()
        done = ask(port, "POST", "/v2/systemsharedmemory/region/r/register", body)
        assert (done.status, done.body) == (200, b"")
        if Path("/dev/nvidia0").exists():
            return
        handle = {"raw_handle": {"b64": "A" * 86 + "=="}, "device_id": 0, "byte_size": 64}
        body = json.dumps(handle).encode()
        done = ask(port, "POST", "/v2/cudasharedmemory/region/g/register", body)
        assert done.status == 503
        assert done.error.startswith("CUDA shared memory needs an NVIDIA GPU")


@pytest.mark.triton("6.8", "4.11")
@pytest.mark.parametrize(
    ("plain", "text"),
    [
        ({}, "Shared memory register request has no 'raw_handle' field"),
        (
            {"raw_handle": {"b64": "AAAA"}, "device_id": 0, "byte_size": 4},
            "'raw_handle' must be a valid base64 encoded cudaIpcMemHandle_t",
        ),
        ({"raw_handle": {"b64": "AAAA"}, "device_id": 0}, "Unable to parse 'byte_size'"),
    ],
)
def test_a_cuda_region_that_is_none_is_told_why(
    server: Ports, plain: dict[str, object], text: str
) -> None:
    target = "/v2/cudasharedmemory/region/g/register"
    done = ask(server.http.port, "POST", target, json.dumps(plain).encode())
    assert done.status == 400
    assert done.error.startswith(text)


@pytest.mark.triton("4.11")
@pytest.mark.parametrize(
    ("target", "plain", "text"),
    [
        ("region/r/register", {}, "Shared memory register request has no 'key' field"),
        ("region/r/register", {"key": "k"}, "Shared memory register request has no 'byte_size'"),
        ("region/r/register", {"key": 1, "byte_size": 1}, "Unable to parse 'key'"),
        ("region/r/register", {"key": "k", "byte_size": -1}, "Unable to parse 'byte_size'"),
        ("register", {"key": "k", "byte_size": 1}, "'region name' is necessary to register system"),
    ],
)
def test_a_registration_that_is_none_is_told_why(
    server: Ports, target: str, plain: dict[str, object], text: str
) -> None:
    body = json.dumps(plain).encode()
    done = ask(server.http.port, "POST", f"/v2/systemsharedmemory/{target}", body)
    assert done.status == 400
    assert done.error.startswith(text)
