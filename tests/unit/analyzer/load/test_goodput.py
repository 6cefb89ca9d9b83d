"""The highest rate that keeps a limit, within bounded time, of a server whose capacity is known."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from support.fake_drive import FakeServer

from analyzer.load.driven import Driven
from analyzer.load.goodput import highest
from analyzer.record.row import LoadSpec, Promise
from analyzer.statistics.stopping import StoppingRule


class Server:
    """Two workers of 4 ms each: 500 requests a second at most. Time is that of what was sent."""

    def __init__(self) -> None:
        self.fake = FakeServer(workers=2, service_ms=4.0)
        self.seconds = 0.0

    def send(self, rate: float, seed: int, rule: Callable[[], StoppingRule]) -> Driven:
        load = LoadSpec(request_rate=rate, distribution="poisson", seed=seed)
        found = self.fake(load, None, rule)
        self.seconds += found.seconds
        return found

    def now(self) -> float:
        return self.seconds


def promise(seconds: float, limit_ms: float = 20.0) -> Promise:
    return Promise(percentile=99, limit_ms=limit_ms, seconds=seconds)


@pytest.mark.parametrize("start", [150.0, 420.0])
def test_the_rate_is_found_between_what_held_and_what_did_not(start: float) -> None:
    server = Server()
    found = highest(server.send, start, promise(40.0), now=server.now)
    plain = found.plain
    assert found.result.rate == found.rate == plain["rate"]
    # Of this queue 372 a second keep 20 ms at p99, by 150,000 requests of each rate.
    assert found.rate == pytest.approx(372, rel=0.12)
    assert plain["low"] == found.rate < plain["high"]
    assert found.driven.requests / found.driven.seconds == pytest.approx(found.rate, rel=0.1)
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert server.seconds < 60


def test_a_rate_that_is_confirmed_for_certain_is_told_from_one_that_was_not() -> None:
    sure, hasty = (
        highest(server.send, 420.0, promise(seconds), seed=1, now=server.now)
        for seconds, server in ((200.0, Server()), (40.0, Server()))
    )
    assert (sure.result.confirmed, sure.result.note) == (True, "")
    assert not hasty.result.confirmed
    assert "kept the limit for 12 s, too few requests to be certain" in hasty.result.note


def test_when_the_time_is_over_what_is_known_is_the_result_and_says_so() -> None:
    server = Server()
    found = highest(server.send, 150.0, promise(5.0), now=server.now)
    assert not found.result.confirmed
    assert (
        found.rate
        == found.result.rate
        == max(each.rate for each in found.result.probes if each.outcome == "pass")
    )
    assert server.seconds < 5.0 + 2 * 4.0


def test_a_limit_that_no_rate_keeps_is_no_rate_and_has_the_last_runs_figures() -> None:
    server = Server()
    found = highest(server.send, 100.0, promise(300.0, limit_ms=2.0), now=server.now)
    assert found.result.rate is None
    assert found.plain["rate"] is None
    assert "no rate held" in found.plain["note"]
    assert found.rate == found.result.probes[-1].rate
