"""The script that tries everything on a GPU says so where there is none, and ends well."""

import json
import os
import subprocess
import sys
from pathlib import Path

from support import nvml

from benchmarks.gpu.page import page

ROOT = Path(__file__).parents[2]


def check(folder: Path, *parts: str, **more: str) -> tuple[int, str, dict[str, object]]:
    environment = {**os.environ, "PYTHON": sys.executable, "OUT": str(folder), **more}
    environment.pop("CUDA_VISIBLE_DEVICES", None)
    done = subprocess.run(
        [ROOT / "scripts" / "gpu" / "check", *(f"--only={part}" for part in parts)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.returncode, done.stdout, json.loads((folder / "check.json").read_text())


def test_where_there_is_no_gpu_it_says_so_and_ends_well(tmp_path: Path) -> None:
    code, said, found = check(tmp_path, "counters", "cuda_shared_memory")
    assert code == 0, said
    assert said.endswith("; no GPU\n") is not found["gpu"]
    parts = found["parts"]
    assert isinstance(parts, dict)
    assert "nvml" in parts["counters"]
    if not found["gpu"]:
        assert parts["cuda_shared_memory"] == {"not tried": "no GPU"}


def test_a_gpu_that_the_runtimes_cannot_use_fails_the_check_with_the_reason(tmp_path: Path) -> None:
    library = nvml.build(tmp_path)
    code, said, found = check(
        tmp_path, "busy_counters", TINY_NVML="count=1", LD_LIBRARY_PATH=str(library.parent)
    )
    assert code == 1, said
    parts = found["parts"]
    assert isinstance(parts, dict)
    assert "resnet50 is not served" in parts["busy_counters"]["failed"]
    assert "pip install onnxruntime-gpu" in parts["busy_counters"]["failed"]


def test_the_page_has_a_line_for_every_figure_and_says_what_was_not_tried() -> None:
    parts = {
        "throughput": {"resnet50": {"concurrency 8": {"requests/s": 1234.5, "p50 ms": 6.4}}},
        "plans": {"not tried": "no module\nnamed tensorrt"},
        "sweep": {"failed": "AssertionError: a | b"},
    }
    shown = page({"taken_at": "2026-11-26T00:00:00Z", "machine": {"gpus": "H200"}, "parts": parts})
    assert "| gpus | H200 |" in shown
    assert "| resnet50, concurrency 8 | requests/s | 1234 |" in shown
    assert "## Plans\n\nnot tried: no module named tensorrt\n" in shown
    assert "failed: AssertionError: a / b" in shown
