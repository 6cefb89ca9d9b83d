"""Laws of the simulator: queues that are known by recursion, bounds, and what batchers promise."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from itertools import accumulate, cycle, repeat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.predicted import configured

from analyzer.record.row import LoadSpec
from analyzer.simulation.predict import Prediction, simulate
from analyzer.simulation.service import Curve, ServiceModel, log_normal
from analyzer.simulation.world import Pace, Seen, World
from engine.modelconfig.schema import ModelConfig
from engine.scheduler import Ticket
from engine.schedulers import make
from engine.schedulers.direct import Direct

times = st.integers(1, 50)
models = st.builds(
    ServiceModel,
    curve=st.builds(Curve.affine, st.floats(1e4, 1e7), st.floats(0, 2e6)),
    cores=st.sampled_from((0, 1, 2, 8)),
    threads=st.sampled_from((1, 2, 8)),
    serial=st.floats(0, 1),
    crowding=st.floats(0, 1.5),
    admit_ns=st.floats(0, 1e5),
    respond_ns=st.floats(0, 1e5),
    batch_ns=st.floats(0, 1e5),
    outside_ns=st.floats(0, 5e5),
    inline=st.booleans(),
    multipliers=st.sampled_from((log_normal(0.0), log_normal(0.2))),
)
configs = st.builds(
    configured,
    instances=st.sampled_from((1, 2, 4)),
    max_batch=st.sampled_from((1, 3, 8)),
    delay_us=st.sampled_from((None, 0, 500)),
)
concurrencies = st.sampled_from((1, 2, 7, 32))
few = settings(max_examples=30, deadline=None)


def served(gaps: Sequence[int], services: Sequence[int], servers: int) -> list[int]:
    """Latencies of first come, first served, by recursion."""
    free = [0] * servers
    found = []
    for arrival, service in zip(accumulate(gaps), services, strict=True):
        ends = max(arrival, free[0]) + service
        heapq.heapreplace(free, ends)
        found.append(ends - arrival)
    return found


@few
@given(st.lists(st.tuples(times, times), min_size=1, max_size=60), st.integers(1, 4))
def test_requests_that_run_alone_wait_as_in_the_recursion_of_a_queue(
    visits: list[tuple[int, int]], servers: int
) -> None:
    gaps, services = zip(*visits, strict=True)
    pace = Pace(alone=(0, 1), slowdown=[1.0] * (servers + 1), multipliers=cycle(services))
    world = World(
        Direct(servers), pace, lambda number, now: Ticket(number, 1, now), gaps=cycle(gaps)
    )
    seen = world.run(len(visits))
    # Answers come in the order of their ends: with several servers not in that of arrivals.
    expected = served(gaps * 2, services * 2, servers)
    ends = sorted(zip(accumulate(gaps * 2), expected, strict=True), key=sum)
    assert seen.ended_ns[: len(visits)] == [sum(one) for one in ends][: len(visits)]
    if servers == 1:
        assert seen.latency_ns == expected[: len(seen.latency_ns)]


def predicted(
    config: ModelConfig, model: ServiceModel, load: LoadSpec, seed: int = 0
) -> Prediction:
    return simulate(config, model, load, seed=seed, requests=200)


@few
@given(configs, models, concurrencies)
def test_a_closed_loop_stays_below_its_asymptotes_and_keeps_littles_law(
    config: ModelConfig, model: ServiceModel, clients: int
) -> None:
    found = predicted(config, model, LoadSpec(concurrency=clients))
    instances, rows = config.instance_group[0].count, config.max_batch_size
    threads = model.threads_of(instances, None)
    slow = [model.slowdown(threads, busy) for busy in range(1, instances + 1)]
    least = min(model.multipliers)
    full = min(model.curve.at(k) / k for k in range(1, rows + 1)) * least
    rate = max(busy / each for busy, each in enumerate(slow, 1)) * 1e9 / full
    alone = model.curve.at(1) * min(slow) * least
    # Of 160 requests that count, a batch of each instance may straddle the beginning.
    edge = 1 + (rows * instances + 1) / (160 - rows * instances)
    assert found.throughput <= rate * edge
    assert found.throughput <= clients * 1e9 / (alone + model.overhead_ns) * edge
    in_flight = found.throughput * found.latency_ms / 1e3
    assert in_flight == pytest.approx(clients, rel=0.1 + 2 * clients / 160, abs=0.1)
    assert 0 <= found.utilisation <= 1
    assert found.refused == 0


@few
@given(configs, models, concurrencies, st.integers(0, 5))
def test_the_same_seed_predicts_the_same(
    config: ModelConfig, model: ServiceModel, clients: int, seed: int
) -> None:
    load = LoadSpec(concurrency=clients)
    assert predicted(config, model, load, seed) == predicted(config, model, load, seed)


@few
@given(
    st.sampled_from((1, 2, 4)),
    concurrencies,
    st.floats(1e4, 1e7),
    st.floats(1, 3),
    st.sampled_from((0.0, 0.3)),
)
def test_without_batches_a_slower_model_serves_less_and_more_instances_serve_no_less(
    instances: int, clients: int, alone: float, factor: float, cv: float
) -> None:
    multipliers = log_normal(cv)
    fast = ServiceModel(curve=Curve.affine(alone, 0), multipliers=multipliers)
    slow = ServiceModel(curve=Curve.affine(alone * factor, 0), multipliers=multipliers)
    load = LoadSpec(concurrency=clients)
    served = predicted(configured(instances), fast, load).throughput
    assert predicted(configured(instances), slow, load).throughput <= served * 1.0001
    # Who is served when is drawn anew with another instance, so luck plays a part.
    more = predicted(configured(instances + 1), fast, load).throughput
    assert more >= served * (0.85 if cv else 0.97)


def seen_of(config: ModelConfig, pace: Pace, gaps: Sequence[int], rows: int = 1) -> Seen:
    scheduler = make(config, config.instance_group[0].count)
    world = World(scheduler, pace, lambda number, now: Ticket(number, rows, now), gaps=cycle(gaps))
    return world.run(120)


@few
@given(
    st.lists(st.integers(0, 40_000), min_size=1, max_size=20).map(lambda gaps: [*gaps, 9000]),
    st.integers(1, 3),
    st.sampled_from((1, 4, 8)),
    st.sampled_from((0, 20, 100)),
    st.integers(1, 3),
)
def test_no_batch_is_too_large_and_none_waits_too_long_beside_an_idle_instance(
    gaps: list[int], instances: int, max_batch: int, delay_us: int, rows: int
) -> None:
    rows = min(rows, max_batch)
    config = configured(instances, max_batch, delay_us)
    pace = Pace(
        alone=[30_000.0 + 5_000 * k for k in range(max_batch + 1)],
        slowdown=[1.0] * (instances + 1),
        multipliers=repeat(1.0),
    )
    seen = seen_of(config, pace, gaps, rows)
    assert seen.batches
    ends: list[int] = []
    for begun, dispatch in seen.batches:
        size = sum(ticket.rows for ticket in dispatch.tickets)
        assert size <= max_batch
        # All instances were busy until one became free at ``begun``, or the delay is kept to.
        waited = begun - dispatch.tickets[0].arrived_ns
        assert waited <= delay_us * 1000 or begun in ends
        ends.append(begun + round(pace.alone[size]))


@few
@given(st.lists(st.integers(9000, 400_000), min_size=1, max_size=20), st.integers(1, 4))
def test_instances_that_share_get_on_equally_slowly_and_nothing_of_their_work_is_lost(
    gaps: list[int], instances: int
) -> None:
    shared = Pace(
        alone=(0.0, 100_000.0),
        slowdown=[1.0, *map(float, range(1, instances + 1))],
        multipliers=repeat(1.0),
    )
    seen = seen_of(configured(instances), shared, gaps)
    alone = seen_of(configured(1), Pace(
        alone=(0.0, 100_000.0), slowdown=(1.0, 1.0), multipliers=repeat(1.0)
    ), gaps)  # fmt: skip
    # Whoever shares one core among n gets as much done as who uses it alone: the core is busy
    # at the same times, and free at the same times.
    assert seen.now_ns == pytest.approx(alone.now_ns, abs=150 + 100_000 * (instances - 1))
