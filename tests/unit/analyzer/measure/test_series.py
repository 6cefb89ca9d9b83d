"""What was seen over time, in few points."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.measure.glimpse import Glimpse, Seen
from analyzer.measure.series import MOST, series
from engine.nvml import Gpu, GpuLook

SECOND = 10**9
UPTIME = 10**17
GPU = Gpu(uuid="GPU-1")


def glimpses(count: int, period_s: float = 0.25) -> tuple[Glimpse, ...]:
    """A server that keeps 1.5 cores busy and grows by 1 MB each time; others keep 0.5 busy."""
    return tuple(
        Glimpse(
            at_ns=UPTIME + round(n * period_s * SECOND),
            cpu_seconds=1.5 * n * period_s,
            own_seconds=0.0,
            busy_seconds=2.0 * n * period_s,
            ram_bytes=(100 + n) * 10**6,
            gpus=(
                GpuLook(uuid="GPU-1", utilization=0.5, used_bytes=n * 10**6, power_watts=100.0 + n),
            ),
        )
        for n in range(count)
    )


def over_time(count: int, period_s: float = 0.25) -> dict[str, Any]:
    seen = Seen(glimpses(count, period_s), (GPU,))
    return dict(series(seen, UPTIME + SECOND, UPTIME + 2 * SECOND))


def test_each_glimpse_is_a_point_with_what_was_seen() -> None:
    plain = over_time(5)
    assert plain["t"] == [0, 0.25, 0.5, 0.75, 1]
    assert plain["window"] == [1, 2]
    assert plain["cpu"] == [None, 1.5, 1.5, 1.5, 1.5], "a rate needs two glimpses"
    assert plain["others"] == [None, 0.5, 0.5, 0.5, 0.5]
    assert plain["ram"] == [100, 101, 102, 103, 104]
    gpu = plain["gpus"]["GPU-1"]
    assert gpu["utilization"] == [50] * 5
    assert gpu["memory"] == [0, 1, 2, 3, 4]
    assert gpu["power"] == [100, 101, 102, 103, 104]
    assert set(gpu) == {"utilization", "memory", "power"}, "what it does not tell has no list"
    assert json.loads(json.dumps(plain)) == plain


@settings(max_examples=20)
@given(st.integers(2, 900), st.floats(0.01, 5))
def test_there_are_never_more_points_than_a_chart_can_show(count: int, period_s: float) -> None:
    plain = over_time(count, period_s)
    assert 2 <= len(plain["t"]) <= min(MOST, count)
    assert plain["t"] == sorted(plain["t"])
    assert {len(plain[name]) for name in ("cpu", "ram", "others")} == {len(plain["t"])}
    assert plain["ram"][-1] == float(f"{99 + count:.4g}"), "of memory the greatest is kept"


def test_a_row_stays_small() -> None:
    assert len(json.dumps(over_time(5000))) < 15_000


def test_without_two_glimpses_there_is_no_time() -> None:
    assert series(Seen(()), 0, 1) == {}
    assert over_time(1) == {}
