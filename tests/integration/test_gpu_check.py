"""The script that tries everything on a GPU says so where there is none, and ends well."""

import json
import os
import subprocess
import sys
from pathlib import Path

from support import nvml

ROOT = Path(__file__).parents[2]


def check(folder: Path, part: str, **more: str) -> tuple[int, str, dict[str, object]]:
    environment = {**os.environ, "PYTHON": sys.executable, "OUT": str(folder), **more}
    environment.pop("CUDA_VISIBLE_DEVICES", None)
    done = subprocess.run(
        [ROOT / "scripts" / "gpu" / "check", "--only", part],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.returncode, done.stdout, json.loads((folder / "check.json").read_text())


def test_where_there_is_no_gpu_it_says_so_and_ends_well(tmp_path: Path) -> None:
    code, said, found = check(tmp_path, "counters")
    assert code == 0, said
    assert said.endswith("; no GPU\n") is not found["gpu"]
    assert "nvml" in str(found["counters"])


def test_a_gpu_that_the_runtimes_cannot_use_fails_the_check_with_the_reason(tmp_path: Path) -> None:
    library = nvml.build(tmp_path)
    code, said, found = check(
        tmp_path, "answers", TINY_NVML="count=1", LD_LIBRARY_PATH=str(library.parent)
    )
    assert code == 1, said
    answers = found["answers"]
    assert isinstance(answers, dict)
    assert "not served: {'onnx_cuda'}" in answers["failed"]
    assert "pip install onnxruntime-gpu" in answers["failed"]
