"""A goal that this machine cannot measure is refused before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer.errors import UsageError
from analyzer.measure.attainable import refuse, settled, why_not
from analyzer.measure.rapl import Rapl
from analyzer.metrics import METRICS
from analyzer.ranking.goal import parse_goal

NO_GPU = {"no_gpu": "no NVIDIA driver"}
GPU = {"gpus": [{"uuid": "GPU-1"}]}


def test_energy_and_gpus_are_refused_with_their_reasons_where_there_are_none(
    tmp_path: Path,
) -> None:
    none = Rapl(tmp_path)
    with pytest.raises(UsageError) as caught:
        refuse(
            ("perf_throughput", "cpu_energy_per_inference", "gpu_used_memory"),
            NO_GPU, remote=False, rapl=none,
        )  # fmt: skip
    text = caught.value.message
    assert "cpu_energy_per_inference cannot be measured here: this machine shows no energy" in text
    assert "gpu_used_memory cannot be measured here: no NVIDIA driver" in text
    assert "perf_throughput" not in text
    assert why_not("energy_per_inference", NO_GPU, remote=False, rapl=none).endswith(
        "NVIDIA driver"
    )


def test_either_meter_is_enough_for_the_energy_of_an_inference(tmp_path: Path) -> None:
    zone = tmp_path / "sys/class/powercap/intel-rapl:0"
    zone.mkdir(parents=True)
    (zone / "name").write_text("package-0\n")
    (zone / "energy_uj").write_text("5\n")
    metered = Rapl(tmp_path)
    assert why_not("energy_per_inference", NO_GPU, remote=False, rapl=metered) == ""
    assert why_not("cpu_power_usage", NO_GPU, remote=False, rapl=metered) == ""
    none = Rapl(tmp_path / "elsewhere")
    assert why_not("energy_per_inference", GPU, remote=False, rapl=none) == ""
    assert all(why_not(each.tag, GPU, remote=False, rapl=metered) == "" for each in METRICS)


def test_an_upper_bound_on_what_gpus_use_holds_by_itself_where_there_are_none() -> None:
    goal = parse_goal(
        constraints={
            "gpu_used_memory": {"max": 5000},
            "gpu_utilization": {"max": 90},
            "gpu_power_usage": {"min": 1, "max": 2},
            "perf_latency_p99": {"max": 9},
        }
    )
    kept = [each.tag for each in settled(goal, NO_GPU, remote=False).constraints]
    assert kept == ["gpu_utilization", "gpu_power_usage", "perf_latency_p99"]
    assert settled(goal, GPU, remote=False) == goal
    assert settled(goal, NO_GPU, remote=True) == goal


def test_of_a_server_elsewhere_its_processes_are_out_of_sight() -> None:
    with pytest.raises(UsageError, match="cpu_used_ram cannot be measured here: the server runs"):
        refuse(("cpu_used_ram", "gpu_used_memory"), NO_GPU, remote=True)
