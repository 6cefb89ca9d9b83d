"""Row 3.16: a real server is stopped: what is in flight is answered, what comes is refused."""

from __future__ import annotations

import json
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
from support.controlled import X, write_echo
from support.serving import Server, serving, until
from tritonclient.grpc import service_pb2, service_pb2_grpc

LATENCY = 'parameters { key: "latency_us" value: { string_value: "1000000" } }'
STOPPING = "GRPC server is shutting down and has stopped accepting new requests."


def _infer_bytes(more: bytes = b"") -> bytes:
    body = json.dumps({
        "inputs": [{"name": "INPUT0", "datatype": "FP32", "shape": [1, 4], "data": X.tolist()}]
    }).encode()  # fmt: skip
    head = f"POST /v2/models/slow/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body + more


def _all(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def _refused(call: Any, message: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(message, timeout=10)
    return caught.value.code(), caught.value.details()


def _running(server: Server) -> bool:
    """Say whether both requests are with the server: one runs, and none or one waits."""
    host, _, port = server.metrics.partition(":")
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        text = _all(connection).decode()
    line = next(line for line in text.splitlines() if line.startswith("nv_inference_pending"))
    return float(line.split()[-1]) >= 1


@pytest.mark.triton("3.16", "4.2")
def test_while_a_stop_waits_for_requests_new_ones_are_refused_in_words(tmp_path: Path) -> None:
    write_echo(tmp_path / "models", "slow", LATENCY, size=1)
    with (
        serving("--model-repository", str(tmp_path / "models"), folder=tmp_path) as server,
        grpc.insecure_channel(server.grpc) as channel,
        ThreadPoolExecutor(1) as crew,
    ):
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert stub.ServerLive(service_pb2.ServerLiveRequest()).live
        host, _, port = server.http.partition(":")
        kept = socket.create_connection((host, int(port)), 20)
        kept.sendall(_infer_bytes())
        given = triton_grpc.InferInput("INPUT0", X.shape, "FP32")
        given.set_data_from_numpy(X)
        message = triton_grpc.InferenceServerClient(server.grpc)
        by_grpc = crew.submit(message.infer, "slow", [given])
        until(lambda: _running(server), "two requests")
        server.signal(signal.SIGTERM)
        live = service_pb2.ServerLiveRequest()
        refusal = (grpc.StatusCode.UNAVAILABLE, STOPPING)
        until(lambda: _stopping(stub), "the refusals")
        assert _refused(stub.ServerReady, service_pb2.ServerReadyRequest()) == refusal
        assert _refused(stub.ServerLive, live) == refusal
        infer = service_pb2.ModelInferRequest(model_name="slow")
        assert _refused(stub.ModelInfer, infer) == refusal
        assert _refused(stub.RepositoryIndex, service_pb2.RepositoryIndexRequest()) == refusal
        get = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
        ready = b"GET /v2/health/ready HTTP/1.1\r\nHost: x\r\n\r\n"
        kept.sendall(get + ready + _infer_bytes())
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, int(port)), 5)
        with kept:
            answers = _all(kept).decode().split("HTTP/1.1 ")[1:]
        np.testing.assert_array_equal(by_grpc.result(20).as_numpy("OUTPUT0"), X)
        assert [answer[:3] for answer in answers] == ["200", "503", "503", "503"]
        for answer in answers[1:3]:
            assert answer.endswith('{"error":"Server exiting"}')
        assert "scheduler for model has stopped accepting new inference requests" in answers[3]
        assert server.exit_code() == 0


def _stopping(stub: Any) -> bool:
    try:
        stub.ServerLive(service_pb2.ServerLiveRequest(), timeout=10)
    except grpc.RpcError as error:
        return error.details() == STOPPING  # type: ignore[attr-defined, no-any-return]
    return False
