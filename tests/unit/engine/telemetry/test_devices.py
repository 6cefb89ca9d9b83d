"""The machine's metrics: looked at now and then, and never in the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import nvml, prometheus
from support.prometheus import Values, names, of, read
from support.serving import until

from engine.telemetry.devices import Devices, busy
from engine.telemetry.exposition import render
from engine.telemetry.gpus import Gpus

CPU = {"nv_cpu_utilization", "nv_cpu_memory_total_bytes", "nv_cpu_memory_used_bytes"}
POOL = {"nv_pinned_memory_pool_total_bytes", "nv_pinned_memory_pool_used_bytes"}
GPU = {
    "nv_gpu_utilization", "nv_gpu_memory_total_bytes", "nv_gpu_memory_used_bytes",
    "nv_gpu_power_usage", "nv_gpu_power_limit", "nv_energy_consumption",
}  # fmt: skip


def shown(devices: Devices) -> Values:
    return read(render(devices.families()))


@pytest.mark.triton("12.6")
def test_processors_and_memory_are_the_machines() -> None:
    devices = Devices(Gpus(None, None), gpu=False, cpu=True, interval_ms=60_000)
    devices.start()
    got = shown(devices)
    devices.stop()
    assert names(got) == CPU | POOL
    assert 0 <= of(got, "nv_cpu_utilization") <= 1
    total = psutil.virtual_memory().total
    assert of(got, "nv_cpu_memory_total_bytes") == total
    assert 0 < of(got, "nv_cpu_memory_used_bytes") < total


def test_what_is_not_wanted_is_not_there() -> None:
    devices = Devices(Gpus(None, None), gpu=False, cpu=False, interval_ms=60_000)
    devices.start()
    assert names(shown(devices)) == POOL
    devices.stop()


@pytest.mark.triton("12.11")
def test_they_are_looked_at_again_after_each_interval() -> None:
    devices = Devices(Gpus(None, None), gpu=False, cpu=True, interval_ms=5)
    devices.start()
    first = shown(devices)
    until(lambda: shown(devices) != first, "another look")
    devices.stop()


SECONDS = st.floats(0, 1e6)


@given(SECONDS, SECONDS, SECONDS, SECONDS)
def test_utilization_is_from_0_to_1(total: float, idle: float, more: float, less: float) -> None:
    assert 0 <= busy((total, idle), (total + more, idle + less)) <= 1
    assert busy((total, idle), (total, idle)) == 0


def test_half_of_the_time_busy_is_a_half() -> None:
    assert busy((100, 40), (110, 45)) == 0.5


LOOK = """
import json, os, sys
from engine.telemetry.devices import Devices
from engine.telemetry.exposition import render
from engine.telemetry.gpus import find
devices = Devices(find(os.environ), gpu=True, cpu=False, interval_ms=5)
devices.start()
for _ in sys.stdin:
    print(json.dumps([render(devices.families()), [devices.uuid(n) for n in range(3)]]), flush=True)
"""


@dataclass(frozen=True)
class Rig:
    """A process with GPUs that are none; ``look`` gives what it shows, and three GPUs' names."""

    look: Callable[[], tuple[str, list[str]]]


@pytest.fixture
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    library = nvml.build(tmp_path)
    environment = {**os.environ, "LD_LIBRARY_PATH": str(library.parent), **request.param}
    if "CUDA_VISIBLE_DEVICES" not in request.param:
        environment.pop("CUDA_VISIBLE_DEVICES", None)
    running = subprocess.Popen(
        [sys.executable, "-c", LOOK],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def look() -> tuple[str, list[str]]:
        assert running.stdin is not None
        assert running.stdout is not None
        running.stdin.write("\n")
        running.stdin.flush()
        page, uuids = json.loads(running.stdout.readline())
        return page, uuids

    yield Rig(look)
    running.communicate()


@pytest.mark.triton("12.6", "12.11")
@pytest.mark.parametrize("rig", [{"TINY_NVML": "count=2"}], indirect=True)
def test_each_gpu_says_what_it_knows_of_itself(rig: Rig) -> None:
    got = read(rig.look()[0])
    assert names(got) == GPU | POOL
    for number in range(2):
        uuid = f"GPU-tiny-{number}"
        assert of(got, "nv_gpu_utilization", gpu_uuid=uuid) == pytest.approx(0.40 + number / 100)
        assert of(got, "nv_gpu_memory_total_bytes", gpu_uuid=uuid) == 80 << 30
        assert of(got, "nv_gpu_memory_used_bytes", gpu_uuid=uuid) == (1000 + number) << 20
        assert of(got, "nv_gpu_power_usage", gpu_uuid=uuid) == 100 + number
        assert of(got, "nv_gpu_power_limit", gpu_uuid=uuid) == 300 + number

    def spent() -> float:
        return prometheus.of(read(rig.look()[0]), "nv_energy_consumption", gpu_uuid="GPU-tiny-0")

    assert spent() < 3600 * 50, "since the start, not since the GPU was made"
    until(lambda: spent() > 0.5, "half a joule")


@pytest.mark.parametrize(
    "rig", [{"TINY_NVML": "count=2 energy=3 limit=3 utilization=3"}], indirect=True
)
def test_what_a_gpu_does_not_tell_is_left_out(rig: Rig) -> None:
    got = read(rig.look()[0])
    told = {"nv_gpu_memory_total_bytes", "nv_gpu_memory_used_bytes", "nv_gpu_power_usage"}
    assert names(got) == POOL | told


@pytest.mark.parametrize(
    "rig", [{"TINY_NVML": "count=3", "CUDA_VISIBLE_DEVICES": "2,GPU-tiny-0,7,1"}], indirect=True
)
def test_gpus_are_those_that_cuda_shows_in_its_order(rig: Rig) -> None:
    page, uuids = rig.look()
    assert uuids == ["GPU-tiny-2", "GPU-tiny-0", "2"], "what nobody knows goes by its number"
    assert 'gpu_uuid="GPU-tiny-1"' not in page


@pytest.mark.parametrize("rig", [{"TINY_NVML": "init=9"}], indirect=True)
def test_a_machine_whose_driver_does_not_start_has_no_gpus(rig: Rig) -> None:
    assert names(read(rig.look()[0])) == POOL
