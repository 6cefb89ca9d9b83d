"""The laws of schedules: plans in order, at the rate asked for, shared without loss, repeatable."""

from itertools import islice, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.errors import LoadError
from analyzer.load.arrivals import (
    Climb,
    Constant,
    Fixed,
    Gamma,
    Intervals,
    Ramp,
    Schedule,
    Staircase,
    schedule_of,
    share,
    slots_of,
)
from analyzer.record.row import LoadSpec

SECOND = 10**9
rates = st.floats(0.5, 50_000)
schedules: st.SearchStrategy[Schedule] = st.one_of(
    st.builds(Constant, rates),
    st.builds(Gamma, rates, st.floats(0.3, 3), st.integers(0, 99)),
    st.builds(Intervals, st.lists(st.integers(1, SECOND), min_size=1, max_size=9).map(tuple)),
    st.builds(Fixed, st.lists(st.integers(0, SECOND), max_size=50).map(tuple)),
    st.builds(Ramp, rates, rates, st.floats(0.1, 30)),
)


@given(schedules)
def test_a_plan_is_in_order_and_the_same_each_time(schedule: Schedule) -> None:
    first = list(islice(schedule.offsets(), 100))
    assert first == list(islice(schedule.offsets(), 100))
    assert all(early <= late for early, late in pairwise([0, *first]))


@given(schedules, st.integers(1, 5))
def test_senders_together_send_what_one_alone_would(schedule: Schedule, senders: int) -> None:
    whole = list(islice(schedule.offsets(), 60))
    each = 60 // senders
    parts = [list(islice(share(schedule, index, senders), each)) for index in range(senders)]
    shared = sorted(due for part in parts for due in part)
    assert shared == whole[: len(shared)]


@given(rates)
def test_constant_distances_do_not_drift(rate: float) -> None:
    tenth = next(islice(Constant(rate).offsets(), 10_000, None))
    assert tenth == pytest.approx(10_000 * SECOND / rate, abs=1)


@pytest.mark.parametrize("cv", [0.5, 1.0, 2.0])
def test_gamma_intervals_have_the_rate_and_the_variation_asked_for(cv: float) -> None:
    gaps = np.diff(list(islice(Gamma(1000, cv, 7).offsets(), 50_000)))
    assert gaps.mean() == pytest.approx(SECOND / 1000, rel=0.04)
    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.04)


def test_poisson_intervals_are_exponential() -> None:
    """The share of intervals beyond k means is e to the minus k."""
    poisson = schedule_of(LoadSpec(request_rate=1000, distribution="poisson", seed=3))
    assert poisson is not None
    gaps = np.diff(list(islice(poisson.offsets(), 50_000))) / (SECOND / 1000)
    for means in (0.5, 1, 2, 3):
        assert np.mean(gaps > means) == pytest.approx(np.exp(-means), abs=0.01)


@given(st.floats(10, 1000), st.floats(10, 1000), st.floats(1, 5), st.integers(0, 3))
def test_a_ramp_sends_the_integral_of_its_rate_in_every_turn(
    low: float, high: float, seconds: float, turn: int
) -> None:
    wanted = (low + high) / 2 * seconds
    offsets = np.array(list(islice(Ramp(low, high, seconds).offsets(), int(wanted * (turn + 1)))))
    begun, middle = turn * seconds * SECOND, (turn + 0.5) * seconds * SECOND
    in_half = np.count_nonzero((offsets > begun) & (offsets <= middle))
    assert in_half == pytest.approx((low + (low + high) / 2) / 2 * seconds / 2, abs=2)


def test_recorded_intervals_are_looped_and_a_trace_is_not() -> None:
    assert list(islice(Intervals((1, 2)).offsets(), 5)) == [1, 3, 4, 6, 7]
    assert list(Fixed((5, 1)).offsets()) == [1, 5]


@given(st.integers(1, 9), st.integers(0, 9), st.integers(0, 3), st.integers(1, 5))
def test_a_staircase_goes_up_when_each_in_flight_was_answered_often_enough(
    start: int, more: int, step: int, period: int
) -> None:
    stairs = Staircase(start, start + more, step, period)
    climb = Climb(stairs, stream=False)
    for _ in range(period - 1):
        for slot in range(start):
            climb.ended(slot)
    # However often the others are answered, it goes up only with the last of them.
    for slot in (*range(start - 1), *range(start - 1)):
        climb.ended(slot)
        assert climb.in_flight == start
    climb.ended(start - 1)
    assert climb.in_flight == (min(start + step, start + more) if step else start)
    assert stairs.after(10**6) == stairs.most


def test_a_stream_that_ends_with_fewer_answers_does_not_hold_up_the_others() -> None:
    climb = Climb(Staircase(2, 4, 2, 3), stream=True)
    for _ in range(3):
        climb.answered(0)
    climb.ended(0)
    climb.answered(1)
    assert climb.in_flight == 2
    climb.ended(1)
    assert climb.in_flight == 4


@given(st.integers(0, 300), st.integers(1, 8))
def test_slots_are_shared_out_evenly_and_whole(concurrency: int, senders: int) -> None:
    shares = [slots_of(concurrency, index, senders) for index in range(senders)]
    assert sum(shares) == concurrency
    assert max(shares) - min(shares) <= 1


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"request_rate": -1.0}, "a request rate above 0"),
        ({"request_rate": 1.0, "distribution": "uniform"}, "there are: constant, poisson, gamma"),
        ({"request_rate": 1.0, "distribution_cv": 0.0}, "variation above 0"),
    ],
)
def test_a_schedule_that_cannot_be_is_said(changes: dict[str, float | str], text: str) -> None:
    with pytest.raises(LoadError, match=text):
        schedule_of(LoadSpec(**changes))  # type: ignore[arg-type]


def test_without_a_rate_the_loop_is_closed() -> None:
    assert schedule_of(LoadSpec(concurrency=4)) is None
