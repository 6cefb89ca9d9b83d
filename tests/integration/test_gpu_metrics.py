"""On a machine with GPUs (a stand-in for NVML's library) they are looked at throughout."""

import csv
import os
import subprocess
import sys
from pathlib import Path

from support import nvml

from analyzer.record import journal


def rows(path: Path) -> list[list[str]]:
    with path.open() as file:
        return [row for row in csv.reader(file) if row]


def test_gpus_are_measured_idle_and_under_load(tmp_path: Path) -> None:
    library = nvml.build(tmp_path)
    environment = {**os.environ, "TINY_NVML": "count=2", "LD_LIBRARY_PATH": str(library.parent)}
    environment.pop("CUDA_VISIBLE_DEVICES", None)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "analyzer", "profile", "--model", "identity"),
            *("--search-time", "1", "--verify-pairs", "0", "--measurement-interval", "60"),
            *("--concurrency", "1", "--stability-percentage", "100"),
        ],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = tmp_path / "results" / "identity"
    idle = rows(results / "metrics-server-only.csv")
    assert [row[:2] for row in idle[1:]] == [
        ["triton-server", "GPU-tiny-0"],
        ["triton-server", "GPU-tiny-1"],
    ]
    measured = journal.read(results / "journal.jsonl").rows
    assert all(set(row.gpus) == {"GPU-tiny-0", "GPU-tiny-1"} for row in measured)
    assert all(row.metrics["gpu_used_memory"] > 900 for row in measured)
    # Model Analyzer's rule: its table of GPUs lists no model whose instances are on the CPU.
    assert not (results / "metrics-model-gpu.csv").exists()
