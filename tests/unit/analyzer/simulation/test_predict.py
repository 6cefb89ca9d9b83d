"""What the simulator says of queues with formulas, of batchers, and of queue policies."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.predicted import configured

from analyzer.metrics import BY_TAG
from analyzer.record.row import LoadSpec
from analyzer.simulation.predict import simulate, why_unpredictable
from analyzer.simulation.service import Curve, ServiceModel, exponential, log_normal
from benchmarks.queueing import Queue
from engine.modelconfig.schema import (
    DynamicBatching,
    ModelConfig,
    QueuePolicy,
    SequenceBatching,
    TimeoutAction,
)

MS = 1e6
SERVICE = ServiceModel(curve=Curve.affine(2 * MS, 0.5 * MS))


@pytest.mark.parametrize(
    "queue",
    [Queue(load=0.5, service=0.001, fixed=True), Queue(load=0.5, service=0.001, servers=2)],
    ids=lambda queue: queue.name,
)
def test_an_open_loop_waits_as_formulas_say(queue: Queue) -> None:
    model = ServiceModel(
        curve=Curve.affine(MS, 0), multipliers=(1.0,) if queue.fixed else exponential()
    )
    load = LoadSpec(request_rate=queue.rate, distribution="poisson")
    found = simulate(configured(queue.servers), model, load, seed=3, requests=8000)
    assert found.throughput == pytest.approx(queue.rate, rel=0.03)
    assert found.queue_ms == pytest.approx(queue.mean_wait * 1e3, rel=0.12)
    assert found.percentile(99) == pytest.approx(queue.response(0.99) * 1e3, rel=0.12)
    assert found.utilisation == pytest.approx(queue.load, rel=0.03)


def test_a_regular_open_loop_below_capacity_waits_for_nobody() -> None:
    found = simulate(configured(), SERVICE, LoadSpec(request_rate=300.0), requests=200)
    assert found.throughput == pytest.approx(300, rel=0.02)
    assert found.queue_ms == 0
    assert found.percentile(50) == found.percentile(99) == pytest.approx(2.5)


def test_more_than_a_server_can_do_is_served_at_its_capacity() -> None:
    load = LoadSpec(request_rate=5000.0, distribution="poisson")
    found = simulate(configured(max_batch=8, delay_us=0), SERVICE, load)
    assert found.throughput == pytest.approx(8 / 6e-3, rel=0.01)
    assert found.mean_batch == pytest.approx(8)
    assert found.utilisation == pytest.approx(1, abs=0.01)


def test_one_client_waits_out_the_delay_and_clients_that_fill_a_batch_do_not() -> None:
    config = configured(max_batch=4, delay_us=2000)
    one = simulate(config, SERVICE, LoadSpec(concurrency=1), requests=50)
    four = simulate(config, SERVICE, LoadSpec(concurrency=4), requests=200)
    assert one.queue_ms == pytest.approx(2)
    assert one.percentile(50) == pytest.approx(4.5)
    assert four.queue_ms == 0
    assert four.mean_batch == 4
    assert four.percentile(99) == pytest.approx(4)


def test_preferred_sizes_shape_the_batches() -> None:
    load = LoadSpec(concurrency=6)
    config = configured(max_batch=8, delay_us=50_000, preferred=(3,))
    assert simulate(config, SERVICE, load, requests=300).mean_batch == 3


def test_batches_of_the_client_count_as_many_inferences() -> None:
    config = configured(max_batch=8, delay_us=0)
    found = simulate(config, SERVICE, LoadSpec(concurrency=1, batch_size=4), requests=50)
    assert found.throughput == pytest.approx(4 / 4e-3, rel=0.03)
    assert found.mean_batch == 4


def test_what_a_response_takes_of_the_front_end_lets_requests_gather() -> None:
    config, load = configured(max_batch=8, delay_us=0), LoadSpec(concurrency=8)
    # The first to be answered comes back first, and would run alone; while the others are being
    # answered the front end does not look, and then finds whoever came meanwhile.
    busy = replace(SERVICE, respond_ns=40_000.0)
    far = replace(SERVICE, outside_ns=320_000.0)
    assert simulate(config, far, load).mean_batch >= 4
    assert simulate(config, busy, load).mean_batch > 4


def test_a_front_end_that_computes_has_batches_of_what_came_in_one_turn() -> None:
    tiny = ServiceModel(
        curve=Curve.affine(20_000, 500), admit_ns=15_000, respond_ns=15_000, inline=True
    )
    config = configured(max_batch=64, delay_us=0)
    alone = simulate(config, tiny, LoadSpec(concurrency=1), requests=100)
    many = simulate(config, tiny, LoadSpec(concurrency=32))
    assert alone.latency_ms == pytest.approx(0.0505)
    assert many.mean_batch > 8
    assert many.throughput <= 1e9 / 30_500


def test_a_full_queue_refuses_the_rest() -> None:
    policy = QueuePolicy(max_queue_size=4)
    config = replace(configured(), dynamic_batching=DynamicBatching(default_queue_policy=policy))
    load = LoadSpec(request_rate=800.0, distribution="poisson")
    found = simulate(config, SERVICE, load)
    assert found.throughput == pytest.approx(400, rel=0.02)
    assert found.refused == pytest.approx(0.5, abs=0.04)
    assert found.percentile(99) <= 5 * 2.5 + 0.1


def test_who_waits_too_long_is_refused_even_where_clients_come_again_at_once() -> None:
    policy = QueuePolicy(timeout_action=TimeoutAction.REJECT, default_timeout_microseconds=6000)
    config = replace(configured(), dynamic_batching=DynamicBatching(default_queue_policy=policy))
    found = simulate(config, SERVICE, LoadSpec(concurrency=16))
    assert found.refused > 0.2
    assert found.percentile(99) <= 6 + 2.5 + 0.01


def test_higher_priorities_wait_less() -> None:
    batching = DynamicBatching(priority_levels=2, default_priority_level=2)
    config = replace(configured(max_batch=1), dynamic_batching=batching)
    load = LoadSpec(request_rate=380.0, distribution="poisson")
    mixed = simulate(config, SERVICE, load, priorities=(1, 2))
    equal = simulate(config, SERVICE, load, priorities=(2,))
    # The waits are those of equals all together, but not for each: half of them hardly wait.
    assert mixed.queue_ms == pytest.approx(equal.queue_ms, rel=0.15)
    assert mixed.percentile(50) < 0.8 * equal.percentile(50)


def test_nothing_but_what_varies_makes_latencies_differ() -> None:
    load = LoadSpec(concurrency=1)
    steady = simulate(configured(), SERVICE, load, requests=500)
    varied = simulate(configured(), replace(SERVICE, multipliers=log_normal(0.3)), load)
    assert steady.percentile(99) == steady.percentile(50)
    assert varied.percentile(99) > 1.5 * varied.percentile(50)
    assert varied.latency_ms == pytest.approx(steady.latency_ms, rel=0.03)


def test_predictions_bear_the_names_of_measurements() -> None:
    found = simulate(configured(), SERVICE, LoadSpec(), requests=20)
    assert set(found.metrics) <= set(BY_TAG)
    assert {"perf_throughput", "perf_latency_p99", "server_batch_size"} <= set(found.metrics)


def test_what_cannot_be_predicted_says_why() -> None:
    sequences = ModelConfig(sequence_batching=SequenceBatching())
    reason = why_unpredictable(sequences)
    assert reason is not None
    assert why_unpredictable(configured()) is None
    assert why_unpredictable(replace(configured(), decoupled=True)) is not None
    with pytest.raises(ValueError, match="who sends them"):
        simulate(sequences, SERVICE, LoadSpec())


def test_a_hopeless_rate_is_predicted_as_soon_as_any() -> None:
    load = LoadSpec(request_rate=1e7, distribution="poisson")
    found = simulate(configured(), SERVICE, load, requests=300)
    assert found.throughput == pytest.approx(400, rel=0.01)


def test_long_batches_vary_by_the_root_of_their_length() -> None:
    varied = ServiceModel(curve=Curve.affine(0, MS), multipliers=log_normal(0.3))
    config = configured(max_batch=16, delay_us=0)

    def tail(rows: int) -> float:
        found = simulate(config, varied, LoadSpec(concurrency=1, batch_size=rows), requests=1500)
        return found.percentile(99) / found.latency_ms - 1

    assert tail(16) == pytest.approx(tail(1) / 4, rel=0.05)
