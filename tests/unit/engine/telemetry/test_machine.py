from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.telemetry.machine import cores, quota


def group(root: Path, **files: str) -> Path:
    for name, text in files.items():
        file = root / name.replace("_dot_", ".")
        file.write_text(text)
    return root


@pytest.mark.parametrize(
    ("text", "expected"),
    [("150000 100000\n", 1.5), ("max 100000\n", None), ("50000 100000", 0.5), ("", None)],
)
def test_version_2_gives_its_quota(tmp_path: Path, text: str, expected: float | None) -> None:
    assert quota(group(tmp_path, cpu_dot_max=text)) == expected


@pytest.mark.parametrize(("limit", "expected"), [("200000", 2.0), ("-1", None)])
def test_version_1_gives_its_quota(tmp_path: Path, limit: str, expected: float | None) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(limit)
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
    assert quota(tmp_path) == expected


def test_without_a_control_group_every_allowed_core_counts(tmp_path: Path) -> None:
    assert quota(tmp_path) is None
    assert cores(tmp_path) == len(os.sched_getaffinity(0))


def test_half_a_core_is_one(tmp_path: Path) -> None:
    assert cores(group(tmp_path, cpu_dot_max="50000 100000")) == 1


def test_a_quota_above_the_machine_adds_no_core(tmp_path: Path) -> None:
    assert cores(group(tmp_path, cpu_dot_max="99900000 100000")) == len(os.sched_getaffinity(0))
