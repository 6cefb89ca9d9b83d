"""A model repository with a model of known speed."""

from __future__ import annotations

from pathlib import Path

CONFIG = """\
backend: "synthetic"
max_batch_size: 8
input [ {{ name: "IN" data_type: TYPE_FP32 dims: [ 4 ] }} ]
output [ {{ name: "OUT" data_type: TYPE_FP32 dims: [ 4 ] }} ]
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
parameters {{ key: "latency_us" value: {{ string_value: "{latency_us}" }} }}
"""


def write(folder: Path, *, latency_us: int = 20000, name: str = "echo") -> Path:
    """Write a model that answers after so many microseconds; return the repository."""
    version = folder / name / "1"
    version.mkdir(parents=True, exist_ok=True)
    (version / "weights").write_bytes(b"none")
    (folder / name / "config.pbtxt").write_text(CONFIG.format(latency_us=latency_us))
    return folder
