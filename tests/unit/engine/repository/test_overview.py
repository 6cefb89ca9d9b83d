from __future__ import annotations

import pytest

from engine.modelconfig.schema import InstanceGroup, InstanceKind, ModelConfig
from engine.repository.lifecycle import ModelState
from engine.repository.overview import COLUMNS, instances, overview
from engine.repository.registry import IndexEntry

CPU, GPU, AUTO = InstanceKind.KIND_CPU, InstanceKind.KIND_GPU, InstanceKind.KIND_AUTO


def group(kind: InstanceKind, count: int, *gpus: int) -> InstanceGroup:
    return InstanceGroup(kind=kind, count=count, gpus=gpus)


@pytest.mark.parametrize(
    ("groups", "text"),
    [
        ([], ""),
        ([group(CPU, 2)], "2 x CPU"),
        ([group(GPU, 2, 0, 1)], "2 x GPU 0, 2 x GPU 1"),
        ([group(GPU, 1, 0), group(GPU, 3, 0), group(CPU, 1)], "4 x GPU 0, 1 x CPU"),
        ([group(AUTO, 1)], "1 x auto"),
    ],
)
def test_instances_are_counted_by_where_they_run(groups: list[InstanceGroup], text: str) -> None:
    assert instances(groups) == text


def test_what_is_served_comes_first_and_is_described() -> None:
    config = ModelConfig(backend="onnxruntime", max_batch_size=8, instance_group=(group(CPU, 2),))
    broken, ready = overview(
        [
            IndexEntry("a", "", ModelState.UNAVAILABLE, "the reason"),
            IndexEntry("b", "3", ModelState.READY),
        ],
        {("b", "3"): config},
        {("b", "3"): {"runtime": "onnxruntime 1.32.0", "providers": "CPUExecutionProvider, x"}},
    )[::-1]
    assert ready.cells == (
        "b",
        "3",
        "READY",
        "onnxruntime",
        "2 x CPU",
        "8",
        "onnxruntime 1.32.0, CPU",
    )
    assert ready.explanation == ""
    assert broken.cells == ("a", "-", "UNAVAILABLE", "", "", "", "")
    assert broken.explanation == "a: the reason"
    assert len(COLUMNS) == len(ready.cells)


def test_a_version_that_failed_is_named_in_its_explanation() -> None:
    (line,) = overview([IndexEntry("a", "2", ModelState.UNAVAILABLE, "why")], {})
    assert line.explanation == "a version 2: why"


def test_a_model_without_a_backend_shows_its_platform() -> None:
    config = ModelConfig(platform="ensemble")
    (line,) = overview([IndexEntry("a", "1", ModelState.READY)], {("a", "1"): config})
    assert line.backend == "ensemble"
