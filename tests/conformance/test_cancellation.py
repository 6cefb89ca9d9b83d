"""A client that goes away takes its requests back: out of the queue at once, and out of a model."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
from support.conditions import within
from support.in_thread import Ports
from support.raw_http import Raw, ask
from support.served import served
from support.streams import spelled, streaming

from engine import examples
from engine.examples._graph import FLOAT, Graph

LONG_MS = 60_000
#: what a request takes whose predecessor has been stopped, at the most
SOON_S = 5.0
SLOW_CONFIG = """
backend: "onnxruntime"
max_batch_size: 4
input { name: "X" data_type: TYPE_FP32 dims: [ 1024, 1024 ] }
output { name: "Y" data_type: TYPE_FP32 dims: [ 1024, 1024 ] }
instance_group { kind: KIND_CPU count: 1 }
"""

MARKING = """

class TritonPythonModel(TritonPythonModel):
    def initialize(self, args):
        super().initialize(args)
        self.mark = args["model_repository"] + "/began"

    def execute(self, requests):
        open(self.mark, "w").close()
        return super().execute(requests)
"""


def write_slow(repository: Path) -> None:
    """Write an ONNX model that computes for many seconds, in steps that take a tenth of one."""
    graph = Graph("slow", seed=0)
    value = graph.input("X", FLOAT, 1024, 1024)
    for _ in range(600):
        value = graph.node("MatMul", value, value)
    graph.node("Identity", value, into=graph.output("Y", FLOAT, 1024, 1024))
    (repository / "slow/1").mkdir(parents=True)
    (repository / "slow/1/model.onnx").write_bytes(graph.to_bytes())
    (repository / "slow/config.pbtxt").write_text(SLOW_CONFIG)


def write_patient(repository: Path) -> None:
    """Write the delayed identity, leaving a mark for every batch that it begins with."""
    slow = examples.find("delayed_identity")
    (repository / "patient/1").mkdir(parents=True)
    (repository / "patient/1/model.py").write_text(slow.code + MARKING)
    (repository / "patient/config.pbtxt").write_text(
        slow.config.replace("delayed_identity", "patient")
    )


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("repository")


@pytest.fixture
def begun(repository: Path) -> Callable[[], bool]:
    """Whether the model has begun with one more batch."""
    mark = repository / "patient/began"

    def look() -> bool:
        if not within(mark.exists):
            return False
        mark.unlink()
        return True

    return look


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[Ports]:
    examples.build("repeat_int32", repository)
    write_patient(repository)
    write_slow(repository)
    with served(repository) as ports:
        yield ports


TARGET = "/v2/models/patient/infer"


class Figures:
    """How a model's statistics have grown since this was made."""

    def __init__(self, server: Ports, model: str) -> None:
        self._port = server.http.port
        self._metrics = server.metrics.port
        self._model = model
        self._before = self._now()

    def _now(self) -> dict[str, int]:
        answer = ask(self._port, "GET", f"/v2/models/{self._model}/stats")
        (found,) = answer.json["model_stats"]
        metrics = ask(self._metrics, "GET", "/metrics").body.decode().splitlines()

        def metric(name: str, *labels: str) -> int:
            lines = [line for line in metrics if line.startswith(name + "{")]
            wanted = (f'model="{self._model}"', *labels)
            (line,) = [line for line in lines if all(one in line for one in wanted)]
            return int(float(line.rsplit(" ", 1)[1]))

        return {
            "executed": found["execution_count"],
            "succeeded": found["inference_stats"]["success"]["count"],
            "failed": found["inference_stats"]["fail"]["count"],
            "cancelled": metric("nv_inference_request_failure", 'reason="CANCELED"'),
            "pending": metric("nv_inference_pending_request_count"),
        }

    def grown(self) -> dict[str, int]:
        now = self._now()
        grown = {key: now[key] - self._before[key] for key in now}
        return {key: value for key, value in grown.items() if value}

    def become(self, **grown: int) -> bool:
        return within(lambda: self.grown() == grown)


def inputs() -> Any:
    return {"INPUT0": np.ones((1, 2), np.float32)}


def body(delay_ms: int = LONG_MS) -> bytes:
    tensor = {"name": "INPUT0", "datatype": "FP32", "shape": [1, 2], "data": [1, 1]}
    return json.dumps({"inputs": [tensor], "parameters": {"delay_ms": delay_ms}}).encode()


Leave = Callable[[], None]
Begin = Callable[[Ports], Leave]


def by_http(server: Ports) -> Leave:
    raw = Raw(server.http.port).__enter__()
    raw.ask("POST", TARGET, body())
    return raw.__exit__


def by_grpc(server: Ports) -> Leave:
    client = tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{server.grpc.port}")
    told: list[Any] = []
    call = client.async_infer(
        "patient",
        spelled(inputs()),
        lambda result, error: told.append((result, error)),
        parameters={"delay_ms": LONG_MS},
    )

    def leave() -> None:
        call.cancel()
        assert within(lambda: bool(told))
        ((result, error),) = told
        assert result is None
        assert error.status() == "StatusCode.CANCELLED"
        client.close()

    return leave


def by_deadline(server: Ports) -> Leave:
    client = tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{server.grpc.port}")
    told: list[Any] = []
    client.async_infer(
        "patient",
        spelled(inputs()),
        lambda result, error: told.append(error),  # noqa: ARG005 - the client's names
        parameters={"delay_ms": LONG_MS},
        client_timeout=1.0,
    )

    def leave() -> None:
        assert within(lambda: bool(told))
        assert told[0].status() == "StatusCode.DEADLINE_EXCEEDED"
        client.close()

    return leave


def by_stream(server: Ports) -> Leave:
    opened = streaming(server.grpc.port)
    stream = opened.__enter__()
    stream.send("patient", inputs(), parameters={"delay_ms": LONG_MS})

    def leave() -> None:
        stream.stop(cancel=True)
        opened.__exit__(None, None, None)

    return leave


WAYS = pytest.mark.parametrize("begin", [by_http, by_grpc, by_deadline, by_stream])


@pytest.mark.triton("4.37", "5.16")
@WAYS
def test_a_python_model_that_looks_stops_for_a_client_that_has_gone(
    server: Ports, begin: Begin, begun: Callable[[], bool]
) -> None:
    figures = Figures(server, "patient")
    leave = begin(server)
    assert begun()
    with Raw(server.http.port) as next_one:
        next_one.ask("POST", TARGET, body(0))
        assert figures.become(pending=1)
        leave()
        left = time.monotonic()
        assert next_one.answer().status == 200
        assert time.monotonic() - left < SOON_S
        assert begun()
    assert figures.become(executed=2, succeeded=1, failed=1, cancelled=1)


@pytest.mark.triton("4.37", "5.16", "7.12")
@WAYS
def test_a_request_that_waits_leaves_the_queue_with_its_client_and_is_never_run(
    server: Ports, begin: Begin, begun: Callable[[], bool]
) -> None:
    figures = Figures(server, "patient")
    leave_first = by_http(server)
    assert begun()
    leave = begin(server)
    assert figures.become(pending=1)
    with Raw(server.http.port) as third:
        third.ask("POST", TARGET, body(0))
        assert figures.become(pending=2)
        leave()
        assert figures.become(failed=1, cancelled=1, pending=1)
        leave_first()
        assert third.answer().status == 200
        assert begun()
    assert figures.become(executed=2, succeeded=1, failed=2, cancelled=2)


@pytest.mark.triton("4.37")
def test_a_running_onnx_batch_is_stopped_when_nobody_waits_for_it(server: Ports) -> None:
    figures = Figures(server, "slow")
    head = json.dumps({"inputs": [
        {"name": "X", "datatype": "FP32", "shape": [1, 1024, 1024],
         "parameters": {"binary_data_size": 4 << 20}},
    ]}).encode()  # fmt: skip
    headers = {"Inference-Header-Content-Length": str(len(head))}
    with Raw(server.http.port) as runs, Raw(server.http.port) as waits:
        for raw in (runs, waits):
            raw.ask("POST", "/v2/models/slow/infer", head + bytes(4 << 20), headers)
        assert figures.become(pending=1)
    assert figures.become(executed=1, failed=2, cancelled=2)


@pytest.mark.triton("5.16")
def test_a_decoupled_model_sees_that_its_client_has_gone(server: Ports) -> None:
    figures = Figures(server, "repeat_int32")
    with streaming(server.grpc.port) as stream:
        repeat = {
            "IN": np.array([1, 2], np.int32),
            "DELAY": np.array([0, LONG_MS], np.uint32),
            "WAIT": np.array([0], np.uint32),
        }
        stream.send("repeat_int32", repeat)
        assert stream.next().value("OUT") == [1]
        stream.stop(cancel=True)
    assert figures.become(executed=1, failed=1, cancelled=1)


@pytest.mark.triton("5.16")
def test_a_task_of_the_asyncio_client_that_is_cancelled_takes_its_request_back(
    server: Ports, begun: Callable[[], bool]
) -> None:
    figures = Figures(server, "patient")

    async def main() -> None:
        address = f"127.0.0.1:{server.grpc.port}"
        async with tritonclient.grpc.aio.InferenceServerClient(address) as client:
            sent = asyncio.ensure_future(
                client.infer(
                    "patient",
                    spelled(inputs(), tritonclient.grpc.aio),
                    parameters={"delay_ms": LONG_MS},
                )
            )
            assert await asyncio.to_thread(begun)
            sent.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sent

    asyncio.run(main())
    assert figures.become(executed=1, failed=1, cancelled=1)
