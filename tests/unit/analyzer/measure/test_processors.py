import os
from pathlib import Path

import pytest

from analyzer.measure.processors import Processors, Quota, Times

TICK = os.sysconf("SC_CLK_TCK")


def write(root: Path, name: str, text: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return root


def test_this_machines_processors_can_be_read() -> None:
    here = Processors()
    first, second = here.times(), here.times()
    assert first is not None
    assert second is not None
    assert second.busy >= first.busy > 0
    assert (here.available_bytes() or 0) > 10_000_000


def test_idle_waiting_and_stolen_time_is_not_busy_and_a_guests_counts_once(tmp_path: Path) -> None:
    #            user nice system idle iowait irq softirq steal guest guest_nice
    ticks = [t * TICK for t in (10, 1, 5, 100, 20, 2, 3, 7, 4, 1)]
    text = f"cpu  {' '.join(map(str, ticks))}\ncpu0 1 1\n"
    assert Processors(write(tmp_path, "proc/stat", text)).times() == Times(busy=21.0, steal=7.0)


@pytest.mark.parametrize("text", ["", "cpu 1 2\n", "intr 1 2 3 4 5 6 7 8 9\n"])
def test_what_is_no_such_file_tells_nothing(tmp_path: Path, text: str) -> None:
    write(tmp_path, "proc/stat", text)
    write(tmp_path, "proc/meminfo", text)
    empty = Processors(tmp_path)
    assert (empty.times(), empty.available_bytes(), empty.quota(), empty.mhz()) == (None,) * 4
    assert "no cpufreq" in empty.frequency_reason


@pytest.mark.parametrize("name", ["cpu.stat", "cpu/cpu.stat"])
def test_a_quota_tells_in_how_many_periods_it_was_used_up(tmp_path: Path, name: str) -> None:
    text = "usage_usec 5\nnr_periods 40\nnr_throttled 3\nthrottled_usec 99\n"
    assert Processors(write(tmp_path, f"sys/fs/cgroup/{name}", text)).quota() == Quota(40, 3)


def test_a_group_without_a_quota_tells_nothing(tmp_path: Path) -> None:
    write(tmp_path, "sys/fs/cgroup/cpu.stat", "usage_usec 5\nuser_usec 4\n")
    assert Processors(tmp_path).quota() is None


def test_the_frequency_is_the_mean_of_the_cores_that_may_be_used(tmp_path: Path) -> None:
    cores = sorted(os.sched_getaffinity(0))
    for core in cores:
        file = f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq"
        write(tmp_path, file, f"{2_000_000 if core == cores[0] else 3_000_000}\n")
    counted = min(8, len(cores))
    here = Processors(tmp_path)
    assert here.frequency_reason == ""
    assert here.mhz() == pytest.approx((2000 + 3000 * (counted - 1)) / counted)
