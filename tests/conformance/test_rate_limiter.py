"""Rows 10 and 2b.8: models that share resources, behind a real server."""

from __future__ import annotations

import json
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from support.in_thread import Ports
from support.recorder import Recorder, config, recording, write
from support.serving import serving, until
from tritonclient.utils import InferenceServerException

from engine.execution.host import Host
from engine.modelconfig import convert
from engine.options import ModelControlMode, ServeOptions
from engine.ratelimit import RateLimiter
from engine.repository.registry import Registry

R1 = "instance_group [ { kind: KIND_CPU count: %d rate_limiter { %s priority: %d } } ]"

TOO_FEW = (
    'Resource count for "R1" is limited to 1 which will prevent scheduling of one or more model '
    "instances, the minimum required count is 3"
)


def limited(count: int = 1, priority: int = 1, *resources: str) -> str:
    listed = " ".join(f"resources [ {{ {one} }} ]" for one in resources or ('name: "R1" count: 1',))
    return R1 % (count, listed, priority)


@dataclass(frozen=True)
class World:
    recorder: Recorder
    http: Any
    grpc: Any
    workers: ThreadPoolExecutor
    ports: Ports
    registry: Registry

    def waiting(self, *models: str) -> int:
        """Count the requests that wait for an instance."""
        return self.ports.on_loop(lambda: sum(self.registry.get(model).pending for model in models))

    def ask(self, model: str, times: int = 1) -> list[Any]:
        """Send requests, side by side, half over HTTP and half over gRPC; give their futures."""
        return [self.workers.submit(self._one, model, place % 2 == 0) for place in range(times)]

    def _one(self, model: str, http: bool) -> np.ndarray[Any, Any]:  # noqa: FBT001 - half and half
        if not http:
            return self._infer(triton_grpc, self.grpc, model)
        # This client keeps to one thread.
        url = f"127.0.0.1:{self.ports.http.port}"
        with triton_http.InferenceServerClient(url) as client:
            return self._infer(triton_http, client, model)

    def _infer(self, kit: Any, client: Any, model: str) -> np.ndarray[Any, Any]:
        given = kit.InferInput("X", [1, 2], "FP32")
        given.set_data_from_numpy(np.ones((1, 2), np.float32))
        answer: np.ndarray[Any, Any] = client.infer(model, [given]).as_numpy("Y")
        return answer


@contextmanager
def world(repository: Path, limiter: RateLimiter | None) -> Iterator[World]:
    recorder = Recorder()
    options = ServeOptions(
        model_repository=(repository,),
        model_control_mode=ModelControlMode.EXPLICIT,
        load_model=("*",),
    )
    with (
        recording(options, Host(cores=2, limiter=limiter), recorder) as (ports, registry),
        triton_http.InferenceServerClient(f"127.0.0.1:{ports.http.port}", concurrency=40) as http,
        triton_grpc.InferenceServerClient(f"127.0.0.1:{ports.grpc.port}") as grpc,
        ThreadPoolExecutor(80) as workers,
    ):
        yield World(recorder, http, grpc, workers, ports, registry)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two models that need R1, one that needs it of a GPU, two that share R2, one that is free."""
    repository = tmp_path_factory.mktemp("models")
    write(repository, "often", limited(1, 1))
    write(repository, "seldom", limited(1, 2))
    write(repository, "wide", limited(2, 1))
    write(repository, "everywhere", limited(1, 1, 'name: "R2" count: 2 global: true'))
    write(repository, "beside", limited(2, 1, 'name: "R2" count: 1 global: true'))
    write(repository, "free", "instance_group [ { kind: KIND_CPU count: 2 } ]")
    limits = {("R1", None): 1, ("R2", 7): 2, ("R5", 0): 4}
    with world(repository, RateLimiter(limits, threading.Lock())) as opened:
        yield opened


def results(futures: list[Any]) -> list[np.ndarray[Any, Any]]:
    return [future.result(20) for future in futures]


@pytest.mark.triton("10.1", "2b.8")
def test_what_shares_a_resource_runs_in_turns_and_all_is_answered(town: World) -> None:
    town.recorder.forget()
    asked = [future for model in ("often", "seldom", "wide") for future in town.ask(model, 10)]
    assert len(results(asked)) == 30
    assert town.recorder.most[""] == 1
    assert sorted(set(town.recorder.order)) == ["often", "seldom", "wide"]


@pytest.mark.triton("10.1")
def test_a_global_resource_is_one_for_all_and_counts(town: World) -> None:
    """Two of one fit into what the other needs alone; the device given for it does not matter."""
    town.recorder.forget()
    with town.recorder.doors_closed():
        pair = town.ask("beside", 2)
        town.recorder.wait_for(2, "beside")
        alone = town.ask("everywhere", 2)
    results([*pair, *alone])
    assert town.recorder.order == ["beside", "beside", "everywhere", "everywhere"]
    assert town.recorder.most == {"beside": 2, "everywhere": 1, "": 2}


@pytest.mark.triton("10.1")
def test_who_needs_nothing_waits_for_nobody(town: World) -> None:
    town.recorder.forget()
    with town.recorder.doors_closed():
        held = town.ask("often", 3)
        town.recorder.wait_for(1, "often")
        free = town.ask("free", 2)
        town.recorder.wait_for(2, "free")
    results([*held, *free])
    assert town.recorder.most == {"often": 1, "free": 2, "": 3}


@pytest.mark.triton("10.2")
def test_priority_two_has_half_the_chances_of_priority_one(town: World) -> None:
    town.recorder.forget()
    with town.recorder.doors_closed():
        asked = [*town.ask("often", 40), *town.ask("seldom", 20)]
        town.recorder.wait_for(1)
        until(lambda: town.waiting("often", "seldom") == 59, "all requests but one to wait")
    results(asked)
    first = town.recorder.order[1:46]
    assert abs(first.count("often") - 30) <= 2


@pytest.mark.triton("10.1")
@pytest.mark.parametrize(
    ("resources", "said"),
    [
        (
            'name: "R1" count: 3',
            TOO_FEW,
        ),
        ('name: "R9" count: 2', 'Resource count for "R9" is limited to 0'),
        (
            'name: "R1" count: 1 global: true',
            'Resource "R1" is present as both global and device-specific resource',
        ),
    ],
)
def test_who_could_never_run_is_not_loaded(town: World, resources: str, said: str) -> None:
    text = config("free", limited(1, 1, resources))
    override = json.dumps(convert.to_json(convert.loads(text, "test")))
    with pytest.raises(InferenceServerException) as refused:
        town.http.load_model("free", config=override)
    assert said in str(refused.value)
    assert len(results(town.ask("free", 2))) == 2, "what was served before still is"


@pytest.mark.triton("10.1")
def test_two_generations_of_a_model_share_what_there_is_and_the_old_one_leaves(
    town: World,
) -> None:
    """A reload while both wait: nobody fails, nothing runs beside, and the new one is served."""
    town.recorder.forget()
    text = config("often", limited(1, 3))
    override = json.dumps(convert.to_json(convert.loads(text, "test")))
    for _ in range(3):
        before = town.ask("often", 8)
        town.http.load_model("often", config=override)
        results([*before, *town.ask("often", 4), *town.ask("seldom", 2)])
        town.http.load_model("often")
    assert town.recorder.most[""] == 1
    town.http.unload_model("often")
    assert len(results(town.ask("seldom", 4))) == 4
    town.http.load_model("often")


@pytest.mark.triton("10.3", "10.1")
def test_off_resources_and_priorities_are_not_looked_at(tmp_path: Path) -> None:
    write(tmp_path, "one", limited(2))
    write(tmp_path, "other", limited(2, 5, 'name: "R1" count: 9 global: true'))
    with world(tmp_path, None) as opened:
        with opened.recorder.doors_closed():
            asked = [*opened.ask("one", 3), *opened.ask("other", 3)]
            opened.recorder.wait_for(4)
        results(asked)
        assert opened.recorder.most == {"one": 2, "other": 2, "": 4}


@pytest.mark.triton("10.1")
def test_without_limits_a_pool_holds_what_the_most_demanding_instance_needs(
    tmp_path: Path,
) -> None:
    write(tmp_path, "small", limited(3, 1, 'name: "R1" count: 1'))
    write(tmp_path, "large", limited(1, 1, 'name: "R1" count: 2'))
    with world(tmp_path, RateLimiter()) as opened:
        with opened.recorder.doors_closed():
            asked = opened.ask("small", 6)
            opened.recorder.wait_for(2, "small")
            asked += opened.ask("large", 2)
            until(lambda: opened.waiting("small", "large") == 6, "the others to wait")
        results(asked)
        assert opened.recorder.most == {"small": 2, "large": 1, "": 2}


@pytest.mark.triton("10.1", "5.16", "4.37")
def test_who_gives_up_leaves_the_line_at_once_though_the_turn_is_another_ones(
    town: World,
) -> None:
    """A gRPC deadline, and an HTTP client that hangs up: neither has a turn any more."""
    town.recorder.forget()
    given = triton_grpc.InferInput("X", [1, 2], "FP32")
    given.set_data_from_numpy(np.ones((1, 2), np.float32))
    with town.recorder.doors_closed():
        held = town.ask("often")
        town.recorder.wait_for(1, "often")
        with pytest.raises(InferenceServerException, match="Deadline Exceeded"):
            town.grpc.infer("seldom", [given], client_timeout=0.2)
        with socket.create_connection(("127.0.0.1", town.ports.http.port)) as hasty:
            hasty.sendall(REQUEST)
            until(lambda: town.waiting("seldom") == 1, "the request to wait")
        until(lambda: town.waiting("seldom") == 0, "it to leave")
    results([*held, *town.ask("seldom", 2)])
    assert town.recorder.order == ["often", "seldom", "seldom"]


BODY = b'{"inputs":[{"name":"X","shape":[1,2],"datatype":"FP32","data":[1,2]}]}'
REQUEST = b"POST /v2/models/seldom/infer HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%b" % (
    len(BODY),
    BODY,
)
SLOW = """
backend: "synthetic" max_batch_size: 0
input [ { name: "X" data_type: TYPE_FP32 dims: [ 1, 2 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 1, 2 ] } ]
parameters { key: "latency_us" value: { string_value: "100000" } }
instance_group [ { kind: KIND_CPU rate_limiter { resources [ { name: "R1" count: 2 } ] } } ]
"""


@pytest.mark.triton("10.1", "10.2")
def test_the_flags_reach_the_server_and_a_stop_lets_everybody_have_the_turn(
    tmp_path: Path,
) -> None:
    for name in ("a", "b"):
        (tmp_path / "models" / name / "1").mkdir(parents=True)
        (tmp_path / "models" / name / "config.pbtxt").write_text(SLOW)
    flags = ("--rate-limit=execution_count", "--rate-limit-resource=R1:2:0")
    models = f"--model-repository={tmp_path / 'models'}"
    with (
        serving(models, *flags, folder=tmp_path) as server,
        triton_grpc.InferenceServerClient(server.grpc) as client,
        ThreadPoolExecutor(6) as workers,
    ):
        given = triton_grpc.InferInput("X", [1, 2], "FP32")
        given.set_data_from_numpy(np.ones((1, 2), np.float32))
        asked = [workers.submit(client.infer, model, [given]) for model in "ab" for _ in range(3)]
        until(lambda: any(one.done() for one in asked), "the first answer")
        server.signal(signal.SIGTERM)
        answers = [one.result(20).as_numpy("Y") for one in asked]
        assert len(answers) == 6
        assert server.exit_code() == 0
