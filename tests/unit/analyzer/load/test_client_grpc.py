"""The gRPC client in its own process, against a real gRPC server."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from support.v2_grpc import GrpcServer, running_grpc
from support.v2_server import V2Server, running

from analyzer.errors import LoadError
from analyzer.launcher import Endpoint
from analyzer.load.driven import Driven
from analyzer.load.driver import drive
from analyzer.load.window import WindowSample
from analyzer.record.row import LoadSpec


@pytest.fixture
def http() -> Iterator[V2Server]:
    with running(V2Server()) as server:
        server.add("tiny")
        yield server


@pytest.fixture
def server() -> Iterator[GrpcServer]:
    with running_grpc(GrpcServer()) as server:
        yield server


def load(
    http: V2Server,
    port: int,
    *,
    tolerance: float = 5.0,
    stop: Callable[[], bool] = lambda: False,
    on_window: Callable[[WindowSample], None] = lambda _: None,
    **changes: Any,
) -> Driven:
    endpoint = Endpoint(f"127.0.0.1:{http.port}", grpc=f"127.0.0.1:{port}")
    spec = LoadSpec(
        protocol="grpc",
        concurrency=20,
        batch_size=2,
        window_seconds=0.2,
        max_windows=20,
        tolerance=tolerance,
        **changes,
    )
    return drive(endpoint, "tiny", spec, stop=stop, on_window=on_window)


def test_every_request_reaches_the_server_and_is_well_formed(
    http: V2Server, server: GrpcServer
) -> None:
    driven = load(http, server.port, rule="count", request_count=100, warmup_requests=20)
    assert driven.protocol == "grpc"
    assert driven.failed == 0
    assert (driven.requests, driven.warmup_requests) == (100, 20)
    assert server.requests == 120
    assert server.last.model_name == "tiny"
    shapes = {tensor.name: list(tensor.shape) for tensor in server.last.inputs}
    assert shapes == {"INPUT0": [2, 16], "TOKENS": [2, 1]}
    assert [len(raw) for raw in server.last.raw_input_contents] == [2 * 16 * 4, 2 * 8]


def test_when_bytes_leave_and_come_is_seen(http: V2Server, server: GrpcServer) -> None:
    driven = load(http, server.port)
    array = driven.records.array
    times = [array[name] for name in ("planned", "began", "sent", "first", "last")]
    assert all((late >= early).all() for early, late in pairwise(times))
    assert driven.send_ns is not None
    assert driven.send_ns > 0
    assert driven.receive_ns is not None


def test_failures_are_counted_and_quoted_with_their_status(
    http: V2Server, server: GrpcServer
) -> None:
    server.refuse_every = 5
    driven = load(http, server.port)
    assert driven.failed == server.requests // 5
    assert driven.first_error == "gRPC INVALID_ARGUMENT: the model ate it"


def test_where_a_connection_takes_few_requests_more_are_opened(http: V2Server) -> None:
    with running_grpc(GrpcServer(), max_concurrent_streams=3) as server:
        driven = load(http, server.port, rule="count", request_count=200)
        assert (driven.requests, driven.failed, server.requests) == (200, 0, 200)


def test_connections_that_the_server_ends_are_opened_anew(http: V2Server) -> None:
    # Each is told to go after 0.1 s, and closed a little later.
    ages = {"max_connection_age_ms": 100, "max_connection_age_grace_ms": 1000}
    with running_grpc(GrpcServer(), **ages) as server:
        driven = load(http, server.port, rule="precision", max_seconds=1.0, latency_precision=0.0)
        assert driven.failed == 0
        assert driven.ended_ns - driven.started_ns > 500_000_000


def test_that_nothing_listens_is_known_at_once(http: V2Server) -> None:
    with pytest.raises(LoadError, match=r"cannot connect to 127\.0\.0\.1:1 by gRPC"):
        load(http, 1)


def test_a_server_that_goes_away_ends_the_run(http: V2Server, server: GrpcServer) -> None:
    windows: list[WindowSample] = []

    def vanish() -> bool:
        if windows:
            server.server.stop(0)
        return False

    with pytest.raises(LoadError, match=r"cannot connect to 127\.0\.0\.1"):
        load(http, server.port, tolerance=0.0, stop=vanish, on_window=windows.append)
