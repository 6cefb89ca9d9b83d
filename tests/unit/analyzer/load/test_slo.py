"""The highest rate of a server whose capacity is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from analyzer.errors import LoadError
from analyzer.load.driven import Driven
from analyzer.load.slo import RateRule, at_rate, highest_rate, in_flight
from analyzer.load.workload import Item, Workload
from analyzer.record.row import LoadSpec
from analyzer.statistics.slo import Goal, RateSearch, Tried
from analyzer.statistics.stopping import StoppingRule, Verdict
from benchmarks.queue_server import serving
from benchmarks.queueing import Queue
from benchmarks.streams import single_server
from engine.types import DType, InferRequest, Tensor

MS = 1_000_000


def workload() -> Workload:
    tensor = Tensor(name="INPUT0", dtype=DType.FP32, array=np.zeros((1, 4), np.float32))
    return Workload((Item(model="queue", requests=(InferRequest(inputs=(tensor,)),)),))


def driven(**changes: Any) -> Driven:
    none = np.empty(0, np.int64)
    plain = {
        "protocol": "http", "started_ns": 0, "ended_ns": 1, "latency_ns": none, "window_rates": (),
        "send_ns": None, "receive_ns": None, "failed": 0, "first_error": None, "stable": True,
        "client_cpu": 0.0, "server": None, "windows": 1, "warmup_requests": 0,
        "warmup_seconds": 0.0,
    }  # fmt: skip
    return Driven(**{**plain, **changes})


def queue(rate: float, rule: StoppingRule) -> None:
    """A server that takes 4 ms for each request, in turn; they come at even distances."""
    done, latency = single_server(np.arange(1, 40_001) / rate, np.full(40_000, 0.004), 0.0)
    for at in range(0, len(done), 50):
        part = (1e9 * done[at : at + 50]).astype(np.int64)
        if rule.add(part, (1e9 * latency[at : at + 50]).astype(np.int64)) is not Verdict.GO_ON:
            break


def test_the_rate_of_a_server_that_serves_in_turn_is_its_capacity() -> None:
    def send(rate: float, _: int, rule: Callable[[], StoppingRule]) -> Driven:
        queue(rate, rule())
        return driven()

    heard: list[Tried] = []
    found = highest_rate(
        RateSearch(Goal(limit_ns=20 * MS), start_rate=100), send, on_probe=heard.append
    )
    assert found.confirmed
    assert found.rate == pytest.approx(250, rel=0.02)
    assert tuple(heard) == found.probes


@pytest.mark.parametrize("lost", [{"failed": 50}, {"dropped": 50}])
def test_requests_without_an_answer_are_over_the_limit(lost: dict[str, int]) -> None:
    def send(rate: float, _: int, rule: Callable[[], StoppingRule]) -> Driven:
        queue(rate, rule())
        return driven(**(lost if rate > 60 else {}))

    found = highest_rate(RateSearch(Goal(limit_ns=20 * MS), start_rate=100), send)
    assert found.rate is not None
    assert 58 < found.rate <= 60


def test_a_client_that_cannot_keep_up_is_not_taken_for_a_slow_server() -> None:
    def send(rate: float, _: int, rule: Callable[[], StoppingRule]) -> Driven:
        queue(rate, rule())
        return driven(invalid="sent too late" if rate > ceiling else "")

    goal = Goal(limit_ns=20 * MS)
    ceiling = 99.0
    found = highest_rate(RateSearch(goal, start_rate=100), send)
    assert found.rate is not None
    assert found.rate < 99
    ceiling = 1.0
    with pytest.raises(LoadError, match=r"100/s was not decided: sent too late; 80/s was not"):
        highest_rate(RateSearch(goal, start_rate=100), send)


def test_by_their_share_rates_hold_that_hold_although_the_client_was_late() -> None:
    def send(rate: float, _: int, rule: Callable[[], StoppingRule]) -> Driven:
        queue(rate, rule())
        return driven(invalid="sent too late")

    search = RateSearch(Goal(limit_ns=20 * MS), start_rate=100)
    found = highest_rate(search, send, by_share=True)
    assert found.rate == pytest.approx(250, rel=0.02)
    with pytest.raises(LoadError, match="sent too late"):
        highest_rate(RateSearch(Goal(limit_ns=20 * MS), start_rate=100), send)


def test_a_rate_is_sent_over_the_wire_until_the_rule_says_stop() -> None:
    rules: list[RateRule] = []

    def rule() -> RateRule:
        rules.append(RateRule(lambda n, *_: "pass" if n >= 20 else "go on", MS, 30))
        return rules[-1]

    with serving(Queue(load=0.5, service=0.004, fixed=True), 0) as endpoint:
        found = at_rate(endpoint, workload(), LoadSpec(senders=1))(100, 1, rule)
    assert found.requests >= 20
    assert found.latency_ns.min() > 4 * MS
    assert rules[-1].outcome == "pass"


def test_a_rule_asks_the_search_and_gives_up_in_time() -> None:
    asked: list[tuple[int, int, int]] = []

    def on_chunk(n: int, late: int, flying: object) -> str:
        asked.append((n, late, len(flying)))  # type: ignore[arg-type]
        return "pass" if n >= 300 else "go on"

    rule = RateRule(on_chunk, 5 * MS, max_seconds=10)  # type: ignore[arg-type]
    done = np.arange(1, 201) * 10 * MS
    latency = np.where(np.arange(200) % 10 == 0, 9 * MS, MS)
    assert rule.add(done[:100], latency[:100]) is Verdict.GO_ON
    assert rule.add(done[100:], latency[100:]) is Verdict.GO_ON
    assert asked == []
    assert rule.add(done[:0], latency[:0], now_ns=3100 * MS) is Verdict.GO_ON
    assert rule.add(done + 4000 * MS, latency) is Verdict.STEADY
    assert asked == [(200, 20, 1000), (400, 40, 1000)]
    assert rule.outcome == "pass"
    assert rule.summary().requests == 400
    assert rule.bears(1, 80)
    assert not rule.bears(100, 80)
    silent = RateRule(lambda *_: "go on", 5 * MS, max_seconds=3)
    assert silent.add(done[:0], latency[:0], now_ns=MS) is Verdict.GO_ON
    assert silent.add(done[:0], latency[:0], now_ns=2500 * MS) is Verdict.GO_ON
    assert silent.add(done[:0], latency[:0], now_ns=3001 * MS) is Verdict.GIVE_UP
    assert silent.outcome == "inconclusive"


def test_what_is_in_flight_is_counted_from_the_records() -> None:
    done = np.arange(1, 1001) * MS
    found = in_flight(done, np.full(1000, 5 * MS))
    assert set(found[10:].tolist()) <= {4, 5}
