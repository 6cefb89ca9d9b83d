"""Several models loaded at the same time: from one moment on, and until all have been measured."""

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from support.v2_server import Faults, V2Server, running

from analyzer.errors import LoadError
from analyzer.launcher import Endpoint
from analyzer.load.alongside import OTHERS, Alongside
from analyzer.load.crew import DriverSettings
from analyzer.load.driver import drive_together
from analyzer.record.row import LoadSpec

QUICK = LoadSpec(window_seconds=0.1, max_windows=3, tolerance=5.0)


@pytest.fixture
def server() -> Iterator[V2Server]:
    with running(V2Server(faults=Faults(latency_s=0.002))) as server:
        for name in ("short", "long"):
            server.add(name)
        yield server


def test_each_is_measured_under_the_load_of_all(server: V2Server) -> None:
    endpoint = Endpoint(f"127.0.0.1:{server.port}")
    longer = replace(QUICK, window_seconds=0.4, concurrency=3)
    loads = {"short": (QUICK, DriverSettings()), "long": (longer, DriverSettings())}
    found = drive_together(endpoint, loads, on_window=lambda _: None)
    short, long = found["short"], found["long"]
    assert short.seconds < long.seconds
    assert short.ended_ns < long.ended_ns
    assert abs(short.started_ns - long.started_ns) < 0.3e9
    # What is no longer measured is sent all the same: the other one's figures depend on it.
    assert server.models["short"].requests > 1.5 * (short.requests + short.warmup_requests)


def test_one_that_cannot_be_loaded_is_named_and_the_others_do_not_wait(server: V2Server) -> None:
    endpoint = Endpoint(f"127.0.0.1:{server.port}")
    loads = {"short": (QUICK, DriverSettings()), "nobody": (QUICK, DriverSettings())}
    with pytest.raises(LoadError, match="nobody: "):
        drive_together(endpoint, loads, on_window=lambda _: None)


def test_it_is_over_when_all_have_been_measured_or_one_gives_up() -> None:
    two = Alongside(2)
    two.measured()
    assert not two.over
    two.measured()
    assert two.over
    failing = Alongside(2)
    said: list[str] = []

    def wait() -> None:
        with pytest.raises(LoadError) as caught:
            failing.begin()
        said.append(caught.value.message)

    waiting = threading.Thread(target=wait)
    waiting.start()
    failing.give_up()
    waiting.join(10)
    assert said == [OTHERS]
    assert failing.over
