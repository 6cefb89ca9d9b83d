"""The laws of windows: when one ends, when there have been enough, and what then counts."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from analyzer.load.window import AGREEING, Steadiness, WindowSample, WindowsRule
from analyzer.statistics.stopping import Verdict


def sample(requests: int, latency_ns: float, seconds: float = 1.0) -> WindowSample:
    return WindowSample(
        seconds=seconds,
        requests=requests,
        failed=0,
        latency_avg_ns=latency_ns,
        latency_p99_ns=2 * latency_ns,
    )


samples = st.builds(
    sample,
    st.one_of(st.just(0), st.integers(90, 120)),
    st.floats(1e6, 1.3e6),
    st.floats(0.9, 1.1),
)
tolerances = st.floats(0.01, 0.3)


def run(seen: list[WindowSample], tolerance: float, most: int) -> tuple[Steadiness, list[Verdict]]:
    """Feed a measurement as its driver does: until it is told not to go on."""
    judge = Steadiness(tolerance=tolerance, max_windows=most)
    verdicts = []
    for window in seen:
        verdicts.append(judge.add(window))
        if verdicts[-1] is not Verdict.GO_ON:
            break
    return judge, verdicts


@given(st.lists(samples, min_size=1, max_size=20), tolerances, st.integers(1, 12))
def test_it_ends_and_not_before_it_must(
    seen: list[WindowSample], tolerance: float, most: int
) -> None:
    _, verdicts = run(seen, tolerance, most)
    assert len(verdicts) <= most
    assert all(verdict is Verdict.GO_ON for verdict in verdicts[:-1])
    if len(verdicts) == most:
        assert verdicts[-1] is not Verdict.GO_ON
    elif len(verdicts) == len(seen) and verdicts[-1] is Verdict.GO_ON:
        assert len(seen) < most


@given(st.lists(samples, min_size=1, max_size=20), tolerances, st.integers(1, 12))
def test_steady_means_that_the_last_three_agree_in_rate_and_latency(
    seen: list[WindowSample], tolerance: float, most: int
) -> None:
    judge, verdicts = run(seen, tolerance, most)
    last = seen[: len(verdicts)][-AGREEING:]
    rates = [window.requests / window.seconds for window in last]
    latencies = [window.latency_avg_ns for window in last]
    agree = (
        len(last) == AGREEING
        and min(rates) > 0
        and max(rates) <= (1 + tolerance) * min(rates)
        and max(latencies) <= (1 + tolerance) * min(latencies)
    )
    assert (verdicts[-1] is Verdict.STEADY) == agree == judge.steady


@given(st.lists(samples, min_size=1, max_size=20), tolerances, st.integers(1, 12))
def test_what_counts_is_there_and_is_three_windows_where_they_agree(
    seen: list[WindowSample], tolerance: float, most: int
) -> None:
    judge, verdicts = run(seen, tolerance, most)
    assert min(len(verdicts), AGREEING) <= judge.counted <= len(verdicts)
    if judge.steady:
        assert judge.counted == AGREEING
    elif len(verdicts) > 2 * AGREEING:
        # The first windows are left out: a transient is in them.
        assert judge.counted <= len(verdicts) - AGREEING + 1


@given(st.integers(1, 1000), st.floats(1e3, 1e9), tolerances)
def test_equal_windows_are_steady_after_three(
    requests: int, latency_ns: float, tolerance: float
) -> None:
    _, verdicts = run([sample(requests, latency_ns)] * 9, tolerance, 9)
    assert verdicts == [Verdict.GO_ON, Verdict.GO_ON, Verdict.STEADY]


@given(st.lists(samples, min_size=3, max_size=9))
def test_a_window_in_which_nothing_finished_agrees_with_nothing(seen: list[WindowSample]) -> None:
    judge = Steadiness(tolerance=1000, max_windows=99)
    for window in [*seen, sample(0, 0.0)]:
        judge.add(window)
    assert not judge.steady


gaps = st.lists(st.integers(1, 400), min_size=1, max_size=200)


def windows(
    gaps_ms: list[int], seconds: float, requests: int, cap: float, pieces: int
) -> tuple[WindowsRule, np.ndarray]:
    """Feed requests, one after another, with these gaps; in so many pieces."""
    done = np.cumsum(np.array(gaps_ms, np.int64)) * 1_000_000
    rule = WindowsRule(
        seconds=seconds, max_windows=99, tolerance=0.0, requests=requests, cap_seconds=cap * seconds
    )
    for part in np.array_split(done, pieces):
        rule.add(part, np.full(len(part), 5, np.int64))
    return rule, done


@given(gaps, st.floats(0.05, 2), st.integers(1, 9), st.floats(1, 6), st.integers(1, 9))
def test_windows_are_long_enough_full_enough_and_neither_too_long_nor_empty(
    gaps_ms: list[int], seconds: float, requests: int, cap: float, pieces: int
) -> None:
    rule, done = windows(gaps_ms, seconds, requests, cap, pieces)
    at = 1
    for sample in rule.samples:
        assert sample.requests >= 1
        end = at + sample.requests
        before = (done[end - 2] - done[at - 1]) / 1e9 if sample.requests > 1 else 0.0
        assert sample.seconds == (done[end - 1] - done[at - 1]) / 1e9
        full = sample.seconds >= seconds and sample.requests >= requests
        assert full or sample.seconds >= cap * seconds - 1e-9
        # It could not have ended a request earlier.
        assert before < max(seconds, 1e-9) or sample.requests - 1 < requests
        assert before < cap * seconds
        at = end


@given(gaps, st.floats(0.05, 2), st.integers(1, 9), st.integers(2, 9))
def test_how_the_requests_are_told_of_does_not_matter(
    gaps_ms: list[int], seconds: float, requests: int, pieces: int
) -> None:
    whole, _ = windows(gaps_ms, seconds, requests, 6, 1)
    parts, _ = windows(gaps_ms, seconds, requests, 6, pieces)
    assert whole.samples == parts.samples
    assert whole.spans == parts.spans


def test_a_window_ends_by_the_clock_where_nothing_more_finishes() -> None:
    rule = WindowsRule(seconds=1, max_windows=9, tolerance=0.1, requests=5)
    done = np.arange(1, 4, dtype=np.int64) * 100_000_000
    rule.add(done, done, 400_000_000)
    assert not rule.samples
    rule.add(done[:0], done[:0], 5_000_000_000)
    assert not rule.samples
    rule.add(done[:0], done[:0], 7_000_000_000)
    assert [sample.requests for sample in rule.samples] == [2]


def test_a_slow_model_is_given_up_in_time_with_three_windows() -> None:
    rule = WindowsRule(seconds=1, max_windows=4, tolerance=0.0, requests=10)
    done = np.cumsum(np.arange(1, 60, dtype=np.int64) * 500_000_000)
    verdict = rule.add(done, done)
    assert verdict is Verdict.GIVE_UP
    assert len(rule.samples) == 3
    assert rule.summary().requests == sum(sample.requests for sample in rule.samples)
