"""perf_analyzer's rule, against a naive reading of it over whole streams."""

import itertools

import numpy as np
import pytest

from analyzer.perf.options import Measuring, Rule
from analyzer.perf.windows import CountRule, WindowsRule
from analyzer.statistics.stopping import Verdict

MS = 1_000_000
SECOND = 1000 * MS


def rule(**more: object) -> WindowsRule:
    kept = {"rule": Rule.TIME_WINDOWS, "window_ms": 100, "max_trials": 6}
    flags = {"percentile": None, "threshold_ns": 0.0, "sync": True}
    measuring = {name: more.pop(name) for name in list(more) if name in Measuring.__slots__}
    return WindowsRule(Measuring(**{**kept, **measuring}), **{**flags, **more})  # type: ignore[arg-type]


def play(judge: WindowsRule, done: list[int], latency: list[int]) -> Verdict:
    """Tell the rule every 10 ms what finished since, as the driver does."""
    ends, took = np.array(done, np.int64), np.array(latency, np.int64)
    for now in range(SECOND, int(ends.max()) + SECOND, 10 * MS):
        inside = (ends > now - 10 * MS) & (ends <= now)
        verdict = judge.add(ends[inside], took[inside], now)
        if verdict is not Verdict.GO_ON:
            return verdict
    return Verdict.GO_ON


def steady(seconds: float, each_ms: float) -> list[int]:

    return [SECOND + int(k * each_ms * MS) for k in range(1, int(seconds * 1000 / each_ms))]


def test_three_windows_that_agree_are_stable_and_each_is_a_fifth_longer_than_asked() -> None:
    judge = rule()
    done = steady(2, 1)
    assert play(judge, done, [MS] * len(done)) is Verdict.STEADY
    assert len(judge.windows) == 3
    assert {window.end_ns - window.start_ns for window in judge.windows} == {120 * MS}
    assert judge.windows[0].requests == pytest.approx(120, abs=1)
    assert judge.windows[0].rate == pytest.approx(1000, rel=0.01)
    assert judge.span_ns == (judge.windows[0].start_ns, judge.windows[2].end_ns)
    summary = judge.summary()
    assert summary.requests == sum(window.requests for window in judge.merged)


def test_windows_lie_back_to_back_and_the_last_three_count() -> None:
    judge = rule()
    done = steady(3, 1)
    latency = [3 * MS if at < SECOND + 200 * MS else MS for at in done]
    assert play(judge, done, latency) is Verdict.STEADY
    windows = judge.windows
    assert len(windows) == 5
    assert all(a.end_ns == b.start_ns for a, b in itertools.pairwise(windows))
    assert judge.merged == windows[-3:]
    assert judge.summary().latency_avg.value == MS


def test_it_gives_up_after_so_many_trials() -> None:
    judge = rule()
    done = steady(3, 1)
    latency = [int((1 + (at // (120 * MS)) % 2) * MS) for at in done]
    assert play(judge, done, latency) is Verdict.GIVE_UP
    assert len(judge.windows) == 6
    assert judge.latency_unsteady


def test_where_sending_does_not_wait_an_unstable_latency_is_excused() -> None:
    judge = rule(sync=False)
    done = steady(3, 1)
    latency = [int((1 + (at // (120 * MS)) % 2) * MS) for at in done]
    assert play(judge, done, latency) is Verdict.STEADY
    assert len(judge.windows) == 6
    assert judge.latency_unsteady


def test_a_latency_that_reaches_the_threshold_ends_it_after_three_windows() -> None:
    judge = rule(threshold_ns=1.5 * MS)
    done = steady(3, 1)
    latency = [int((1 + (at // (120 * MS)) % 2) * MS) for at in done]
    assert play(judge, done, latency) is Verdict.GIVE_UP
    assert len(judge.windows) == 3
    assert judge.over_threshold


def test_a_window_in_which_nothing_ended_agrees_with_nothing() -> None:
    judge = rule()
    done = [at for at in steady(3, 1) if not 115 * MS < at - SECOND < 245 * MS]
    assert play(judge, done, [MS] * len(done)) is Verdict.STEADY
    assert [window.requests > 0 for window in judge.windows] == [True, False, True, True, True]


def test_the_percentile_that_counts_is_by_nearest_rank() -> None:
    judge = rule(percentile=90)
    done = steady(1, 10)
    latency = [(1 + k % 10) * MS for k in range(len(done))]
    play(judge, done, latency)
    window = judge.windows[0]
    took = sorted(latency[: window.requests])
    assert window.latency_ns == took[int(0.9 * (len(took) - 1) + 0.5)]
    assert 90.0 in judge.summary().percentiles


def test_a_count_window_is_whole_seconds_until_there_are_enough() -> None:
    judge = rule(rule=Rule.COUNT_WINDOWS, window_requests=15)
    done = steady(8, 100)
    assert play(judge, done, [MS] * len(done)) is Verdict.STEADY
    assert {window.end_ns - window.start_ns for window in judge.windows} == {2 * SECOND}
    assert all(window.requests >= 15 for window in judge.windows)


def test_a_rule_of_a_count_never_ends_and_counts_all() -> None:
    judge = CountRule(percentile=85, inferences=4)
    done = np.array([SECOND, 2 * SECOND], np.int64)
    assert judge.add(done, np.array([MS, MS], np.int64), 3 * SECOND) is Verdict.GO_ON
    assert judge.summary().requests == 2
    assert judge.summary().throughput.value == 4
    assert 85.0 in judge.summary().percentiles
