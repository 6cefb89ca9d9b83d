"""Every strategy under the kit's laws; then what brute and quick each promise."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec

import pytest
from kits.strategy_kit import StrategyKit
from support.world import World, oracle, outcomes, random_world, run

from analyzer.ranking.goal import Goal, parse_goal
from analyzer.record.outcome import Outcome
from analyzer.space import (
    BATCH_SIZE,
    CONCURRENCY,
    INSTANCE_COUNT,
    MAX_BATCH_SIZE,
    QUEUE_DELAY,
    REQUEST_RATE,
    Axis,
    Candidate,
    Dimension,
    Space,
)
from analyzer.strategies import brute, climb, quick
from analyzer.strategy import Make, Problem, known


def available() -> list[object]:
    """Every strategy; one whose package is not here is skipped with the reason."""
    reason = "Optuna is not installed (pip install 'servetune[optuna]')"
    skipped = pytest.mark.skipif(find_spec("optuna") is None, reason=reason)
    return [pytest.param(name, marks=skipped) if name == "optuna" else name for name in known()]


@pytest.mark.parametrize("name", available())
class TestEveryStrategy(StrategyKit):
    pass


def asked(
    strategy: Make,
    space: Space,
    measure: Callable[[Candidate], Outcome],
    **options: object,
) -> list[Outcome]:
    return list(run(strategy(Problem(space=space, options=options)), measure))


def loads(outcomes_: list[Outcome]) -> list[object]:
    return [each.candidate.get(CONCURRENCY) for each in outcomes_]


LOADS = Dimension(CONCURRENCY, tuple(2**k for k in range(11)), Axis.LOAD)
BATCHES = Dimension(MAX_BATCH_SIZE, (1, 2, 4, 8))


def by_load(curve: Callable[[int], float | None]) -> Callable[[Candidate], Outcome]:
    """A world where only the load matters."""

    def measure(candidate: Candidate) -> Outcome:
        return Outcome(candidate, curve(int(candidate.get(CONCURRENCY) or 0)))

    return measure


class TestBrute:
    def test_the_load_doubles_until_four_tries_gain_five_percent_at_most(self) -> None:
        flat_from_8 = by_load(lambda load: min(load, 8) * 10.0)
        # 1 2 4 8 grew; 2..16 and 4..32 still hold a gain; 8..64 holds none.
        assert loads(asked(brute.make, Space((LOADS,)), flat_from_8)) == [1, 2, 4, 8, 16, 32, 64]

    def test_five_percent_is_no_gain_and_a_little_more_is_one(self) -> None:
        at_most = by_load(lambda load: 100.0 if load == 1 else 105.0)
        more = by_load(lambda load: 100.0 if load == 1 else 105.01)
        assert len(asked(brute.make, Space((LOADS,)), at_most)) == 4
        assert len(asked(brute.make, Space((LOADS,)), more)) == 5

    def test_less_is_better_counts_too(self) -> None:
        latency = by_load(lambda load: -float(load))
        assert loads(asked(brute.make, Space((LOADS,)), latency)) == [1, 2, 4, 8]

    def test_one_failure_ends_nothing_and_four_in_a_row_end_one_setting(self) -> None:
        hole = by_load(lambda load: None if load == 8 else float(load))
        assert len(asked(brute.make, Space((LOADS,)), hole)) == 11
        nothing = by_load(lambda _: None)
        space = Space((Dimension("i", (1, 2)), LOADS))
        assert loads(asked(brute.make, space, nothing)) == [1, 2, 4, 8] * 2

    def test_larger_batches_end_when_one_is_no_better(self) -> None:
        def measure(candidate: Candidate) -> Outcome:
            return Outcome(candidate, {1: 1.0, 2: 2.0, 4: 2.0, 8: 9.0}[int(candidate.items[0][1])])

        space = Space((BATCHES,))
        assert [each.candidate.items[0][1] for each in asked(brute.make, space, measure)] == [
            1,
            2,
            4,
        ]

    def test_a_batch_size_that_fails_is_stepped_over(self) -> None:
        def measure(candidate: Candidate) -> Outcome:
            size = int(candidate.items[0][1])
            return Outcome(candidate, None if size == 2 else float(size))

        assert len(asked(brute.make, Space((BATCHES,)), measure)) == 4

    def test_what_keeps_the_constraints_is_better_than_what_is_faster(self) -> None:
        def measure(candidate: Candidate) -> Outcome:
            size = int(candidate.items[0][1])
            broken = max(0, size - 2)
            return Outcome(candidate, float(size), feasible=not broken, violation=broken)

        assert len(asked(brute.make, Space((BATCHES,)), measure)) == 3

    def test_what_was_listed_is_measured_whole_unless_early_exits_are_asked_for(self) -> None:
        space = Space((BATCHES, LOADS))
        flat = by_load(lambda _: 1.0)
        assert loads(asked(brute.make, space, flat)) == [1, 2, 4, 8] * 2
        listed = asked(brute.make, space, flat, concurrency=LOADS.values)
        assert loads(listed) == list(LOADS.values) * 2
        fields = {"model_config_parameters": (MAX_BATCH_SIZE,)}
        assert loads(asked(brute.make, space, flat, **fields)) == [1, 2, 4, 8] * 4
        assert len(asked(brute.make, space, flat, concurrency=(1,), **fields)) == len(space)
        early = asked(brute.make, space, flat, concurrency=(1,), early_exit_enable=True, **fields)
        assert loads(early) == [1, 2, 4, 8] * 2

    def test_client_batch_sizes_are_tried_within_a_batch_size_and_rates_are_a_load_too(
        self,
    ) -> None:
        sizes = Dimension(BATCH_SIZE, (1, 8), Axis.LOAD)
        rates = Dimension(REQUEST_RATE, (16.0, 32.0, 64.0, 128.0, 256.0), Axis.LOAD)
        measured = asked(
            brute.make, Space((BATCHES, rates, sizes)), lambda each: Outcome(each, 1.0)
        )
        order = [(each.candidate.get(BATCH_SIZE), each.candidate.get(REQUEST_RATE))
                 for each in measured]  # fmt: skip
        once = [(size, rate) for size in (1, 8) for rate in rates.values[:4]]
        assert order == once * 2


#: a convolution network: batches gain nothing, threads scale well
CONVOLUTION = World(cores=2, fixed_ms=2, row_ms=38, serial=0.03, front_end_ms=0.1, noise=0.01)
#: weight-bound layers: one row costs nearly what sixteen do
WEIGHT_BOUND = World(cores=2, fixed_ms=3.5, row_ms=0.5, serial=0.02, front_end_ms=0.08, noise=0.01)
#: next to no computing: the front end is all there is
IDENTITY = World(cores=2, fixed_ms=0.02, row_ms=0.002, serial=0.9, front_end_ms=0.05, noise=0.01)
#: many cores that threads use badly
MANY_CORES = World(cores=16, fixed_ms=5, row_ms=3, serial=0.4, front_end_ms=0.05, noise=0.01)
#: large batches of many instances do not fit
SMALL_MEMORY = World(cores=8, fixed_ms=4, row_ms=1, serial=0.2, memory_mb=500, noise=0.01)
NAMED = (CONVOLUTION, WEIGHT_BOUND, IDENTITY, MANY_CORES, SMALL_MEMORY)


def share(world: World, goal: Goal, questions: list[Outcome]) -> float:
    """Return the true score of what was chosen, as a share of the best in the whole space."""
    good = [each for each in questions if each.score is not None and each.feasible]
    if not good:
        return 0.0
    chosen = max(good, key=lambda each: each.score or 0.0)
    truth = world.truth(chosen.candidate)
    best = oracle(world, goal)
    assert truth is not None
    assert best is not None
    return (goal.score(truth, {}) or 0.0) / best


def launches(questions: list[Outcome]) -> int:
    """Count how often a server had to be started anew."""
    settings = [
        tuple(item for item in each.candidate.items if item[0] != CONCURRENCY) for each in questions
    ]
    return sum(one != other for one, other in zip(settings, [None, *settings], strict=False))


class TestClimb:
    @pytest.mark.parametrize("world", NAMED)
    def test_it_finds_what_brute_finds_in_a_sixth_of_the_questions(self, world: World) -> None:
        measure = outcomes(world, Goal())
        everything = asked(brute.make, world.space(), measure)
        few = asked(climb.make, world.space(), measure)
        assert share(world, Goal(), few) >= 0.95 * share(world, Goal(), everything)
        assert len(few) <= 32
        assert len(few) < len(everything) / 6
        assert launches(few) <= 0.75 * len(few)

    @pytest.mark.parametrize("world", NAMED)
    def test_its_first_dozen_questions_find_most_of_it(self, world: World) -> None:
        few = asked(climb.make, world.space(), outcomes(world, Goal()))[:12]
        assert share(world, Goal(), few) >= 0.85

    def test_on_worlds_that_nobody_chose_it_seldom_misses_five_percent(self) -> None:
        dice = random.Random("held out")
        shares: list[float] = []
        for _ in range(8):
            world = random_world(dice)
            once = world.fixed_ms + world.row_ms
            for budget in (None, 20 * once + 3 * world.front_end_ms):
                goal = parse_goal(latency_budget=budget)
                if oracle(world, goal) is not None:
                    questions = asked(climb.make, world.space(), outcomes(world, goal))
                    assert len(questions) <= 36
                    shares.append(share(world, goal, questions))
        assert len(shares) > 12
        assert sum(each >= 0.95 for each in shares) >= 0.85 * len(shares)
        assert sum(shares) / len(shares) >= 0.97

    def test_it_goes_down_to_where_a_tight_budget_holds(self) -> None:
        goal = parse_goal(latency_budget=60.0)
        questions = asked(climb.make, CONVOLUTION.space(), outcomes(CONVOLUTION, goal))
        assert any(each.feasible for each in questions)
        assert share(CONVOLUTION, goal, questions) >= 0.9

    def test_it_minimizes_latency_as_well(self) -> None:
        goal = parse_goal(["perf_latency_p99"])
        questions = asked(climb.make, CONVOLUTION.space(), outcomes(CONVOLUTION, goal))
        best = oracle(CONVOLUTION, goal)
        found = max(each.score for each in questions if each.score is not None)
        assert best is not None
        assert found >= 1.05 * best

    def test_the_load_is_explored_before_a_setting_changes(self) -> None:
        questions = asked(climb.make, WEIGHT_BOUND.space(), outcomes(WEIGHT_BOUND, Goal()))
        assert launches(questions[:3]) == 1

    def test_noise_alone_moves_nothing(self) -> None:
        def measure(candidate: Candidate) -> Outcome:
            dice = random.Random(str(candidate))
            return Outcome(candidate, 100.0 + dice.uniform(-0.9, 0.9))

        space = Space((Dimension(QUEUE_DELAY, (-1, 0, 100)), LOADS))
        assert set(loads(asked(climb.make, space, measure))) <= {8, 16}


def model_analyzers(world: World) -> Space:
    """What Model Analyzer searches: instances, batch sizes and concurrencies."""
    names = {INSTANCE_COUNT, MAX_BATCH_SIZE, CONCURRENCY}
    kept = [each for each in world.space().dimensions if each.name in names]
    return Space((*kept, Dimension(QUEUE_DELAY, (0,))))


class TestQuick:
    COUNTS = Dimension(INSTANCE_COUNT, (1, 2, 3, 4, 5))
    SIZES = Dimension(MAX_BATCH_SIZE, tuple(2**k for k in range(8)))

    def walked(
        self, measure: Callable[[int, int], float | None], **options: object
    ) -> list[tuple[int, int]]:
        """Return the settings that a search without sweeps measures."""

        def measured(candidate: Candidate) -> Outcome:
            at = dict(candidate.items)
            return Outcome(candidate, measure(int(at[MAX_BATCH_SIZE]), int(at[INSTANCE_COUNT])))

        space = Space((self.SIZES, self.COUNTS, LOADS))
        options = {"concurrency_sweep_disable": True, **options}
        return [
            (
                int(each.candidate.get(MAX_BATCH_SIZE) or 0),
                int(each.candidate.get(INSTANCE_COUNT) or 0),
            )
            for each in asked(quick.make, space, measured, **options)
        ]

    def test_it_starts_at_the_least_and_then_looks_where_values_are_new(self) -> None:
        # Diagonally, as far as the radius reaches; the step follows three neighbours.
        assert self.walked(lambda size, count: float(size * count))[:4] == [
            (1, 1), (2, 2), (4, 3), (1, 4),
        ]  # fmt: skip

    def test_it_climbs_to_the_end_of_a_slope(self) -> None:
        walked = self.walked(lambda size, count: float(size * count))
        assert (128, 5) in walked
        assert len(walked) <= 25

    def test_it_stays_where_nothing_is_better(self) -> None:
        walked = self.walked(lambda size, count: 100.0 - 20 * (size > 1) - 20 * (count > 1))
        assert len(walked) == 4

    def test_the_load_is_twice_the_batch_size_times_the_instances(self) -> None:
        space = Space((Dimension(MAX_BATCH_SIZE, (8,)), Dimension(INSTANCE_COUNT, (4,)), LOADS))
        (only,) = asked(
            quick.make, space, lambda each: Outcome(each, 1.0), concurrency_sweep_disable=True
        )
        assert only.candidate.get(CONCURRENCY) == 64

    def test_a_home_that_fails_is_stepped_back_from(self) -> None:
        walked = self.walked(lambda size, count: None if size * count > 40 else float(size * count))
        best = max(size * count for size, count in walked if size * count <= 40)
        assert best >= 32

    def test_where_the_least_fails_it_looks_around(self) -> None:
        walked = self.walked(lambda size, count: None if size < 4 else float(size * count))
        assert any(size >= 4 for size, _ in walked)
        assert max(size * count for size, count in walked) >= 64

    def test_then_the_best_settings_are_swept_as_far_as_that_pays(self) -> None:
        world = replace(WEIGHT_BOUND, noise=0.0)
        space = model_analyzers(world)
        few = asked(quick.make, space, outcomes(world, Goal()))
        none = asked(quick.make, space, outcomes(world, Goal()), concurrency_sweep_disable=True)
        one = asked(quick.make, space, outcomes(world, Goal()), num_configs_per_model=1)
        assert len(none) < len(one) < len(few)
        assert few[: len(none)] == none
        # Model Analyzer's own sweep ended at 8, whatever it saw.
        assert max(int(load) for load in loads(few[len(none) :]) if isinstance(load, int)) > 8
        assert share(world, Goal(), few) >= share(world, Goal(), none)

    def test_it_finds_most_of_what_brute_finds_in_a_part_of_the_questions(self) -> None:
        for world in NAMED:
            measure, space = outcomes(world, Goal()), model_analyzers(world)
            everything = asked(brute.make, space, measure)
            few = asked(quick.make, space, measure)
            assert share(world, Goal(), few) >= 0.9 * share(world, Goal(), everything)
            assert len(few) < len(everything)

    def test_the_stages_of_a_pipeline_and_several_models_are_coordinates_too(self) -> None:
        space = Space((
            Dimension("a::instance_count", (1, 2, 3)), Dimension("b::instance_count", (1, 2, 3, 4)),
            Dimension("b::max_batch_size", (4,)),
            LOADS, Dimension("b::concurrency", LOADS.values, Axis.LOAD),
        ))  # fmt: skip

        def bottleneck(candidate: Candidate) -> Outcome:
            at = dict(candidate.items)
            assert at["b::concurrency"] == {1: 8, 2: 16, 3: 32, 4: 32}[int(at["b::instance_count"])]
            return Outcome(
                candidate, min(4.0 * int(at["a::instance_count"]), int(at["b::instance_count"]))
            )

        measured = asked(quick.make, space, bottleneck, concurrency_sweep_disable=True)
        assert max(each.score or 0 for each in measured) == 4.0

    def test_it_says_why_it_asks_and_why_it_ended(self) -> None:
        space = model_analyzers(WEIGHT_BOUND)
        strategy = quick.make(Problem(space=space))
        why = strategy.why()
        assert why is not None
        assert why.text == "where the climb starts: the least of everything"
        for outcome in run(strategy, outcomes(WEIGHT_BOUND, Goal())):
            assert outcome.candidate in space
        assert strategy.ended().startswith("the climb came to rest at ")
        assert strategy.ended().endswith("; then the load of the best 3 settings was swept")
