"""Searches replayed over a surface: what they are answered, what it costs, how they are judged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from support.surfaces import LAUNCH_SECONDS, recorded
from support.world import World

from analyzer.errors import UsageError
from analyzer.ranking.goal import Goal, parse_goal
from analyzer.record.row import Phase, Row, Trial
from analyzer.space import CONCURRENCY, INSTANCE_COUNT, MAX_BATCH_SIZE, QUEUE_DELAY, Candidate
from analyzer.surface.grid import DEFAULT
from analyzer.surface.judge import Judge
from analyzer.surface.replay import ReplayBench, Search, default_of, replay
from analyzer.surface.stored import Surface

NOISY = World(noise=0.1, fixed_ms=4, row_ms=0.5)


@pytest.fixture(scope="module")
def surface(tmp_path_factory: pytest.TempPathFactory) -> Surface:
    return recorded(NOISY, tmp_path_factory.mktemp("surface") / "noisy.jsonl")


def at(instances: int, largest: int, load: int, delay: int = 0) -> Candidate:
    return Candidate.of(**{
        INSTANCE_COUNT: instances, MAX_BATCH_SIZE: largest, QUEUE_DELAY: delay, CONCURRENCY: load,
    })  # fmt: skip


def asked(surface: Surface, seed: int, candidates: Iterable[Candidate]) -> list[Row]:
    bench = ReplayBench(surface, seed)
    return [bench.measure(Trial(candidate=each))[0] for each in candidates]


def test_an_answer_is_one_that_was_recorded_and_the_seed_says_which(surface: Surface) -> None:
    point = at(2, 8, 16)
    recorded_rates = {row.metrics["perf_throughput"] for row in surface.rows[point].values()}
    rates = [asked(surface, seed, [point])[0].metrics["perf_throughput"] for seed in range(30)]
    assert set(rates) == recorded_rates
    assert rates == [
        asked(surface, seed, [point])[0].metrics["perf_throughput"] for seed in range(30)
    ]


def test_loads_of_one_launch_come_from_one_repetition(surface: Surface) -> None:
    for seed in range(10):
        bench = ReplayBench(surface, seed)
        came = [bench.measure(Trial(candidate=at(1, 4, load)))[1] for load in (1, 4, 16)]
        assert len(set(came)) == 1


def test_a_launch_costs_its_seconds_and_another_load_does_not(surface: Surface) -> None:
    rows = asked(surface, 0, [at(1, 4, 1), at(1, 4, 16), at(2, 4, 16), at(1, 4, 4)])
    assert [row.launch_seconds for row in rows] == [
        LAUNCH_SECONDS,
        0.0,
        LAUNCH_SECONDS,
        LAUNCH_SECONDS,
    ]
    assert [row.seconds for row in rows] == [pytest.approx(1 + row.launch_seconds) for row in rows]
    bench = ReplayBench(surface, 0)
    verified = [
        bench.measure(Trial(candidate=at(1, 4, 1), phase=Phase.VERIFY, repetition=turn))[0]
        for turn in range(2)
    ]
    assert all(row.launch_seconds == LAUNCH_SECONDS for row in verified)


def test_what_means_the_same_is_answered_alike_and_what_is_unknown_fails(surface: Surface) -> None:
    one, other = asked(surface, 0, [at(1, 1, 4, delay=0), at(1, 1, 4, delay=-1)])
    assert one.metrics == other.metrics
    assert one.trial.candidate == at(1, 1, 4, delay=0)
    (unknown,) = asked(surface, 0, [at(3, 1, 4)])
    assert unknown.failure is not None
    assert "not recorded" in unknown.failure.message


@pytest.mark.parametrize("strategy", ["quick", "brute", "random"])
def test_a_search_runs_as_in_a_profile_and_alike_each_time(surface: Surface, strategy: str) -> None:
    search = Search(strategy=strategy, max_trials=12)
    one, other = replay(surface, search, 3), replay(surface, search, 3)
    assert one.rows == other.rows
    assert 3 <= len(one.rows) <= 12
    assert [row.variant for row in one.rows[:2]] == ["m_config_default"] * 2
    candidates = [row.trial.candidate for row in one.rows]
    assert len(set(candidates)) == len(candidates)


def test_a_whole_campaign_goes_on_to_its_proof(surface: Surface) -> None:
    whole = replay(surface, Search(strategy="quick", whole=True), 0)
    assert whole.of(Phase.VERIFY)
    assert replay(surface, Search(strategy="quick"), 0).rows == whole.of(Phase.SEARCH)


def test_who_measures_everything_without_noise_finds_all(tmp_path: Path) -> None:
    silent = recorded(World(fixed_ms=4, row_ms=0.5), tmp_path / "silent.jsonl")
    for goal in (Goal(), parse_goal(latency_budget=30.0), parse_goal(["perf_latency_p99"])):
        judge = Judge(silent, goal, default_of(silent))
        everything = [point for points in map(silent.grid.points, silent.grid.settings)
                      for point in points]  # fmt: skip
        rows = asked(silent, 0, everything)
        verdict = judge.judge(rows, [0] * len(rows))
        assert verdict.reached(1.0)
        assert verdict.held_out == pytest.approx(verdict.found)
    first = Judge(silent, Goal(), default_of(silent)).judge(rows[:1], [0])
    assert 0.0 < first.found < 1.0


class Flat(World):
    """A world where all points are equal, but for their luck."""

    def truth(self, candidate: Candidate) -> dict[str, float]:  # noqa: ARG002 - all are equal
        return {
            "perf_throughput": 100.0, "perf_latency_avg": 10.0, "perf_latency_p99": 20.0,
            "cpu_used_ram": 500.0,
        }  # fmt: skip


def test_the_luck_of_the_best_makes_others_look_worse_by_means_less_by_estimates_not_held_out(
    tmp_path: Path,
) -> None:
    means, found, held_out = [], [], []
    for number in range(4):
        flat = recorded(Flat(noise=0.05, seed=number), tmp_path / f"{number}.jsonl")
        judge, bench = Judge(flat, Goal(), default_of(flat)), ReplayBench(flat, number)
        rates = {point: each["perf_throughput"] for point, each in flat.truths.items()}
        for point in flat.rows:
            means.append(rates[point] / max(rates.values()) - 1)
            # Nobody chose it, so it has no luck of its own on average.
            row, repetition = bench.measure(Trial(candidate=point))
            verdict = judge.judge([replace(row, number=0)], [repetition])
            found.append(verdict.found - 1)
            held_out.append(verdict.held_out - 1)
    assert sum(means) / len(means) < -0.04
    assert 0.6 * sum(means) < sum(found) < 0
    assert abs(sum(held_out) / len(held_out)) < 0.02


def test_what_breaks_the_constraint_in_truth_is_told(surface: Surface) -> None:
    limit = sorted(each["perf_latency_p99"] for each in surface.truths.values())[10]
    judge = Judge(surface, parse_goal(latency_budget=limit), default_of(surface))
    slow = max(surface.truths, key=lambda point: surface.truths[point]["perf_latency_p99"])
    verdict = judge.judge(asked(surface, 0, [slow]), [0])
    assert verdict.violation > 0
    assert not verdict.reached(0.0)
    assert verdict.reached(0.0, tolerance=verdict.violation)


def test_where_nothing_keeps_the_constraint_there_is_nothing_to_judge(surface: Surface) -> None:
    judge = Judge(surface, parse_goal(latency_budget=0.001), default_of(surface))
    assert judge.best is None
    with pytest.raises(ValueError, match="no point"):
        judge.judge([], [])


def test_a_surface_without_its_default_is_not_searched(surface: Surface) -> None:
    rows = {point: taken for point, taken in surface.rows.items() if len(point.items) > 1}
    with pytest.raises(UsageError, match="default configuration was not recorded"):
        default_of(replace(surface, rows=rows))


@pytest.mark.parametrize("strategy", ["quick", "brute", "random"])
def test_what_was_not_recorded_costs_nothing_and_is_not_found(
    surface: Surface, strategy: str
) -> None:
    few = {point: taken for number, (point, taken) in enumerate(surface.rows.items())
           if number % 3 == 0 or point in surface.grid.points(DEFAULT)}  # fmt: skip
    partial = replace(surface, rows=few)
    done = replay(partial, Search(strategy=strategy, max_trials=15), 0)
    assert all(row.failure is None for row in done.rows)
    assert {row.trial.candidate for row in done.rows} <= few.keys()
    judge = Judge(partial, Goal(), default_of(partial))
    assert judge.judge(done.rows, done.repetitions).chosen in few


def test_what_is_measured_again_is_launched_anew_and_another_repetition(surface: Surface) -> None:
    point = at(2, 8, 16)
    for seed in range(8):
        bench = ReplayBench(surface, seed)
        taken = [
            bench.measure(Trial(candidate=point, repetition=each, fresh=each > 0))
            for each in range(3)
        ]
        assert {number for _, number in taken} == {0, 1, 2}
        assert all(row.launch_seconds > 0 for row, _ in taken)


def test_auto_measures_again_who_may_be_the_best_and_ranks_by_means(surface: Surface) -> None:
    again = [
        [row for row in replay(surface, Search(strategy="auto", max_trials=20), seed).rows
         if row.trial.phase is Phase.SEARCH and row.trial.repetition]
        for seed in range(4)
    ]  # fmt: skip
    assert any(again)
    for rows in again:
        whys = [row.trial.why for row in rows]
        assert all(why is not None and "not told from the best" in why.text for why in whys)
        assert all(row.trial.repetition in {1, 2} for row in rows)
