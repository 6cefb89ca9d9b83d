import json
import os
from pathlib import Path

import psutil
import pytest

from analyzer.measure.gpus import NoGpus
from analyzer.measure.machine import describe, precisions, usable_cores, versions

NONE = NoGpus("none here")


def machine(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_this_machine_is_described_in_jsons_types() -> None:
    plain = describe(NONE)
    assert json.loads(json.dumps(plain)) == plain
    assert plain["cores"] >= 1
    assert plain["ram_bytes"] <= psutil.virtual_memory().total
    assert plain["cpu"]
    assert plain["no_gpu"] == "none here"
    assert plain["versions"]["servetune"]
    assert plain["versions"]["numpy"]


def test_what_is_not_installed_has_no_version() -> None:
    assert all(versions().values())


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"sys/fs/cgroup/cpu.max": "100000 100000\n"}, 1),
        ({"sys/fs/cgroup/cpu.max": "50000 100000\n"}, 1),
        ({"sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        (
            {
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "100000\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            1,
        ),
        (
            {
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
        ({}, None),
    ],
)
def test_a_containers_quota_bounds_the_cores(
    tmp_path: Path, files: dict[str, str], quota: int | None
) -> None:
    everything = len(os.sched_getaffinity(0))
    assert usable_cores(machine(tmp_path, files)) == (quota or everything)


def test_a_containers_memory_limit_is_the_machines_memory(tmp_path: Path) -> None:
    root = machine(tmp_path, {"sys/fs/cgroup/memory.max": "1000000\n"})
    assert describe(NONE, root)["ram_bytes"] == 1_000_000


def test_a_governor_that_saves_power_is_a_warning(tmp_path: Path) -> None:
    name = "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
    plain = describe(NONE, machine(tmp_path, {name: "powersave\n"}))
    assert plain["cpu_governor"] == "powersave"
    assert "powersave" in plain["warnings"][0]
    assert "warnings" not in describe(NONE, machine(tmp_path, {name: "performance\n"}))


def test_names_are_read_where_linux_keeps_them(tmp_path: Path) -> None:
    files = {
        "proc/cpuinfo": "processor\t: 0\nmodel\t: 17\nmodel name\t: Big Chip 9000\n",
        "etc/os-release": 'NAME="Some"\nPRETTY_NAME="Some Linux 1"\n',
    }
    plain = describe(NONE, machine(tmp_path, files))
    assert plain["cpu"] == "Big Chip 9000"
    assert plain["os"] == "Some Linux 1"


@pytest.mark.parametrize(
    ("cpuinfo", "found"),
    [
        ("flags\t\t: fpu avx2 avx512f\n", []),
        ("flags\t\t: avx512_bf16\n", ["BF16"]),
        ("flags\t\t: amx_bf16 amx_tile avx512_fp16\n", ["BF16", "FP16"]),
        ("Features\t: fphp asimdhp\n", ["FP16"]),
        ("", []),
    ],
)
def test_a_processor_says_in_which_precisions_it_computes(
    tmp_path: Path, cpuinfo: str, found: list[str]
) -> None:
    assert precisions(machine(tmp_path, {"proc/cpuinfo": cpuinfo})) == found
