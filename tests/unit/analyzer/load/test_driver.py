"""The load client as a whole, in its own process, against a real server that may misbehave."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.conditions import within
from support.offspring import offspring
from support.v2_server import Faults, V2Server, running

from analyzer.errors import LaunchError, LoadError, UsageError
from analyzer.launcher import Endpoint
from analyzer.load.arrivals import Fixed
from analyzer.load.driven import Driven
from analyzer.load.driver import DriverSettings, drive, run
from analyzer.load.job import Job, Supply, job_frame
from analyzer.load.window import WindowSample
from analyzer.load.workload import Item, Workload
from analyzer.record.row import LoadSpec
from engine.types import DType, InferRequest, Tensor

QUICK: Mapping[str, Any] = {"window_seconds": 0.1, "max_windows": 4, "tolerance": 5.0}


@pytest.fixture
def server() -> Iterator[V2Server]:
    with running(V2Server()) as server:
        server.add("tiny")
        yield server


def at(server: V2Server) -> Endpoint:
    return Endpoint(f"127.0.0.1:{server.port}")


def request() -> InferRequest:
    array = np.zeros((1, 16), np.float32)
    return InferRequest(inputs=(Tensor("INPUT0", DType.FP32, array),), binary_default=True)


def load(
    server: V2Server,
    *,
    stop: Callable[[], bool] = lambda: False,
    settings: DriverSettings | None = None,
    windows: list[WindowSample] | None = None,
    **changes: Any,
) -> Driven:
    spec = LoadSpec(**{"concurrency": 2, **QUICK, **changes})
    seen = [] if windows is None else windows
    return drive(at(server), "tiny", spec, stop=stop, on_window=seen.append, settings=settings)


def test_what_the_client_counts_is_what_the_server_counted(server: V2Server) -> None:
    windows: list[WindowSample] = []
    driven = load(server, windows=windows)
    assert driven.stable
    assert driven.failed == 0
    assert driven.windows == len(windows) == 3
    assert driven.requests == sum(window.requests for window in windows)
    assert driven.warmup_requests >= 8
    total = server.models["tiny"].requests
    assert total >= driven.requests + driven.warmup_requests


@pytest.mark.parametrize("senders", [1, 2])
def test_a_given_number_of_requests_is_sent_and_no_other(server: V2Server, senders: int) -> None:
    driven = load(
        server, rule="count", request_count=301, warmup_requests=20, concurrency=5, senders=senders
    )
    assert (driven.requests, driven.warmup_requests) == (301, 20)
    assert driven.senders == senders
    assert driven.stable
    assert server.models["tiny"].requests == 321


def test_rates_and_latencies_are_two_views_of_one_thing(server: V2Server) -> None:
    """Little's law: in a closed loop concurrency is throughput times latency."""
    server.faults = Faults(latency_s=0.01)
    driven = load(server, concurrency=4, window_seconds=0.3)
    rate = driven.requests / driven.seconds
    mean = float(driven.latency_ns.mean()) / 1e9
    assert rate * mean == pytest.approx(4, rel=0.05)
    assert driven.little == pytest.approx(1, abs=0.1)
    assert float(driven.latency_ns.min()) >= 10e6
    assert min(driven.window_rates) <= rate <= max(driven.window_rates)


def test_throughput_is_in_inferences(server: V2Server) -> None:
    server.faults = Faults(latency_s=0.01)
    driven = load(server, batch_size=8)
    rate = driven.requests / driven.seconds
    assert np.mean(driven.window_rates) == pytest.approx(8 * rate, rel=0.1)


def test_a_slow_model_gets_windows_long_enough_to_say_something(server: V2Server) -> None:
    server.faults = Faults(latency_s=0.04)
    windows: list[WindowSample] = []
    driven = load(server, windows=windows, concurrency=1, window_seconds=0.05, tolerance=0.3)
    assert all(window.requests >= 5 for window in windows)
    assert driven.stable
    # Bounds lie where requests finish: a window of 5 requests is 5 latencies long.
    assert max(driven.window_rates) / min(driven.window_rates) < 1.3


def test_the_servers_times_are_means_over_its_own_requests(server: V2Server) -> None:
    times = load(server).server
    assert times is not None
    assert (times.request_ns, times.queue_ns) == (1000, 100)
    assert (times.compute_input_ns, times.compute_infer_ns, times.compute_output_ns) == (
        200,
        600,
        100,
    )
    assert times.inferences / times.executions == pytest.approx(2, rel=0.05)


def test_a_server_without_the_extensions_is_measured_from_outside(server: V2Server) -> None:
    server.faults = Faults(no_statistics=True, no_config=True)
    driven = load(server)
    assert driven.server is None
    assert driven.requests > 0


def test_the_request_is_what_the_metadata_asks_for(server: V2Server) -> None:
    load(server, batch_size=2, settings=DriverSettings(shapes={"TOKENS": (5,)}))
    head, _, _ = server.bodies[0].partition(b"}]")
    inputs = {entry["name"]: entry for entry in json.loads(head + b"}]}")["inputs"]}
    assert inputs["INPUT0"]["shape"] == [2, 16]
    assert inputs["TOKENS"]["shape"] == [2, 5]
    assert inputs["TOKENS"]["parameters"] == {"binary_data_size": 2 * 5 * 8}
    assert len(server.bodies[0]) > 2 * 16 * 4 + 2 * 5 * 8


def test_data_of_a_file_is_sent_in_rotation(server: V2Server, tmp_path: Path) -> None:
    entries = [{"INPUT0": [value] * 16, "TOKENS": [value]} for value in (1, 2)]
    (tmp_path / "in.json").write_text(json.dumps({"data": entries}))
    load(server, concurrency=1, senders=1, data=str(tmp_path / "in.json"))
    sent = {body[-8:] for body in server.bodies}
    assert sent == {int(value).to_bytes(8, "little") for value in (1, 2)}


def test_failed_requests_are_counted_and_the_first_is_quoted(server: V2Server) -> None:
    server.faults = Faults(refuse_every=10)
    driven = load(server)
    assert driven.failed > 0
    assert driven.first_error == "HTTP 400: the model ate it"
    assert driven.failed == server.models["tiny"].failed


def test_if_all_fail_the_error_is_the_servers_own_text(server: V2Server) -> None:
    server.faults = Faults(refuse_every=1)
    with pytest.raises(LoadError, match=r"every request failed.*HTTP 400: the model ate it"):
        load(server)


def test_a_connection_that_is_dropped_fails_one_request_and_no_more(server: V2Server) -> None:
    server.faults = Faults(drop_every=7)
    driven = load(server)
    assert driven.failed > 0
    assert driven.first_error is not None
    assert "closed the connection" in driven.first_error
    assert driven.requests > driven.failed


def test_a_server_that_closes_after_each_answer_is_connected_to_again(server: V2Server) -> None:
    server.faults = Faults(close_each=True)
    driven = load(server)
    assert driven.failed == 0
    assert driven.requests > 10


def test_a_server_that_hangs_is_given_up_with_what_was_in_flight(server: V2Server) -> None:
    server.faults = Faults(hang_after=20)
    with pytest.raises(LoadError, match=r"no request was answered for 0\.5 s.*2 are in flight"):
        load(server, settings=DriverSettings(stall_s=0.5))


def test_a_server_that_goes_away_ends_the_run(server: V2Server) -> None:
    windows: list[WindowSample] = []

    def vanish() -> bool:
        if windows and server.listening is not None:
            server.vanish()
        return False

    with pytest.raises(LoadError, match=r"cannot connect to 127\.0\.0\.1"):
        load(server, stop=vanish, windows=windows, max_windows=1000, tolerance=0.0)


def test_stop_ends_early_with_the_windows_there_are(server: V2Server) -> None:
    windows: list[WindowSample] = []
    driven = load(
        server, stop=lambda: len(windows) >= 2, windows=windows, tolerance=0.0, max_windows=1000
    )
    assert not driven.stable
    assert 2 <= driven.windows < 20


def test_stop_before_anything_was_measured_is_an_error(server: V2Server) -> None:
    with pytest.raises(LoadError, match="stopped before the first window was over"):
        load(server, stop=lambda: True, window_seconds=5.0)


def test_measurements_that_never_agree_are_reported_as_not_stable(server: V2Server) -> None:
    driven = load(server, tolerance=0.0, max_windows=5)
    assert not driven.stable
    # Fewer than five only where the machine stands still meanwhile.
    assert 3 <= driven.windows <= 5
    assert len(driven.window_rates) == 3


def test_an_unknown_model_is_an_error_that_names_it(server: V2Server) -> None:
    spec = LoadSpec()
    with pytest.raises(LaunchError, match="unknown model: 'nobody'"):
        drive(at(server), "nobody", spec, stop=lambda: False, on_window=lambda _: None)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"protocol": "carrier pigeon"}, "there are: http, grpc"),
        ({"protocol": "grpc"}, "gRPC address is not known"),
        ({"batch_size": 9}, "max_batch_size of 8"),
        ({"data": "ones"}, "expected random, zero, a JSON file"),
    ],
)
def test_a_load_that_cannot_be_is_said_before_anything_starts(
    server: V2Server, changes: dict[str, Any], text: str
) -> None:
    with pytest.raises((LoadError, UsageError), match=text):
        load(server, **changes)


def test_a_client_that_cannot_run_is_an_error_with_its_last_words(server: V2Server) -> None:
    with pytest.raises(LoadError, match="without a result"):
        load(server, settings=DriverSettings(python="/bin/false"))


def test_nothing_is_left_behind(server: V2Server) -> None:
    load(server)
    server.faults = Faults(refuse_every=1)
    with pytest.raises(LoadError):
        load(server)
    assert not offspring("analyzer.load")


def test_a_sender_ends_when_the_analyzer_is_gone(server: V2Server) -> None:
    supply = Supply(weight=1.0, messages=(b"",))
    job = Job(
        protocol="http", host="127.0.0.1", port=server.port, supplies=(supply,), slots=1, ahead=1
    )
    child = subprocess.Popen(
        [sys.executable, "-m", "analyzer.load"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(job_frame(job))
    child.stdin.flush()
    assert child.stdout.read(1)
    assert child.poll() is None
    child.stdin.close()
    assert within(lambda: child.poll() is not None)
    child.stdout.close()


def test_ctrl_c_in_the_terminal_is_not_for_the_client(server: V2Server) -> None:
    """It is in a session of its own, so the terminal's signal does not reach it."""
    sessions: list[int] = []

    def look() -> bool:
        if not sessions:
            (child,) = offspring("analyzer.load")
            sessions.append(os.getsid(child))
        return False

    load(server, stop=look)
    assert sessions
    assert os.getsid(0) not in sessions


def test_an_open_loop_sends_at_its_rate_whoever_waits(server: V2Server) -> None:
    server.faults = Faults(latency_s=0.05)
    driven = load(server, rule="count", request_rate=200.0, request_count=100)
    planned = np.sort(driven.records.array["planned"])
    assert np.all(np.abs(np.diff(planned) - 5_000_000) <= 1)
    assert driven.dropped == 0
    assert driven.in_flight > 5
    assert driven.send_lag.p50 >= 0
    # Latency counts from when a request was due, service time from when it was sent.
    late = driven.records.latency_ns - driven.records.service_ns
    assert np.array_equal(late, driven.records.lag_ns)


def test_what_would_be_too_many_in_flight_is_dropped(server: V2Server) -> None:
    server.faults = Faults(latency_s=0.05)
    driven = load(server, rule="count", request_rate=200.0, request_count=60, max_inflight=2)
    assert driven.dropped > 20
    assert driven.dropped + driven.requests == 60
    assert any(flag.startswith("dropped: ") for flag in driven.flags)


def test_a_trace_is_replayed_once_by_several_senders(server: V2Server) -> None:
    trace = tuple(at * 1_000_000 for at in (0, 0, 5, 40, 41, 42, 90))
    item = Item(model="tiny", requests=(request(),))
    spec = LoadSpec(rule="count", senders=2)
    driven = run(at(server), Workload((item,)), spec, Fixed(trace))
    planned = np.sort(driven.records.array["planned"])
    assert (planned - planned[0]).tolist() == list(trace)
    assert driven.senders == 2


def test_several_models_are_loaded_in_proportion(server: V2Server) -> None:
    server.add("other")
    items = (
        Item(model="tiny", weight=3.0, requests=(request(),), inferences=2),
        Item(model="other", requests=(request(),)),
    )
    spec = LoadSpec(rule="count", request_count=400, concurrency=4)
    driven = run(at(server), Workload(items), spec)
    asked = {name: model.requests for name, model in server.models.items()}
    assert asked["tiny"] + asked["other"] == 400
    assert asked["tiny"] == pytest.approx(300, abs=50)
    assert driven.summary is not None
    inferences = 2 * asked["tiny"] + asked["other"]
    assert driven.summary.throughput.value * driven.seconds == pytest.approx(inferences, rel=0.02)
    assert driven.server is not None
    assert driven.server.requests == 400


def test_by_precision_it_stops_when_the_intervals_are_narrow(server: V2Server) -> None:
    server.faults = Faults(latency_s=0.002)
    wide: Mapping[str, Any] = {"throughput_precision": 0.5, "latency_precision": 0.5}
    driven = load(server, rule="precision", percentile=0, min_seconds=0.5, max_seconds=5.0, **wide)
    assert driven.stable
    assert driven.seconds < 4
    assert driven.summary is not None
    assert driven.summary.throughput.relative <= 0.5
    # Several clients began several times; what was answered between is no part of it.
    assert len(driven.spans_ns) == driven.summary.parts == len(driven.window_rates) >= 4
    assert driven.little == pytest.approx(1, abs=0.1)
    assert driven.in_flight == pytest.approx(2, abs=0.1)
    assert driven.duty < 1
    assert driven.server is not None
    assert driven.server.requests > 0
    assert driven.summary.throughput.value == pytest.approx(driven.requests / driven.seconds)
    assert driven.histogram.count == driven.requests
