"""Which requests of a loop that is begun again and again count, and what its interval is worth."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from analyzer.statistics.batch_means import LEAST_PARTS, spread
from analyzer.statistics.distributions import at_least
from analyzer.statistics.episodes import Episodes
from analyzer.statistics.stopping import Precision, PrecisionRule, Verdict, episodes_of
from analyzer.statistics.summary import summarise
from benchmarks.phases import Locked, measured, truth

MS = 1_000_000
SECOND = 1000 * MS
RUNS = 12


def warm(slots: int = 4, latency_ms: float = 10, most: float = 6.0) -> Episodes:
    found = Episodes(slots, 0.4, most)
    found.warm(np.full(20, int(latency_ms * MS)), SECOND)
    return found


def stream(at_ns: int, until_ns: int, latency_ms: float = 10) -> tuple[np.ndarray, np.ndarray]:
    """Answers of one client after another, from a beginning on."""
    done = np.arange(at_ns + int(latency_ms * MS), until_ns, int(latency_ms * MS))
    return done, np.full(len(done), int(latency_ms * MS))


def test_an_episode_counts_from_when_it_has_settled_until_it_pauses() -> None:
    episodes, done, latency = warm(), [], []
    for number in range(3):
        at = (2 + number) * SECOND
        episodes.begin(at)
        assert episodes.pause_ns is not None
        later = int(10 * MS * (number * (5**0.5 - 1) / 2 % 1))
        assert episodes.pause_ns == pytest.approx(at + 400 * MS + later, abs=1)
        ends, took = stream(at, episodes.pause_ns + 40 * MS)
        own = episodes.own(ends, took)
        assert np.array_equal(own, ends <= episodes.pause_ns)
        done.append(ends[own])
        latency.append(took[own])
    spans = episodes.spans(np.concatenate(done), np.concatenate(latency))
    assert len(spans) == 3
    for (start, end), at in zip(spans, (2 * SECOND, 3 * SECOND, 4 * SECOND), strict=True):
        # All began within one latency, and two more are left for a pattern to come about.
        assert 30 * MS <= start - at <= 40 * MS
        assert end - start == 370 * MS


def test_what_was_asked_before_an_episode_or_is_answered_after_it_is_none_of_its_own() -> None:
    episodes = warm()
    assert not episodes.own(np.array([SECOND]), np.array([MS])).any()
    episodes.begin(2 * SECOND)
    ends = np.array([2 * SECOND + 5 * MS, 2 * SECOND + 11 * MS, 3 * SECOND])
    assert episodes.own(ends, np.full(3, 10 * MS)).tolist() == [False, True, False]


def test_an_episode_that_was_cut_off_counts_only_where_it_is_the_only_one() -> None:
    episodes = warm()
    episodes.begin(2 * SECOND)
    done, took = stream(2 * SECOND, 2 * SECOND + 200 * MS)
    episodes.own(done, took)
    assert episodes.spans(done, took) == ((2 * SECOND + 30 * MS, int(done[-1])),)
    rest, more = stream(2 * SECOND + 200 * MS, 2 * SECOND + 450 * MS)
    own = episodes.own(rest, more)
    first = np.concatenate((done, rest[own]))
    episodes.begin(3 * SECOND)
    done, took = stream(3 * SECOND, 3 * SECOND + 200 * MS)
    episodes.own(done, took)
    both = np.concatenate((first, done))
    assert len(episodes.spans(both, np.full(len(both), 10 * MS))) == 1


@pytest.mark.parametrize(
    ("latency_ms", "most", "length_ms"),
    [(1, 6, 400), (40, 6, 640), (80, 6, 1000), (150, 6, 1200), (500, 30, 5000), (100, 60, 1600)],
)
def test_an_episode_is_long_beside_a_latency_and_short_beside_the_measurement(
    latency_ms: float, most: float, length_ms: float
) -> None:
    episodes = warm(latency_ms=latency_ms, most=most)
    episodes.begin(0)
    assert episodes.pause_ns == length_ms * MS


def test_a_server_too_slow_for_four_episodes_is_measured_in_one_go_and_it_is_said() -> None:
    episodes = warm(latency_ms=200)
    assert not episodes.on
    assert episodes.pause_ns is None
    assert "began only once" in episodes.remark
    assert "measure for 7 s" in episodes.remark
    assert not warm(latency_ms=180).remark
    rule = PrecisionRule(Precision(throughput=0.5, latency=0.5), episodes=episodes)
    ends, took = stream(0, 3 * SECOND, 20)
    rule.add(ends, took)
    assert rule.spans_ns == ()
    assert rule.summary().requests > 0


def test_of_a_server_that_answers_all_at_once_and_seldom_no_batch_is_cut_in_two() -> None:
    """Sixteen answers together every four seconds are four a second, however many one looks at."""
    precision = Precision(throughput=0.05, percentile=None, min_seconds=2.0, max_seconds=3.0)
    rule = PrecisionRule(precision, episodes=episodes_of(precision, 16))
    assert rule.episodes is not None
    rule.episodes.warm(np.full(32, 4 * SECOND), 0)
    assert not rule.episodes.on
    none = np.empty(0, np.int64)
    assert rule.add(np.array([0]), np.array([4 * SECOND]), 0) is Verdict.GO_ON
    # Nobody has been answered since, so that the time is over does not end it.
    assert rule.add(none, none, int(3.5 * SECOND)) is Verdict.GO_ON
    burst = 4 * SECOND + np.arange(16) * MS
    assert rule.add(burst, np.full(16, 4 * SECOND), burst[-1]) is Verdict.GIVE_UP
    assert rule.dropped == 0
    assert rule.summary().throughput.value == pytest.approx(4, rel=0.01)
    silent = PrecisionRule(precision, episodes=warm(16, 4000))
    silent.add(none, none, 0)
    assert silent.add(none, none, 11 * SECOND) is Verdict.GO_ON
    assert silent.add(none, none, 12 * SECOND) is Verdict.GIVE_UP


def test_one_client_has_nobody_to_keep_in_step_with() -> None:
    assert episodes_of(Precision(), 1) is None
    assert episodes_of(Precision(), 0) is None
    assert episodes_of(Precision(), 2) is not None


def test_beginnings_of_a_server_that_was_not_warm_yet_are_left_out() -> None:
    def counted(*latencies_ms: int) -> int:
        episodes, done, latency = warm(), [], []
        for number, each in enumerate(latencies_ms):
            episodes.begin(number * 10 * SECOND)
            assert episodes.pause_ns is not None
            ends, took = stream(number * 10 * SECOND, episodes.pause_ns + 40 * MS, each)
            own = episodes.own(ends, took)
            done.append(ends[own])
            latency.append(took[own])
        return len(episodes.spans(np.concatenate(done), np.concatenate(latency)))

    assert counted(30, 20, 10, 10, 11, 10, 10) == 5
    assert counted(10, 12, 10, 11, 10, 12, 10) == 7
    # Of what goes down and down it cannot be said when it is warm.
    assert counted(30, 25, 20, 15, 12, 10) == 6


def test_parts_tell_by_their_sums_how_sure_a_mean_is() -> None:
    """Latencies that stay as they began: what scatters is where they began, and nothing else."""
    dice, held, naive = np.random.default_rng(0), 0, 0
    for _ in range(200):
        levels = 10 + dice.normal(size=8)
        values = np.concatenate([each + 0.1 * dice.normal(size=200) for each in levels])
        for found, parts in ((spread(values, range(0, 1600, 200)), 1), (spread(values[:200]), 0)):
            mean = values.mean() if parts else values[:200].mean()
            down, up = found.reach(0.95)
            inside = mean - down <= 10 <= mean + up
            held, naive = held + (inside and parts), naive + (inside and not parts)
    assert 0.9 < held / 200 < 0.99
    assert naive / 200 < 0.2
    assert spread(np.arange(30.0), range(0, 30, 10)).batches > LEAST_PARTS


def test_time_in_which_nothing_ends_counts_where_a_part_has_an_end() -> None:
    done = np.arange(1, 101) * MS
    spans = [(0, 25 * MS), (50 * MS, 60 * MS), (99 * MS + 1, 200 * MS)]
    found = summarise(done, np.full(100, MS), spans_ns=spans)
    assert found.requests == 25 + 10 + 1
    assert found.seconds == pytest.approx(0.025 + 0.010 + 0.100999999)
    assert found.throughput.value == pytest.approx(found.requests / found.seconds)


def test_an_interval_holds_for_other_runs_whose_clients_fall_into_another_step() -> None:
    """The engine's own batcher: of one run the interval is right only for that run."""
    assert at_least(8, RUNS, 0.93) > 0.999
    loop, precision = (
        Locked(clients=6),
        Precision(throughput=0.2, percentile=None, latency=0.2, min_seconds=1.0, max_seconds=2.5),
    )
    true = truth(loop, np.random.default_rng(0), 80, 0.3)
    held = {False: 0, True: 0}
    for run in range(RUNS):
        for episodes in held:
            found, verdict = measured(
                loop, np.random.default_rng(run), precision, episodes=episodes
            )
            held[episodes] += found.latency_avg.holds(true.latency_avg.value)
            assert verdict is not Verdict.GO_ON
    assert held[True] >= 8
    assert held[False] <= 5


def test_four_beginnings_are_the_least() -> None:
    precise = Precision(throughput=0.9, percentile=None, latency=0.9, min_seconds=0.2)
    rule = PrecisionRule(precise, episodes=warm())
    assert rule.episodes is not None
    verdict, starts = Verdict.GO_ON, [SECOND + number * 440 * MS for number in range(9)]
    for at, after in pairwise(starts):
        rule.episodes.begin(at)
        ends, took = stream(at, at + 430 * MS)
        assert rule.summary().parts < LEAST_PARTS + 3
        verdict = rule.add(ends, took, after)
        if verdict is Verdict.STEADY:
            break
    assert verdict is Verdict.STEADY
    assert rule.summary().parts >= LEAST_PARTS + 2
