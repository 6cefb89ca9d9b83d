"""What is asked of a machine before measurements are put side by side."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from analyzer.measure import side_by_side
from analyzer.measure.gpus import Gpus, NoGpus
from engine.nvml import Gpu, GpuLook


@dataclass
class Three:
    """Three GPUs: one idle, one in use, and a part of a divided one."""

    gone: str = ""
    reason: str = ""
    driver: str = "550"
    unanswered: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    known: tuple[Gpu, ...] = (
        Gpu(uuid="GPU-a", name="H100", total_bytes=80),
        Gpu(uuid="GPU-b", name="H100", total_bytes=80),
        Gpu(uuid="MIG-c", name="H100 MIG", total_bytes=10, whole="GPU-c"),
    )

    def look(self, *, closely: bool = False, energy: bool = True) -> tuple[GpuLook, ...]:
        assert not energy
        if not closely:
            return (GpuLook(uuid="GPU-a", lost=self.gone),)
        return (
            GpuLook(uuid="GPU-a", utilization=0.0, used_by={}),
            GpuLook(uuid="GPU-b", utilization=0.9, used_by={7: None, 8: 100}),
            GpuLook(uuid="MIG-c"),
        )


def test_gpus_are_found_as_they_are_now() -> None:
    idle, used, part = side_by_side.found(Three())
    assert (idle.uuid, idle.kind, idle.processes, idle.busy) == ("GPU-a", "H100, 0 GiB", 0, "")
    assert (used.processes, used.utilization, used.busy) == (2, 0.9, "in use by 2 processes")
    assert (part.whole, part.processes, part.busy) == (False, None, "divided into MIG instances")
    assert side_by_side.found(NoGpus("no driver")) == ()


def test_only_gpus_that_were_named_are_looked_at_by_uuid_or_number() -> None:
    named = [each.uuid for each in side_by_side.found(Three(), ("GPU-b", "0"))]
    assert named == ["GPU-a", "GPU-b"]


def test_threads_of_one_core_stay_together(tmp_path: Path) -> None:
    for core, siblings in {0: "0,4", 1: "1-1,5", 4: "0,4", 5: "1,5", 6: "?"}.items():
        folder = tmp_path / f"sys/devices/system/cpu/cpu{core}/topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(f"{siblings}\n")
    usable = frozenset({0, 1, 4, 6, 7})
    found = side_by_side.cores(usable, tmp_path)
    # What says nothing, or nothing that can be read, stands by itself; 5 may not be used.
    assert found == tuple(map(frozenset, ((0, 4), (1,), (6,), (7,))))
    here = side_by_side.cores()
    assert frozenset().union(*here) == frozenset(os.sched_getaffinity(0))


def test_a_gpu_is_lost_where_it_says_so_or_is_not_shown_any_more() -> None:
    asked: list[str] = []

    def shows(devices: Gpus) -> str:
        def find(environment: Mapping[str, str]) -> Gpus:
            asked.append(environment["CUDA_VISIBLE_DEVICES"])
            return devices

        return side_by_side.lost("GPU-a", find)

    assert shows(Three()) == ""
    assert shows(Three(gone="GPU is lost")) == "GPU is lost"
    assert shows(NoGpus("the NVIDIA driver shows no GPU here")) == (
        "the NVIDIA driver shows no GPU here"
    )
    assert asked == ["GPU-a"] * 3
