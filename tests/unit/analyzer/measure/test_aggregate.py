from dataclasses import replace

import numpy as np
import pytest

from analyzer.counters import Counters
from analyzer.load.driven import Driven
from analyzer.measure.aggregate import observed
from analyzer.measure.glimpse import Glimpse, Seen
from analyzer.metrics import Observed, ServerTimes, evaluate
from analyzer.record.row import LoadSpec
from engine.nvml import Gpu, GpuLook

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


GPU = Gpu(uuid="GPU-1", name="Big One", total_bytes=80_000)


def gpu(t: float, used: int, utilization: float, **more: float | None) -> Glimpse:
    seen = GpuLook(uuid="GPU-1", used_bytes=used, utilization=utilization, power_watts=300)
    return Glimpse(at_ns=at(t), gpus=(replace(seen, **more),))  # type: ignore[arg-type]


def test_gpu_memory_is_the_greatest_and_utilisation_the_mean() -> None:
    glimpses = [gpu(1, 9000, 0.99), gpu(2, 100, 0.1), gpu(3, 300, 0.2), gpu(4, 200, 0.6)]
    (use,) = see(*glimpses, gpus=(GPU,)).gpus
    assert (use.uuid, use.name, use.total_bytes) == ("GPU-1", "Big One", 80_000)
    assert use.used_bytes == 300
    assert use.utilization == pytest.approx(30)


def test_power_is_energy_over_time_where_the_gpu_counts_energy() -> None:
    glimpses = [gpu(t, 1, 1.0, energy_joules=t * 120) for t in range(6)]
    (use,) = see(*glimpses, gpus=(GPU,)).gpus
    assert use.power_watts == pytest.approx(120)


def test_power_is_the_mean_of_what_was_read_where_it_does_not() -> None:
    glimpses = [gpu(2, 1, 1, power_watts=100.0), gpu(4, 1, 1, power_watts=200.0)]
    (use,) = see(*glimpses, gpus=(GPU,)).gpus
    assert use.power_watts == 150


def test_what_a_gpu_does_not_answer_is_none() -> None:
    (use,) = see(Glimpse(at_ns=at(3), gpus=(GpuLook(uuid="GPU-1"),)), gpus=(GPU,)).gpus
    assert (use.used_bytes, use.utilization, use.power_watts) == (None, None, None)


def test_gpus_are_told_apart() -> None:
    glimpse = Glimpse(
        at_ns=at(3),
        gpus=(GpuLook(uuid="A", used_bytes=1), GpuLook(uuid="B", used_bytes=2)),
    )
    uses = see(glimpse, gpus=(Gpu(uuid="B", name="b"), Gpu(uuid="A", name="a"))).gpus
    assert [(use.uuid, use.used_bytes) for use in uses] == [("B", 2), ("A", 1)]


def test_memory_is_told_in_each_way_of_counting_it() -> None:
    sizes = {"ram_bytes": 30, "pss_bytes": 30, "rss_bytes": 50, "uss_bytes": 20}
    seen = see(Glimpse(at_ns=at(3), **{name: size * 10**6 for name, size in sizes.items()}))  # type: ignore[arg-type]
    values = evaluate(seen)
    assert values["cpu_used_ram"] == values["cpu_used_pss"] == 30
    assert (values["cpu_used_rss"], values["cpu_used_uss"]) == (50, 20)


def test_energy_is_spread_over_the_inferences() -> None:
    """40 W of processors and 120 W of GPUs at 200 inferences a second."""
    glimpses = [
        replace(gpu(t, 1, 0.5, energy_joules=t * 120.0), energy_joules=t * 40.0) for t in range(6)
    ]
    values = evaluate(see(*glimpses, gpus=(GPU,)))
    assert values["cpu_power_usage"] == pytest.approx(40)
    assert values["cpu_energy_per_inference"] == pytest.approx(200)
    assert values["gpu_energy_per_inference"] == pytest.approx(600)


def test_pauses_between_beginnings_do_not_make_the_server_look_idle() -> None:
    """Of two seconds 1.6 count, and in all of it 90 % of the rate of these was answered."""
    parts = ((at(2), at(3)), (at(3.4), at(4)))
    driven = replace(DRIVEN, parts_ns=parts, duty=0.9)
    glimpses = [
        replace(gpu(t, 1, 0.45, energy_joules=t * 120.0), cpu_seconds=t * 0.9) for t in range(6)
    ]
    seen = observed(driven, Seen(tuple(glimpses), (GPU,)), LoadSpec(batch_size=4))
    values = evaluate(seen)
    assert values["perf_throughput"] == pytest.approx(100 * 4 / 1.6)
    assert seen.server_cpu == pytest.approx(1.0)
    assert values["gpu_utilization"] == pytest.approx(50)
    assert values["gpu_energy_per_inference"] == pytest.approx(120 / (250 * 0.9) * 1000)


def test_an_energy_counter_that_was_set_back_is_not_believed() -> None:
    joules = [5000.0, 5100.0, 5200.0, 10.0, 20.0, 30.0]
    glimpses = [gpu(t, 1, 0.5, energy_joules=each) for t, each in enumerate(joules)]
    (use,) = see(*glimpses, gpus=(GPU,)).gpus
    assert use.power_watts == 300, "the mean of what was read"


def test_an_energy_counter_that_was_seldom_read_tells_of_another_time() -> None:
    """Read before the windows and once in them: the mean of the power then says more."""
    glimpses = [gpu(t, 1, 0.5, energy_joules=1000.0 * t if t in {0, 2} else None) for t in range(6)]
    (use,) = see(*glimpses, gpus=(GPU,)).gpus
    assert use.power_watts == 300


def noisy(cores: int, **slopes: float) -> Observed:
    """Counters that grow so fast a second."""
    glimpses = tuple(
        Glimpse(at_ns=at(t), **{name: t * slope for name, slope in slopes.items()})  # type: ignore[arg-type]
        for t in range(6)
    )
    return observed(DRIVEN, Seen(glimpses, cores=cores), LoadSpec(batch_size=4))


def test_what_others_used_is_what_neither_server_nor_analyzer_did() -> None:
    seen = noisy(2, busy_seconds=1.9, cpu_seconds=1.0, own_seconds=0.5)
    assert seen.others_cpu == pytest.approx(0.4)
    assert evaluate(seen)["cpu_other_load"] == pytest.approx(0.4)
    assert evaluate(seen)["cpu_machine_utilization"] == pytest.approx(95)
    assert "other programs used 0.4 of 2 cores" in seen.remarks[0]


@pytest.mark.parametrize(("cores", "others", "remarks"), [(2, 0.15, 0), (2, 0.25, 1), (64, 1.0, 0)])
def test_a_little_work_of_others_is_no_remark(cores: int, others: float, remarks: int) -> None:
    seen = noisy(cores, busy_seconds=1.0 + others, cpu_seconds=1.0, own_seconds=0.0)
    assert len(seen.remarks) == remarks


def test_stolen_time_and_a_quota_that_stops_the_server_are_remarked() -> None:
    seen = noisy(4, steal_seconds=0.2, quota_periods=10, quota_stops=3, switches=700)
    values = evaluate(seen)
    assert values["cpu_steal"] == pytest.approx(5)
    assert values["cpu_quota_stops"] == pytest.approx(30)
    assert values["cpu_context_switches"] == pytest.approx(700)
    stolen, stopped = seen.remarks
    assert "5.0% of this machine's CPU time" in stolen
    assert "in 30% of its periods" in stopped


def test_a_gpu_that_throttles_or_is_lost_is_remarked() -> None:
    looks = [gpu(t, 1, 0.5, throttle=0x40 if t == 2 else 0) for t in range(3)]
    gone = Glimpse(at_ns=at(3.5), gpus=(GpuLook(uuid="GPU-1", lost="NVML: GPU is lost"),))
    seen = see(*looks, gone, gpus=(GPU,))
    assert seen.gpus[0].used_bytes == 1
    lost, slow = seen.remarks
    assert "Big One (GPU-1) was lost (NVML: GPU is lost)" in lost
    assert "for 100% of it: heat, by the hardware" in slow


def test_that_something_was_not_measured_has_its_reason_by_tag() -> None:
    seen = Seen((), gpu_reason="no GPU here", absent={"cpu_frequency": "no cpufreq"})
    got = observed(DRIVEN, seen, LoadSpec())
    assert got.absent == {"cpu_frequency": "no cpufreq", "gpu": "no GPU here"}


def test_times_of_a_server_without_statistics_come_from_its_metrics_page() -> None:
    glimpses = tuple(
        Glimpse(
            at_ns=at(t),
            counters=Counters(requests=100 * t, queue_ns=5000 * t, cache_hits=30 * t),
        )
        for t in range(6)
    )
    times = observed(DRIVEN, Seen(glimpses), LoadSpec()).server
    assert times is not None
    assert (times.requests, times.queue_ns, times.cache_hits) == (200, 50, 60)


def test_the_cache_has_a_rate_and_times_only_where_there_is_one() -> None:
    server = ServerTimes(
        requests=10,
        inferences=10,
        executions=4,
        request_ns=9e6,
        queue_ns=0,
        compute_input_ns=0,
        compute_infer_ns=0,
        compute_output_ns=0,
    )
    cached = replace(server, cache_hits=6, cache_misses=4, cache_hit_ns=2e6, cache_miss_ns=1e6)
    with_cache = evaluate(replace(see(), server=cached))
    assert with_cache["cache_hit_rate"] == 60
    assert (with_cache["perf_server_cache_hit"], with_cache["perf_server_cache_miss"]) == (2, 1)
    assert (
        not {"cache_hit_rate", "perf_server_cache_hit"}
        & evaluate(replace(see(), server=server)).keys()
    )
