"""The true NVML binding against a stand-in for the driver's library, in a child process."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support import nvml

LOOK = """
import json, sys
from dataclasses import asdict
from analyzer.measure import gpus
from analyzer.measure.aggregate import Glimpse, Seen
from analyzer.measure.machine import describe
from analyzer.measure.observe import Watch
import os
found = gpus.find()
with Watch(os.getpid(), nvml=found, period_s=0.01) as watch:
    pass
seen = watch.seen()
print(json.dumps({
    "known": [asdict(gpu) for gpu in found.known],
    "reason": found.reason,
    "driver": found.driver,
    "looks": [asdict(look) for glimpse in seen.glimpses[:2] for look in glimpse.gpus],
    "machine": describe(found),
}))
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return nvml.build(tmp_path_factory.mktemp("nvml"))


def look(library: Path | None, state: str = "", **more: str) -> dict[str, Any]:
    environment = {**os.environ, "TINY_NVML": state, **more}
    environment.pop("CUDA_VISIBLE_DEVICES", None) if "CUDA_VISIBLE_DEVICES" not in more else None
    if library is not None:
        environment["LD_LIBRARY_PATH"] = str(library.parent)
    done = subprocess.run(
        [sys.executable, "-c", LOOK], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    plain: dict[str, Any] = json.loads(done.stdout)
    return plain


def test_gpus_are_known_and_looked_at(library: Path) -> None:
    seen = look(library, "count=2")
    assert [gpu["uuid"] for gpu in seen["known"]] == ["GPU-tiny-0", "GPU-tiny-1"]
    assert seen["known"][0]["name"] == "Tiny GPU 0"
    assert seen["known"][0]["total_bytes"] == 80 << 30
    first, second = seen["looks"][:2]
    assert (first["used_bytes"], second["used_bytes"]) == (1000 << 20, 1001 << 20)
    assert (first["utilization"], second["utilization"]) == (40, 41)
    assert (first["power_watts"], second["power_watts"]) == (100, 101)
    assert second["energy_mj"] > first["energy_mj"] > 0
    assert seen["driver"] == "999.1.tiny"
    assert seen["machine"]["gpus"] == seen["known"]
    assert seen["machine"]["gpu_driver"] == "999.1.tiny"


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("memory", "used_bytes"),
        ("utilization", "utilization"),
        ("power", "power_watts"),
        ("energy", "energy_mj"),
    ],
)
def test_what_a_gpu_does_not_support_is_none_and_the_rest_is_there(
    library: Path, question: str, answer: str
) -> None:
    """As under MIG (no utilisation), on old GPUs (no energy), or when a GPU is lost."""
    (first, *_) = look(library, f"{question}=3")["looks"]
    assert first.pop(answer) is None
    assert None not in first.values()


@pytest.mark.parametrize(
    ("visible", "shown"),
    [("1", [1]), ("2,0", [2, 0]), ("GPU-tiny-1", [1]), ("0,9,1", [0]), ("MIG-x", [0, 1, 2])],
)
def test_gpus_that_cuda_does_not_show_are_left_out(
    library: Path, visible: str, shown: list[int]
) -> None:
    seen = look(library, "count=3", CUDA_VISIBLE_DEVICES=visible)
    assert [gpu["uuid"] for gpu in seen["known"]] == [f"GPU-tiny-{index}" for index in shown]


@pytest.mark.parametrize(
    ("state", "visible", "reason"),
    [
        ("count=0", None, "shows no GPU"),
        ("count=2", "-1", "shows no GPU"),
        ("init=9", None, "NVML: "),
    ],
)
def test_that_there_is_no_gpu_has_a_reason(
    library: Path, state: str, visible: str | None, reason: str
) -> None:
    more = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    seen = look(library, state, **more)
    assert seen["known"] == seen["looks"] == []
    assert reason in seen["reason"]
    assert seen["machine"]["no_gpu"] == seen["reason"]


def test_a_machine_without_the_driver_has_a_reason() -> None:
    if Path("/dev/nvidiactl").exists():
        pytest.skip("this machine has an NVIDIA driver")
    assert look(None)["reason"] == "NVML: NVML Shared Library Not Found"
