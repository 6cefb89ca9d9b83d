"""From records to a result: what is warm-up, what counts, and whether to believe it. No clock."""

from typing import Any

import numpy as np
import pytest
from support.virtual_client import MS, SECOND, Clock, Run, VirtualClient, Workers, exponential, job
from support.virtual_client import go as send

from analyzer.errors import LoadError
from analyzer.load.arrivals import Gamma
from analyzer.load.course import Course, WarmUp
from analyzer.load.driven import Driven
from analyzer.load.outcome import STOPPED, Facts, Reading, driven_of
from analyzer.load.records import RECORD, Records
from analyzer.load.window import UntilEnd, WindowSample, WindowsRule
from analyzer.statistics.stopping import Precision, PrecisionRule, StoppingRule, Verdict

START = 5 * SECOND


def records(count: int, gap_ms: float = 10, latency_ms: float = 4, **columns: Any) -> Records:
    """So many requests, one after another."""
    array = np.zeros(count, dtype=RECORD)
    array["last"] = START + (np.arange(1, count + 1) * gap_ms * MS).astype(np.int64)
    array["planned"] = array["began"] = array["last"] - int(latency_ms * MS)
    array["first"] = array["last"]
    array["sent"] = array["began"]
    for name, values in columns.items():
        array[name] = values
    return Records(array, ("no",))


def windows(**changes: Any) -> WindowsRule:
    return WindowsRule(**{"seconds": 0.5, "max_windows": 5, "tolerance": 0.1, **changes})


def course(
    found: Records, rule: StoppingRule, warm_up: WarmUp, piece: int = 7
) -> tuple[Course, list[WindowSample]]:
    """Tell of records piece by piece until the rule says stop."""
    heard, told = Course(rule, warm_up, START), []
    for at in range(0, len(found), piece):
        part = found.span(at, min(at + piece, len(found)))
        told += heard.add(part, int(part.array["last"][-1]))
        if heard.verdict is not Verdict.GO_ON:
            break
    return heard, told


def outcome(heard: Course, readings: tuple[Reading, ...] = (), **changes: Any) -> Driven:
    plain = {
        "protocol": "http",
        "open_loop": False,
        "start_ns": START,
        "inferences": (1,),
        "readings": (readings,),
    }
    return driven_of(heard, Facts(**{**plain, **changes}))


def test_the_warm_up_is_left_out_and_what_counts_begins_with_a_request() -> None:
    heard, told = course(records(400), windows(), WarmUp(requests=20, seconds=0.5))
    driven = outcome(heard)
    assert driven.warmup_requests == 50
    assert driven.started_ns == START + 500 * MS
    assert driven.requests == 150
    assert driven.seconds == 1.5
    assert driven.window_rates == pytest.approx([100, 100, 100])
    assert [sample.requests for sample in told] == [50, 50, 50]
    assert driven.stable
    assert driven.service.p99 == 4 * MS
    assert driven.histogram.count == 150


@pytest.mark.parametrize(
    ("wanted", "seconds", "warm"), [(120, 0.5, 120), (8, 0.5, 50), (10**6, 0.5, 300)]
)
def test_a_warm_up_has_enough_requests_and_time_but_not_too_much(
    wanted: int, seconds: float, warm: int
) -> None:
    rule = WarmUp(requests=wanted, seconds=seconds, cap_seconds=3.0)
    assert rule.over(records(400).array["last"], START) == warm


def test_two_for_each_in_flight_are_warm_up_and_half_a_second_is() -> None:
    assert WarmUp.of(100, 0, 1.0) == WarmUp(requests=200, seconds=0.5, cap_seconds=6.0)
    assert WarmUp.of(1, 50, 0.1) == WarmUp(
        requests=50, seconds=0.05, cap_seconds=pytest.approx(0.6)
    )


def test_what_was_stopped_because_another_is_faster_says_so_and_is_not_stable() -> None:
    precision = Precision(throughput=1e-9, min_seconds=1.0, max_seconds=9)
    latency = np.random.default_rng(1).uniform(3, 5, 3000) * MS
    found = records(3000, 1)
    found.array["last"] += latency.astype(np.int64) // 2
    found.array["last"].sort()
    heard, _ = course(found, PrecisionRule(precision, bar=1500), WarmUp(requests=20, seconds=0.5))
    driven = outcome(heard)
    assert not driven.stable
    assert driven.seconds < 1
    assert driven.flags[0].startswith("stopped: clearly slower than the best so far; at most 100")


def test_under_precision_all_since_the_warm_up_counts() -> None:
    rule = PrecisionRule(Precision(min_seconds=0.5, max_seconds=9))
    heard, told = course(records(3000, 1), rule, WarmUp(requests=20, seconds=0.5))
    driven = outcome(heard)
    assert driven.stable
    assert driven.summary is not None
    assert driven.summary.throughput.value == pytest.approx(1000)
    assert driven.started_ns >= START + 500 * MS
    assert driven.requests == len(driven.records) == driven.summary.requests
    assert told
    assert driven.window_rates == pytest.approx([1000] * 10)


def test_a_given_number_counts_from_the_first() -> None:
    heard, _ = course(records(30), UntilEnd(), WarmUp(requests=0))
    driven = outcome(heard, complete=True)
    assert (driven.requests, driven.warmup_requests, driven.stable) == (30, 0, True)
    heard, _ = course(records(30), UntilEnd(), WarmUp(requests=10))
    assert outcome(heard).requests == 20


def test_failures_are_counted_and_not_timed() -> None:
    failed = np.arange(400) % 4 == 0
    found = records(400, error=failed, planned=np.where(failed, 0, START))
    heard, told = course(found, windows(tolerance=9), WarmUp(requests=20, seconds=0.5))
    driven = outcome(heard)
    assert driven.failed == sum(not good for good in found.succeeded[: len(heard.records)])
    assert driven.first_error == "no"
    assert driven.latency_ns.min() > 0
    assert sum(sample.failed for sample in told) == driven.failed
    assert len(driven.records) > driven.requests


def test_that_all_fail_ends_it_with_the_servers_text() -> None:
    for failing in (slice(0, 400), slice(120, 400)):
        errors = np.zeros(400, int)
        errors[failing] = 1
        with pytest.raises(LoadError, match="every request failed; the first: no"):
            course(records(400, error=errors), windows(), WarmUp(requests=20, seconds=0.5))


def test_without_a_window_there_is_nothing_to_say() -> None:
    for count in (5, 60):
        heard, _ = course(records(count), windows(), WarmUp(requests=20, seconds=0.5))
        with pytest.raises(LoadError, match=STOPPED):
            outcome(heard)


def test_items_count_for_as_many_inferences_as_they_are() -> None:
    found = records(400, item=np.arange(400) % 2)
    heard, _ = course(found, windows(), WarmUp(requests=20, seconds=0.5))
    driven = outcome(heard, inferences=(1, 3))
    assert driven.window_rates == pytest.approx([200, 200, 200])


def cpu(share: float) -> tuple[Reading, ...]:
    return tuple(
        Reading(at_ns=START + at * SECOND, cpu_ns=int(at * share * SECOND)) for at in range(5)
    )


@pytest.mark.parametrize(
    ("late_ms", "latency_ms", "share", "open_loop", "said"),
    [
        (0.9, 4, 0.5, True, ""),
        (1.5, 4, 0.5, True, "sent too late"),
        (1.5, 4, 0.5, False, ""),
        (1.5, 100, 0.5, True, ""),
        (0, 4, 0.97, False, "a sender was busy 97%"),
    ],
)
def test_a_run_in_which_the_client_was_the_bottleneck_is_invalid(
    late_ms: float,
    latency_ms: float,
    share: float,
    open_loop: int,
    said: str,
) -> None:
    found = records(400, latency_ms=latency_ms)
    found.array["began"] += (np.arange(400) % 40 == 0) * int(late_ms * MS)
    heard, _ = course(found, windows(), WarmUp(requests=20, seconds=0.5))
    driven = outcome(heard, cpu(share), open_loop=bool(open_loop))
    assert said in driven.invalid
    assert bool(driven.invalid) == bool(said)
    assert driven.client_cpu == pytest.approx(share)


def readings(run: Run) -> tuple[Reading, ...]:
    first = Reading(at_ns=run.start_ns)
    return first, *(Reading(at_ns=one.upto_ns, area=one.area) for one in run.chunks)


def little(rate: float, seconds: float, workers: int = 1) -> Driven:
    """Load a server of a thousand requests a second a worker."""
    server = Workers(workers, exponential(MS, 1))
    plan = Gamma(rate, seed=2)
    run = send(
        job(schedule=plan, slots=10**5), VirtualClient(Clock(), server.done), seconds=seconds
    )
    inside = run.records.between(0, run.start_ns + int(seconds * SECOND))
    heard = Course(UntilEnd(), WarmUp(requests=100), run.start_ns)
    heard.add(inside, 0)
    return outcome(heard, readings(run), start_ns=run.start_ns)


@pytest.mark.parametrize(("rate", "workers"), [(300, 1), (800, 1), (1500, 2), (3000, 4)])
def test_littles_law_holds_on_a_run_that_is_steady(rate: float, workers: int) -> None:
    driven = little(rate, 10, workers)
    assert driven.little == pytest.approx(1, abs=0.03)
    assert not driven.flags or not any(flag.startswith("little") for flag in driven.flags)


def test_a_queue_that_grows_shows_in_littles_law() -> None:
    driven = little(2000, 4)
    assert driven.little < 0.9
    assert any(flag.startswith("little: ") for flag in driven.flags)


def test_one_burst_of_answers_after_a_long_wait_is_no_rate() -> None:
    at = START + 9 * SECOND + np.arange(16) * MS // 2
    burst = records(16, latency_ms=9000, last=at, began=START, planned=START)
    heard = Course(PrecisionRule(Precision(max_seconds=4)), WarmUp(requests=8), START)
    heard.add(burst, int(at[-1]))
    heard.add(Records.none(), int(at[-1]) + 5 * SECOND)
    assert heard.verdict is Verdict.GIVE_UP
    upto = int(at[-1]) + 5 * SECOND
    seen = (Reading(at_ns=START), Reading(at_ns=upto, area=32 * (upto - START)))
    with pytest.raises(
        LoadError, match=r"requests that count ended within 0.004 s, and took 9.01 s"
    ):
        outcome(heard, seen)
    assert outcome(heard).requests > 0, "who does not know what was in flight cannot tell"


def test_requests_that_were_dropped_are_flagged() -> None:
    heard, _ = course(records(400), windows(), WarmUp(requests=20, seconds=0.5))
    driven = outcome(heard, (Reading(dropped=3),))
    assert driven.dropped == 3
    assert any(flag.startswith("dropped: 3 ") for flag in driven.flags)
