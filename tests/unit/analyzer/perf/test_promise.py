"""The search for the rate that keeps a promise, on a load client in virtual time."""

import re
from typing import Any

from support.fake_drive import FakeServer
from support.fake_screen import FakeScreen

from analyzer.perf.promise import Hunt
from analyzer.perf.reading import read
from analyzer.perf.runs import Aside, Found, Kind, Runs

MS = 1_000_000


def hunted(server: FakeServer, **given: Any) -> tuple[Found, FakeScreen]:
    options = read({"model_name": "m", **given})
    screen = FakeScreen()
    runs = Runs(
        options, server, screen, stop=lambda: False,
        aside=lambda _: Aside(composing={}), kind=Kind(),
    )  # fmt: skip
    return Hunt(options, runs, lambda: False, lambda: 10.0 * len(server.loads)).run(), screen


def test_when_its_time_is_over_it_tells_what_is_known() -> None:
    """Each load takes ten seconds of the thirty, which begin when two have been measured."""
    server = FakeServer(workers=1, service_ms=1, jitter=0.0)
    found, screen = hunted(server, slo="p90<=3ms", slo_seconds="30")
    assert len(server.loads) == 2 + 3
    assert "the time was over (30 s): this is what was known by then" in screen.text
    assert "not confirmed" in screen.text or not found.kept


def test_the_highest_rate_that_keeps_the_promise_is_found_and_confirmed() -> None:
    """One worker at 1 ms and Poisson arrivals: M/D/1, whose p90 is 3 ms at about 620 a second."""
    server = FakeServer(workers=1, service_ms=1, jitter=0.0)
    found, screen = hunted(server, slo="p90<=3ms", max_seconds="10", slo_seconds="900")
    assert found.kept
    (each,) = found.every
    assert 450 < each.level < 750
    assert each.summary.percentiles[90.0].value < 3.3 * MS
    text = screen.text
    assert re.search(r"In a closed loop of 32: 1000 requests/sec", text)
    assert re.search(r"requests/sec: held after [\d,]+ requests, [\d,]+ of them above 3 msec", text)
    assert re.search(
        r"Highest request rate with p90 <= 3 msec: [\d.]+ requests/sec "
        r"\([\d.]+ held, [\d.]+ did not; confirmed by a run of its own\)",
        text,
    )
    probes = server.loads[2:]
    assert {load.distribution for load in probes} == {"poisson"}
    assert len({load.seed for load in probes}) == len(probes)


def test_a_promise_that_no_rate_keeps_is_told_as_such() -> None:
    server = FakeServer(workers=1, service_ms=10, jitter=0.01)
    found, screen = hunted(server, slo="p90<=5ms")
    assert not found.kept
    assert found.every == ()
    assert (
        "No request rate keeps p90 <= 5 msec: one request at a time, the p90 is 10" in screen.text
    )
    assert len(server.loads) == 2
