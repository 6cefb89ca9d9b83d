from dataclasses import replace

import numpy as np
import pytest

from analyzer.load.driven import Driven
from analyzer.measure.aggregate import Glimpse, Gpu, GpuGlimpse, Seen, observed
from analyzer.metrics import Observed, evaluate
from analyzer.record.row import LoadSpec

SECOND = 1_000_000_000
#: a machine that has been up for years: its nanoseconds do not fit a double exactly
UPTIME = 10**17

DRIVEN = Driven(
    protocol="http",
    started_ns=UPTIME + 2 * SECOND,
    ended_ns=UPTIME + 4 * SECOND,
    latency_ns=np.full(100, 1_000_000, dtype=np.int64),
    window_rates=(50.0, 50.0),
    send_ns=10.0,
    receive_ns=20.0,
    failed=3,
    first_error="no",
    stable=True,
    client_cpu=0.25,
    server=None,
    windows=5,
    warmup_requests=8,
    warmup_seconds=0.5,
)


def at(seconds: float) -> int:
    return UPTIME + round(seconds * SECOND)


def see(*glimpses: Glimpse, gpus: tuple[Gpu, ...] = ()) -> Observed:
    return observed(DRIVEN, Seen(glimpses, gpus), LoadSpec(batch_size=4))


def test_what_the_client_measured_is_passed_on() -> None:
    seen = see()
    assert seen.seconds == 2.0
    assert seen.batch_size == 4
    assert seen.window_rates == (50.0, 50.0)
    assert (seen.send_ns, seen.receive_ns, seen.failed, seen.client_cpu) == (10, 20, 3, 0.25)
    assert evaluate(seen)["perf_throughput"] == 200


def test_what_was_not_seen_is_none_not_zero() -> None:
    seen = see()
    assert seen.server_cpu is None
    assert seen.server_ram_bytes is None
    assert seen.available_ram_bytes is None
    assert seen.gpus == ()


def test_only_the_windows_that_count_count() -> None:
    """Busy cores: 3 before, 1.5 during, 0 after the windows; memory likewise."""
    seen = see(
        Glimpse(at_ns=at(0), cpu_seconds=10, ram_bytes=900, available_ram_bytes=1),
        Glimpse(at_ns=at(2), cpu_seconds=16, ram_bytes=500, available_ram_bytes=70),
        Glimpse(at_ns=at(3), cpu_seconds=17.5),
        Glimpse(at_ns=at(4), cpu_seconds=19, ram_bytes=600, available_ram_bytes=60),
        Glimpse(at_ns=at(9), cpu_seconds=19, ram_bytes=999, available_ram_bytes=2),
    )
    assert seen.server_cpu == pytest.approx(1.5)
    assert seen.server_ram_bytes == 600
    assert seen.available_ram_bytes == 60


def test_counters_are_read_between_glimpses() -> None:
    glimpses = [Glimpse(at_ns=at(t + 0.3), cpu_seconds=t * 0.7) for t in range(6)]
    assert see(*glimpses).server_cpu == pytest.approx(0.7)


def test_of_a_span_shorter_than_the_distance_of_glimpses_the_nearest_is_taken() -> None:
    seen = see(
        Glimpse(at_ns=at(1.5), cpu_seconds=1, ram_bytes=100),
        Glimpse(at_ns=at(7), cpu_seconds=2, ram_bytes=200),
    )
    assert seen.server_ram_bytes == 100
    assert seen.server_cpu == pytest.approx(1 / 5.5)


@pytest.mark.parametrize("moments", [(1.0,), (0.0, 1.0), (5.0, 6.0)])
def test_glimpses_that_do_not_reach_into_the_windows_tell_no_cpu(
    moments: tuple[float, ...],
) -> None:
    glimpses = [Glimpse(at_ns=at(t), cpu_seconds=t) for t in moments]
    assert see(*glimpses).server_cpu is None


def test_a_counter_that_falls_when_a_child_is_lost_is_not_negative() -> None:
    seen = see(Glimpse(at_ns=at(2), cpu_seconds=9), Glimpse(at_ns=at(4), cpu_seconds=5))
    assert seen.server_cpu == 0


GPU = Gpu("GPU-1", "Big One", 80_000)


def gpu(t: float, used: int, utilization: float, **more: float | None) -> Glimpse:
    seen = GpuGlimpse(uuid="GPU-1", used_bytes=used, utilization=utilization, power_watts=300)
    return Glimpse(at_ns=at(t), gpus=(replace(seen, **more),))  # type: ignore[arg-type]


def test_gpu_memory_is_the_greatest_and_utilisation_the_mean() -> None:
    glimpses = [gpu(1, 9000, 99), gpu(2, 100, 10), gpu(3, 300, 20), gpu(4, 200, 60)]
    (use,) = see(*glimpses, gpus=(GPU,)).gpus
    assert (use.uuid, use.name, use.total_bytes) == ("GPU-1", "Big One", 80_000)
    assert use.used_bytes == 300
    assert use.utilization == 30


def test_power_is_energy_over_time_where_the_gpu_counts_energy() -> None:
    glimpses = [gpu(t, 1, 1, energy_mj=t * 120_000) for t in range(6)]
    (use,) = see(*glimpses, gpus=(GPU,)).gpus
    assert use.power_watts == pytest.approx(120)


def test_power_is_the_mean_of_what_was_read_where_it_does_not() -> None:
    glimpses = [gpu(2, 1, 1, power_watts=100.0), gpu(4, 1, 1, power_watts=200.0)]
    (use,) = see(*glimpses, gpus=(GPU,)).gpus
    assert use.power_watts == 150


def test_what_a_gpu_does_not_answer_is_none() -> None:
    (use,) = see(Glimpse(at_ns=at(3), gpus=(GpuGlimpse(uuid="GPU-1"),)), gpus=(GPU,)).gpus
    assert (use.used_bytes, use.utilization, use.power_watts) == (None, None, None)


def test_gpus_are_told_apart() -> None:
    glimpse = Glimpse(
        at_ns=at(3),
        gpus=(GpuGlimpse(uuid="A", used_bytes=1), GpuGlimpse(uuid="B", used_bytes=2)),
    )
    uses = see(glimpse, gpus=(Gpu("B", "b", 9), Gpu("A", "a", 9))).gpus
    assert [(use.uuid, use.used_bytes) for use in uses] == [("B", 2), ("A", 1)]
