"""``engine serve`` as its users meet it: started, asked, broken, stopped."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from support.serving import LOCAL, Server, refused, serving, start, until

from analyzer.launcher import Endpoint
from analyzer.load.driver import drive
from analyzer.record.row import LoadSpec
from analyzer.v2client import statistics
from engine import examples

if TYPE_CHECKING:
    from engine.types import Array

PROTOCOLS = ("http", "grpc", "metrics")
SLOW = """
backend: "synthetic"
max_batch_size: 1
input [ { name: "INPUT0" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "OUTPUT0" data_type: TYPE_FP32 dims: [ 4 ] } ]
instance_group [ { kind: KIND_CPU count: 1 } ]
parameters { key: "latency_us" value: { string_value: "%d" } }
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("models")
    for name in ("add_sub", "resnet50"):
        examples.build(name, directory)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def server(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving("--model-repository", str(models), folder=tmp_path_factory.mktemp("server")) as up:
        yield up


def slow(repository: Path, milliseconds: int) -> Path:
    (repository / "slow" / "1").mkdir(parents=True)
    (repository / "slow" / "config.pbtxt").write_text(SLOW % (milliseconds * 1000))
    return repository


def get(address: str, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def ask_http(address: str, model: str, inputs: dict[str, Array], *, binary: bool) -> dict[str, Any]:
    with triton_http.InferenceServerClient(address) as client:
        given = []
        for name, array in inputs.items():
            one = triton_http.InferInput(name, array.shape, "FP32")
            one.set_data_from_numpy(array, binary_data=binary)
            given.append(one)
        names = [one["name"] for one in client.get_model_metadata(model)["outputs"]]
        wanted = [triton_http.InferRequestedOutput(name, binary_data=binary) for name in names]
        answer = client.infer(model, given, outputs=wanted)
        return {name: answer.as_numpy(name) for name in names}


def ask_grpc(address: str, model: str, inputs: dict[str, Array]) -> dict[str, Any]:
    with triton_grpc.InferenceServerClient(address) as client:
        given = []
        for name, array in inputs.items():
            one = triton_grpc.InferInput(name, array.shape, "FP32")
            one.set_data_from_numpy(array)
            given.append(one)
        answer = client.infer(model, given)
        return {one.name: answer.as_numpy(one.name) for one in answer.get_response().outputs}


def bare(file: Path, inputs: dict[str, Array]) -> dict[str, Array]:
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def request_bytes(model: str, array: Array) -> bytes:
    body = json.dumps(
        {
            "inputs": [
                {
                    "name": "INPUT0",
                    "datatype": "FP32",
                    "shape": list(array.shape),
                    "data": array.ravel().tolist(),
                }
            ]
        }
    ).encode()
    head = f"POST /v2/models/{model}/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Connection: close\r\n\r\n".encode() + body


def test_add_sub_adds_and_subtracts_over_every_protocol(server: Server) -> None:
    left = np.arange(48, dtype=np.float32).reshape(3, 16)
    right = np.full((3, 16), 0.1, np.float32)
    inputs = {"INPUT0": left, "INPUT1": right}
    for answer in (
        ask_http(server.http, "add_sub", inputs, binary=False),
        ask_http(server.http, "add_sub", inputs, binary=True),
        ask_grpc(server.grpc, "add_sub", inputs),
    ):
        np.testing.assert_array_equal(answer["OUTPUT0"], left + right)
        np.testing.assert_array_equal(answer["OUTPUT1"], left - right)


@pytest.mark.parametrize("batch", [1, 2])
def test_resnet50_answers_what_the_bare_runtime_computes(
    server: Server, models: Path, batch: int
) -> None:
    images = np.random.default_rng(batch).standard_normal((batch, 3, 224, 224), np.float32)
    expected = bare(models / "resnet50" / "1" / "model.onnx", {"input": images})["output"]
    for answer in (
        ask_http(server.http, "resnet50", {"input": images}, binary=False),
        ask_http(server.http, "resnet50", {"input": images}, binary=True),
        ask_grpc(server.grpc, "resnet50", {"input": images}),
    ):
        np.testing.assert_array_equal(answer["output"], expected)


def test_the_start_is_told_in_a_table_and_by_address(server: Server) -> None:
    log = server.log()
    head, *rows = [line for line in log.splitlines() if line.startswith(("Model ", "add_", "resn"))]
    assert head.split() == [
        "Model",
        "Version",
        "State",
        "Backend",
        "Instances",
        "Max",
        "batch",
        "Runs",
        "on",
    ]
    assert [row.split()[:4] for row in rows] == [
        ["add_sub", "1", "READY", "onnxruntime"],
        ["resnet50", "1", "READY", "onnxruntime"],
    ]
    assert f"Started HTTPService at {server.http}" in log
    assert f"Started GRPCInferenceService at {server.grpc}" in log
    assert f"Started Metrics Service at {server.metrics}" in log


def test_a_server_that_answers_is_ready_and_counts(server: Server) -> None:
    assert get(server.http, "/v2/health/ready")[0] == 200
    assert json.loads(get(server.http, "/v2")[1])["name"] == "triton"
    status, text = get(server.metrics, "/metrics")
    assert status == 200
    assert 'nv_inference_request_success{model="add_sub",version="1"}' in text


def test_an_unknown_model_is_answered_in_tritons_words(server: Server) -> None:
    status, text = get(server.http, "/v2/models/nope")
    assert (status, json.loads(text)) == (
        404,
        {"error": "Request for unknown model: 'nope' is not found"},
    )


@pytest.mark.triton("3.16")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_answers_what_is_in_flight_and_takes_nothing_new(
    tmp_path: Path, number: signal.Signals
) -> None:
    slow(tmp_path / "models", 150)
    array = np.arange(4, dtype=np.float32).reshape(1, 4)
    message = request_bytes("slow", array)
    with serving("--model-repository", str(tmp_path / "models"), folder=tmp_path) as server:
        host, _, port = server.http.partition(":")
        waiting = [socket.create_connection((host, int(port)), 20) for _ in range(8)]
        grpc = triton_grpc.InferenceServerClient(server.grpc)
        grpc.is_server_ready()
        with ThreadPoolExecutor(1) as crew:
            for one in waiting:
                one.sendall(message)
            by_grpc = crew.submit(ask_grpc, server.grpc, "slow", {"INPUT0": array})
            until(lambda: _counted(get(server.metrics, "/metrics")[1]) == 9, "nine requests")
            server.signal(number)
            answers = [_everything(one) for one in waiting]
            assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers), answers
            np.testing.assert_array_equal(by_grpc.result(20)["OUTPUT0"], array)
        assert server.exit_code() == 0
        assert "Stopped" in server.log()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, int(port)), 5)


def _counted(metrics: str) -> int:
    """Count the requests the model has, waiting or answered or running, by its gauge."""
    found = {
        name: float(line.rpartition(" ")[2])
        for line in metrics.splitlines()
        for name in ("nv_inference_pending_request_count", "nv_inference_request_success")
        if line.startswith(name)
    }
    # One runs, on the only instance, unless nothing waits.
    waits = found["nv_inference_pending_request_count"]
    return int(sum(found.values()) + (1 if waits else 0))


def _everything(connection: socket.socket) -> bytes:
    with connection:
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


@pytest.mark.triton("3.16")
def test_idle_connections_do_not_delay_a_stop(tmp_path: Path) -> None:
    slow(tmp_path / "models", 1)
    with (
        serving("--model-repository", str(tmp_path / "models"), folder=tmp_path) as server,
        triton_http.InferenceServerClient(server.http) as over_http,
        triton_grpc.InferenceServerClient(server.grpc) as over_grpc,
    ):
        assert over_http.is_server_live()
        assert over_grpc.is_server_live()
        server.signal(signal.SIGTERM)
        assert server.exit_code() == 0


@pytest.mark.triton("3.16")
def test_a_stop_that_takes_too_long_is_cut_short(tmp_path: Path) -> None:
    slow(tmp_path / "models", 25_000)
    with serving(
        "--model-repository", str(tmp_path / "models"), "--exit-timeout-secs=1", folder=tmp_path
    ) as server:
        host, _, port = server.http.partition(":")
        with socket.create_connection((host, int(port)), 20) as waiting:
            waiting.sendall(request_bytes("slow", np.zeros((1, 4), np.float32)))
            waiting.sendall(request_bytes("slow", np.zeros((1, 4), np.float32)))
            server.signal(signal.SIGTERM)
            assert server.exit_code() == 1
    assert "Exit timeout expired. Exiting immediately." in server.log()


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    slow(tmp_path / "models", 25_000)
    with serving("--model-repository", str(tmp_path / "models"), folder=tmp_path) as server:
        host, _, port = server.http.partition(":")
        with socket.create_connection((host, int(port)), 20) as waiting:
            waiting.sendall(request_bytes("slow", np.zeros((1, 4), np.float32)))
            server.signal(signal.SIGINT)
            until(lambda: "Stopping" in server.log(), "the stop")
            server.signal(signal.SIGINT)
            assert server.exit_code() == 130


@pytest.mark.parametrize("model", ["identity", "add_sub"])
def test_sixteen_at_once_form_batches_and_lose_nothing(model: str, tmp_path: Path) -> None:
    examples.build(model, tmp_path / "models")
    load = LoadSpec(concurrency=16, window_seconds=0.5, max_windows=1)
    with serving("--model-repository", str(tmp_path / "models"), folder=tmp_path) as server:
        endpoint = Endpoint(server.http)
        driven = drive(endpoint, model, load, stop=lambda: False, on_window=lambda _: None)
        seen = statistics(endpoint, model)
    assert driven.failed == seen.failed == 0
    assert seen.requests == seen.inferences >= driven.requests
    assert seen.inferences / seen.executions > 4


def test_a_port_in_use_is_told_before_models_load(tmp_path: Path) -> None:
    slow(tmp_path / "models", 1)
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        code, said = refused(
            "--model-repository", str(tmp_path / "models"), *LOCAL, f"--http-port={port}"
        )
    assert code == 1
    assert f"error: port {port} is in use; stop what listens there or pass --http-port" in said
    assert "READY" not in said


@pytest.mark.triton("3.4")
def test_a_broken_config_ends_the_start_with_its_place(tmp_path: Path) -> None:
    examples.build("identity", tmp_path)
    config = tmp_path / "identity" / "config.pbtxt"
    config.write_text(config.read_text().replace("max_batch_size: 64", "max_batch_size: eight"))
    line = config.read_text().splitlines().index("max_batch_size: eight") + 1
    code, said = refused("--model-repository", str(tmp_path), *LOCAL)
    assert code == 1
    assert f"identity/config.pbtxt:{line}:" in said
    assert "expected a whole number, found eight" in said


def test_a_missing_model_file_ends_the_start_with_its_path(tmp_path: Path) -> None:
    examples.build("identity", tmp_path)
    (tmp_path / "identity" / "1" / "model.onnx").unlink()
    code, said = refused("--model-repository", str(tmp_path), *LOCAL)
    assert code == 1
    assert "identity/1/model.onnx" in said


def test_a_repository_that_is_not_there_is_named(tmp_path: Path) -> None:
    code, said = refused("--model-repository", str(tmp_path / "none"), *LOCAL)
    assert code == 1
    assert str(tmp_path / "none") in said


@pytest.mark.triton("3.4")
def test_with_exit_on_error_off_the_rest_is_served(tmp_path: Path) -> None:
    repository = slow(tmp_path / "models", 1)
    for name in ("identity", "sequence", "ensemble"):
        examples.build(name, repository)
    (repository / "identity" / "1" / "model.onnx").unlink()
    for name in ("mobilenet", "preprocess"):
        shutil.rmtree(repository / name, ignore_errors=True)
    with serving(
        *("--model-repository", str(repository), "--exit-on-error=false"),
        "--strict-readiness=false",
        folder=tmp_path,
    ) as server:
        log = server.log().splitlines()
        rows = [line.split() for line in log if " UNAVAILABLE" in line]
        assert [row[0] for row in rows] == ["ensemble", "identity"]
        reasons = [line.partition("] Unavailable: ")[2] for line in log if "] Unavail" in line]
        assert [reason.split()[0].rstrip(":") for reason in reasons] == [row[0] for row in rows]
        assert reasons[1].startswith("identity version 1: Not found: ")
        assert "identity/1/model.onnx" in reasons[1]
        assert "not available or ambiguous: mobilenet, preprocess" in reasons[0]
        array = np.ones((1, 4), np.float32)
        np.testing.assert_array_equal(
            ask_grpc(server.grpc, "slow", {"INPUT0": array})["OUTPUT0"], array
        )


@pytest.mark.triton("3.3")
def test_explicit_mode_serves_what_it_is_told(tmp_path: Path) -> None:
    for name in ("identity", "add_sub"):
        examples.build(name, tmp_path / "models")
    with (
        serving(
            *("--model-repository", str(tmp_path / "models"), "--model-control-mode", "explicit"),
            "--load-model=identity",
            folder=tmp_path,
        ) as server,
        triton_http.InferenceServerClient(server.http) as client,
    ):
        assert client.is_model_ready("identity")
        assert not client.is_model_ready("add_sub")
        client.load_model("add_sub")
        assert client.is_model_ready("add_sub")
        client.unload_model("identity")
        until(lambda: not client.is_model_ready("identity"), "the unload")


def test_the_winner_of_a_profile_is_served_by_name(tmp_path: Path) -> None:
    examples.build("identity", tmp_path / "results" / "identity" / "chosen")
    with serving(
        "--chosen=identity", "--results-dir", str(tmp_path / "results"), folder=tmp_path
    ) as server:
        assert get(server.http, "/v2/models/identity/ready")[0] == 200


def test_protocols_can_be_left_out(tmp_path: Path) -> None:
    slow(tmp_path / "models", 1)
    with serving(
        *("--model-repository", str(tmp_path / "models"), "--allow-grpc=off"),
        "--allow-metrics=False",
        folder=tmp_path,
    ) as server:
        assert get(server.http, "/v2/health/live")[0] == 200
        assert (server.grpc, server.metrics) == ("", "")


def test_ports_that_are_given_are_held_and_then_served(tmp_path: Path) -> None:
    slow(tmp_path / "models", 1)
    with ExitStack() as held:
        free = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        ports = [one.getsockname()[1] for one in free]
    flags = [f"--{name}-port={port}" for name, port in zip(PROTOCOLS, ports, strict=True)]
    with serving("--model-repository", str(tmp_path / "models"), *flags, folder=tmp_path) as server:
        assert [server.http, server.grpc, server.metrics] == [f"127.0.0.1:{port}" for port in ports]
        assert get(server.http, "/v2/health/ready")[0] == 200
        with triton_grpc.InferenceServerClient(server.grpc) as client:
            assert client.is_server_ready()


def test_nothing_listens_while_models_load(tmp_path: Path) -> None:
    slow(tmp_path / "models", 1)
    log, ports = tmp_path / "log", tmp_path / "ports.json"
    spawned = start(
        *(*LOCAL, "--model-repository", str(tmp_path / "models"), "--ports-file", str(ports)),
        log=log,
    )
    try:
        until(ports.exists, "the ports file")
        text = log.read_text()
        assert text.index("READY") < text.index("Started HTTPService")
    finally:
        spawned.terminate()
        assert spawned.wait(20) == 0
