"""The laws of windows: when one ends, when there have been enough, and what then counts."""

from hypothesis import given
from hypothesis import strategies as st

from analyzer.load.arrivals import ClosedLoop
from analyzer.load.window import AGREEING, Steadiness, WindowEnd, WindowSample
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


@given(
    st.floats(0.01, 10),
    st.integers(1, 1000),
    st.floats(1, 20),
    st.floats(0, 300),
    st.integers(0, 2000),
)
def test_a_window_is_long_enough_full_enough_and_neither_too_long_nor_empty(
    seconds: float, requests: int, cap: float, elapsed: float, finished: int
) -> None:
    over = WindowEnd(seconds=seconds, requests=requests, cap_seconds=cap * seconds).over(
        elapsed, finished
    )
    if elapsed < seconds:
        assert not over
    elif finished >= requests or (finished and elapsed >= cap * seconds):
        assert over
    else:
        assert not over


@given(st.integers(1, 512), st.integers(0, 2**62), st.integers(0, 10**12))
def test_in_a_closed_loop_the_next_is_due_when_the_last_is_answered(
    concurrency: int, start: int, taken: int
) -> None:
    arrivals = ClosedLoop(concurrency)
    assert arrivals.slots == concurrency
    for slot in range(concurrency):
        assert arrivals.first(slot, start) == start
        assert arrivals.following(slot, start, start + taken) == start + taken
