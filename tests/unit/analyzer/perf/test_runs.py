"""Levels, rules and words together, on a load client in virtual time."""

import re
from typing import Any

import pytest
from support.fake_drive import FakeServer
from support.fake_screen import FakeScreen

from analyzer.errors import LoadError
from analyzer.load.arrivals import Fixed, Intervals, Schedule
from analyzer.metrics import ServerTimes
from analyzer.perf import text
from analyzer.perf.options import PerfOptions
from analyzer.perf.reading import read
from analyzer.perf.runs import Aside, Found, Kind, Runs, intervals_of
from analyzer.perf.watch import seconds_left


def played(
    server: FakeServer, pace: Schedule | None = None, *, stops: Any = None, **given: Any
) -> tuple[Found, FakeScreen, PerfOptions]:
    options = read({"model_name": "m", "max_seconds": "8", **given})
    screen = FakeScreen()
    runs = Runs(
        options, server, screen, stop=stops or (lambda: False),
        aside=lambda _: Aside(composing={}), kind=Kind(),
    )  # fmt: skip
    return runs.run(pace), screen, options


def test_a_walk_measures_every_level_until_its_intervals_are_narrow() -> None:
    server = FakeServer(workers=2, service_ms=2)
    found, screen, options = played(server, concurrency_range="1:3")
    assert [each.level for each in found.every] == [1, 2, 3]
    assert [load.concurrency for load in server.loads] == [1, 2, 3]
    assert all(load.rule == "precision" for load in server.loads)
    one, two, three = (each.throughput for each in found.every)
    assert one == pytest.approx(500, rel=0.02)
    assert two == pytest.approx(1000, rel=0.02)
    assert three == pytest.approx(1000, rel=0.02)
    assert all(each.summary.throughput.relative <= 0.02 for each in found.every)
    assert found.stable
    assert not screen.measuring
    assert screen.looks[-1].requests > 0
    closing = text.closing(found.every, options)
    assert closing[0] == "Inferences/Second vs. Client Average Batch Latency"
    assert re.fullmatch(
        r"Concurrency: 1, throughput: [\d.]+ infer/sec, latency \d+ usec", closing[1]
    )


def test_a_level_is_told_in_perf_analyzers_lines_with_intervals_behind() -> None:
    server = FakeServer(
        server=ServerTimes(
            requests=10, inferences=10, executions=5, request_ns=900e3, queue_ns=100e3,
            compute_input_ns=10e3, compute_infer_ns=700e3, compute_output_ns=20e3,
        )
    )  # fmt: skip
    _, screen, _ = played(server, concurrency_range="2")
    for line in (
        r"Request concurrency: 2",
        r"  Client: ",
        r"    Request count: \d+",
        r"    Throughput: [\d.]+ infer/sec  \[[\d.]+ to [\d.]+\]",
        r"    Avg latency: \d+ usec \(standard deviation \d+ usec\)  \[\d+ to \d+\]",
        r"    p50 latency: \d+ usec  \[\d+ to \d+\]",
        r"    p99 latency: \d+ usec  \[\d+ to \d+\], certified",
        r"    Avg HTTP time: \d+ usec \(send/recv 3 usec \+ response wait \d+ usec\)",
        r"  Server: ",
        r"    Inference count: 10",
        r"    Execution count: 5",
        r"    Successful request count: 10",
        r"    Avg request latency: 900 usec \(overhead 70 usec \+ queue 100 usec \+ compute .*",
        r"  Latencies: ",
    ):
        assert any(re.fullmatch(line, each) for each in screen.lines), line
    assert any("█" in line for line in screen.lines)


def test_a_walk_ends_where_the_latency_reaches_the_threshold() -> None:
    server = FakeServer(workers=1, service_ms=1)
    found, screen, _ = played(server, concurrency_range="1:0:2", latency_threshold="4")
    assert [each.level for each in found.every] == [1, 3, 5]
    assert [each.over for each in found.every] == [False, False, True]
    assert screen.warnings == ["Measured latency went over the set limit of 4 msec. "]


def test_bisection_finds_the_concurrency_that_keeps_it() -> None:
    server = FakeServer(workers=1, service_ms=3)
    found, _, _ = played(
        server,
        concurrency_range="1:17",
        latency_threshold="23",
        binary_search=True,
        precision="20,40",
        percentile=95,
    )
    tried = [int(each.level) for each in found.every]
    assert tried[:3] == [1, 17, 9]
    assert max(int(each.level) for each in found.every if not each.over) == 7


def test_an_open_loop_counts_from_when_a_request_was_due() -> None:
    server = FakeServer(workers=1, service_ms=1, slower=lambda at: 500 if 2 < at < 2.2 else 1)
    found, screen, _ = played(server, request_rate_range="300", request_distribution="poisson")
    (each,) = found.every
    assert server.loads[0].distribution == "poisson"
    assert each.summary.percentiles[99.0].value > 100e6
    assert "Request Rate: 300 inference requests per second" in screen.lines
    assert any("From the actual send" in line for line in screen.lines)


def test_windows_are_perf_analyzers_and_v_shows_each() -> None:
    server = FakeServer()
    found, screen, _ = played(
        server, max_seconds=None, measurement_interval="500", concurrency_range="2", verbose=1
    )
    (each,) = found.every
    assert each.stable
    passes = [line for line in screen.lines if line.startswith("  Pass [")]
    assert len(passes) == each.windows == 3
    assert re.fullmatch(
        r"  Pass \[1\] throughput: [\d.]+ infer/sec. Avg latency: \d+ usec \(std \d+ usec\). ",
        passes[0],
    )
    assert len(each.boundaries_ns) == 4
    assert each.boundaries_ns[1] - each.boundaries_ns[0] == 600_000_000
    assert server.loads[0].rule == "windows"


def test_what_is_never_stable_is_told_all_the_same() -> None:
    server = FakeServer(workers=1, slower=lambda at: 1 + 2 * (int(at / 0.6) % 2))
    found, screen, _ = played(
        server, max_seconds=None, measurement_interval="500", max_trials="4",
        concurrency_range="1",
    )  # fmt: skip
    assert not found.stable
    assert found.every[0].summary.requests > 0
    assert "Failed to obtain stable measurement within 4 measurement windows" in screen.text


def test_a_number_of_requests_is_that_number() -> None:
    found, _, _ = played(FakeServer(), max_seconds=None, request_count="120")
    assert found.every[0].summary.requests == 120


def test_failures_are_counted_and_the_first_is_quoted() -> None:
    _, screen, _ = played(FakeServer(fail_every=100), concurrency_range="2")
    assert re.search(r"\[WARNING\] \d+ requests failed, the first with: it failed", screen.text)
    with pytest.raises(LoadError, match="no request succeeded; the first failed with: it failed"):
        played(FakeServer(fail_every=1, most=2000))


def test_few_requests_do_not_certify_a_p99() -> None:
    _, screen, _ = played(FakeServer(), max_seconds=None, request_count="120")
    assert "Note: short: p95, p99 of 120 requests, where p99 takes 459" in screen.text
    assert ", certified" not in screen.text


def test_a_recorded_pace_is_kept_and_its_rate_is_the_level() -> None:
    recorded = intervals_of("1000\n3000\n\n", "trace")
    assert recorded == Intervals((1_000_000, 3_000_000))
    found, _, _ = played(FakeServer(), recorded, request_intervals="trace")
    assert found.every[0].level == 500
    assert found.every[0].throughput == pytest.approx(500, rel=0.02)
    found, _, _ = played(
        FakeServer(), Fixed((0, 1_000_000, 2_000_000)), max_seconds=None, schedule="0,0.001,0.002"
    )
    assert found.every[0].summary.requests == 3


@pytest.mark.parametrize(
    ("content", "wrong"), [("1\nx\n", r"trace:2: expected microseconds, found 'x'"),
                           ("-5", "trace:1"), ("0\n", "at least one interval above 0")]
)  # fmt: skip
def test_a_trace_that_is_none_is_told_by_its_line(content: str, wrong: str) -> None:
    with pytest.raises(LoadError, match=wrong):
        intervals_of(content, "trace")


def test_an_interruption_ends_after_the_level_and_keeps_it() -> None:
    asked: list[int] = []

    def stops() -> bool:
        asked.append(1)
        return len(asked) > 1

    found, _, _ = played(FakeServer(), concurrency_range="1:9", stops=stops)
    assert found.interrupted
    assert len(found.every) == 1


def test_the_time_left_follows_from_how_wide_the_intervals_are() -> None:
    _, screen, options = played(FakeServer(jitter=0.3), concurrency_range="2", precision="1,5")
    left = [seconds_left(look, options.measuring, None) for look in screen.looks]
    told = [each for each in left if each is not None]
    assert told
    assert all(0 <= each <= 8 for each in told)
    assert told[-1] <= told[0]


def test_the_settings_are_told_before_anything_is_measured() -> None:
    options = read({"model_name": "m", "request_rate_range": "5:20:5", "percentile": "95",
                    "latency_threshold": "10", "request_distribution": "poisson"})  # fmt: skip
    within = "5 % of the throughput and 10 % of the p95"
    assert text.settings(options, decoupled=False, sequences=False) == [
        "*** Measurement Settings ***",
        "  Batch size: 1",
        "  Service Kind: TRITON",
        f"  Measuring until 95 % intervals, in brackets, are within {within} latency",
        "  At most 30 sec for each level",
        "  Latency limit: 10 msec",
        "  Request Rate limit: 20 requests per seconds",
        "  Using poisson distribution on request generation",
        "  Using asynchronous calls for inference",
        "",
    ]
    windows = read({"model_name": "m", "measurement_mode": "count_windows"})
    assert text.settings(windows, decoupled=False, sequences=False)[3:6] == [
        '  Using "count_windows" mode for stabilization',
        "  Stabilizing using average latency and throughput",
        "  Minimum number of samples in each window: 50",
    ]
