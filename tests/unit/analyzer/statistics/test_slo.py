"""The search for a rate, in virtual time, against a queue whose answer is known."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from analyzer.statistics.slo import Goal, Outcome, Probe, Progress, RateSearch, find_rate
from benchmarks.streams import single_server

SERVICE = 0.001
MS = 1_000_000
OnChunk = Callable[[int, int, Sequence[float]], Progress]


def simulated(limit_ns: int, most: int) -> Callable[[float, int, OnChunk], Outcome]:
    """Measure an M/M/1 queue that is empty at first, and tell of it by chunks."""

    def measure(rate: float, seed: int, on_chunk: OnChunk) -> Outcome:
        dice = np.random.default_rng(seed)
        arrivals = np.cumsum(dice.exponential(1 / rate, most))
        done, latency = single_server(arrivals, dice.exponential(SERVICE, most), 0.0)
        late = np.cumsum(latency * 1e9 > limit_ns)
        for n in np.unique(np.geomspace(200, most, 120).astype(int)):
            moments = np.linspace(0, done[n - 1], 400)
            begun, ended = (np.searchsorted(each, moments, "right") for each in (arrivals, done))
            told = on_chunk(int(n), int(late[n - 1]), begun - ended)
            if told != "go on":
                return told
        return "inconclusive"

    return measure


def test_the_rate_of_a_queue_is_found_confirmed_and_not_overstated() -> None:
    truth = 0.5 / SERVICE
    limit_ns = int(1e9 * math.log(100) / (1 / SERVICE - truth))
    goal = Goal(limit_ns=limit_ns, precision=0.02, most_requests=100_000, confirm_requests=20_000)
    for seed in (2,):
        found = find_rate(
            RateSearch(goal, start_rate=0.6 / SERVICE, seed=1000 * seed),
            simulated(limit_ns, goal.most_requests),
        )
        assert found.confirmed
        # So few requests tell 2 % in rate apart only just: what is not certain counts as too much.
        assert 0.9 * truth < found.rate < 1.01 * truth
        assert found.rate < found.bracket[1] <= 1.03 * found.rate
        assert found.probes[-1].purpose == "confirm"


def test_an_overloaded_queue_is_given_up_early() -> None:
    goal = Goal(limit_ns=50 * MS)
    search = RateSearch(goal, start_rate=1.5 / SERVICE)
    probe = search.ask()
    assert probe is not None
    assert simulated(goal.limit_ns, 20_000)(probe.rate, 0, search.progress) == "fail"
    search.tell(probe.rate, "fail")
    assert search.result().probes[0].requests < 1000


def known(search: RateSearch, holding: float) -> list[Probe]:
    """Answer by a sharp limit."""
    probes = []
    while (probe := search.ask()) is not None:
        assert search.ask() == probe
        probes.append(probe)
        search.tell(probe.rate, "pass" if probe.rate <= holding else "fail")
    return probes


@pytest.mark.parametrize("holding", [3.0, 99.0, 100.0, 5000.0])
def test_a_sharp_limit_is_bracketed_bisected_and_confirmed(holding: float) -> None:
    search = RateSearch(Goal(limit_ns=MS, precision=0.01), start_rate=100)
    probes, result = known(search, holding), search.result()
    assert result.confirmed
    assert result.rate is not None
    assert result.rate <= holding < result.bracket[1] <= 1.01 * result.rate
    assert [each.purpose for each in probes if each.purpose == "confirm"] == ["confirm"]
    assert len({each.seed for each in probes}) == len(probes) < 40
    assert result.note == ""


def test_a_confirmation_that_fails_sends_the_search_lower() -> None:
    search = RateSearch(Goal(limit_ns=MS), start_rate=100)
    refused: list[float] = []
    while (probe := search.ask()) is not None:
        lucky = probe.rate <= 110 if probe.purpose != "confirm" else probe.rate <= 100
        refused += [probe.rate] if probe.purpose == "confirm" and not lucky else []
        search.tell(probe.rate, "pass" if lucky else "fail")
    result = search.result()
    assert refused
    assert result.confirmed
    assert result.rate is not None
    assert result.rate <= 100 < min(refused)


def test_where_no_rate_holds_it_says_so() -> None:
    search = RateSearch(Goal(limit_ns=5 * MS, least_rate=1), start_rate=100)
    known(search, 0)
    result = search.result()
    assert (result.rate, result.confirmed) == (None, False)
    assert "no rate held p99 <= 5 ms, down to 1." in result.note


def test_a_rate_that_may_not_be_passed_is_the_answer_with_a_note() -> None:
    search = RateSearch(Goal(limit_ns=MS, most_rate=150), start_rate=100)
    known(search, 1e9)
    result = search.result()
    assert (result.rate, result.confirmed, result.bracket[1]) == (150, True, math.inf)
    assert "highest rate that was allowed" in result.note


def test_what_is_not_decided_counts_as_too_much() -> None:
    goal = Goal(limit_ns=MS, most_requests=3000)
    search = RateSearch(goal, start_rate=100)
    assert search.ask() is not None
    assert [search.progress(n, n // 100, ()) for n in (1000, 2000)] == ["go on", "go on"]
    assert search.progress(3000, 30, ()) == "fail"
    search.tell(100, "fail")
    assert search.result().probes[0].outcome == "inconclusive"
    assert search.ask() == Probe(rate=80, seed=1, purpose="bracket")


def test_few_clean_requests_pass_and_a_long_memory_asks_for_more() -> None:
    search = RateSearch(Goal(limit_ns=MS), start_rate=100)
    search.ask()
    assert search.progress(458, 0, ()) == "go on"
    assert search.progress(600, 0, np.random.default_rng(0).random(600)) == "pass"
    waves = np.repeat(np.random.default_rng(0).random(30), 20)
    assert search.progress(900, 0, waves) == "go on"


def test_a_measurement_that_is_begun_anew_is_judged_anew() -> None:
    search = RateSearch(Goal(limit_ns=MS), start_rate=100)
    search.ask()
    assert search.progress(400, 3, ()) == "go on"
    assert search.progress(300, 0, ()) == "go on"
    assert search.progress(460, 0, ()) == "pass"


def test_a_confirmation_passes_only_when_it_was_long() -> None:
    search = RateSearch(Goal(limit_ns=MS, most_rate=100, confirm_requests=5000), start_rate=100)
    search.ask()
    search.tell(100, "pass")
    probe = search.ask()
    assert probe is not None
    assert probe.purpose == "confirm"
    assert search.progress(4000, 0, ()) == "go on"
    assert search.progress(5000, 0, ()) == "pass"


@pytest.mark.parametrize(("late", "outcome"), [(0, "pass"), (35, "inconclusive")])
def test_a_confirmation_that_ran_out_of_time_will_do_if_it_holds(late: int, outcome: str) -> None:
    search = RateSearch(Goal(limit_ns=MS, most_rate=100, confirm_requests=5000), start_rate=100)
    search.ask()
    search.tell(100, "pass")
    search.ask()
    assert search.progress(4000, late, ()) == "go on"
    search.tell(100, "inconclusive")
    assert search.result().probes[-1].outcome == outcome
    assert search.result().confirmed == (outcome == "pass")


def test_what_was_not_asked_for_is_refused() -> None:
    with pytest.raises(ValueError, match="starts at one above 0, not at 0"):
        RateSearch(Goal(limit_ns=MS), start_rate=0)
    search = RateSearch(Goal(limit_ns=MS), start_rate=100)
    with pytest.raises(ValueError, match="nothing was asked"):
        search.progress(1, 0, ())
    search.ask()
    with pytest.raises(ValueError, match="nobody asked for a rate of 99"):
        search.tell(99, "pass")
