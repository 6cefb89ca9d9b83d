"""The table of metrics: every line of it can be asked for, and is explained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analyzer.metrics import BY_TAG, GOODPUT, METRICS, Direction, GpuUse, of_gpu
from analyzer.ranking.goal import parse_goal

DOCS = (Path(__file__).parents[3] / "docs" / "measured-metrics.md").read_text()


def test_tags_and_headers_are_told_apart() -> None:
    assert len({metric.tag for metric in METRICS}) == len(METRICS)
    assert len({metric.header for metric in METRICS}) == len(METRICS)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.tag)
def test_each_is_an_objective_and_a_constraint_and_is_explained(metric: Any) -> None:
    within: dict[str, dict[str, float]] = {}
    if metric.tag == GOODPUT:
        within = {"perf_latency_p95": {"max": 7}}
    goal = parse_goal([metric.tag], {metric.tag: {"max": 5}, **within}, cost_per_hour=1.5)
    kept = dict.fromkeys(within, 1.0)
    assert goal.satisfied({metric.tag: 4.0, **kept})
    assert not goal.satisfied({metric.tag: 6.0, **kept})
    better, worse = (9.0, 3.0) if metric.direction is Direction.MORE else (3.0, 9.0)
    assert goal.score({metric.tag: better}, {}) > goal.score({metric.tag: worse}, {})
    assert f"`{metric.tag}`" in DOCS


def test_a_gpus_own_metrics_are_in_the_table() -> None:
    every = GpuUse(
        uuid="GPU-1",
        name="Big One",
        used_bytes=1,
        total_bytes=2,
        utilization=1.0,
        power_watts=1.0,
        server_bytes=1,
        temperature_c=1.0,
        sm_mhz=1.0,
        memory_mhz=1.0,
        throttled=1.0,
    )
    told = of_gpu(every)
    assert len(told) == 9
    assert told.keys() <= BY_TAG.keys()
    assert of_gpu(GpuUse(uuid="GPU-1", name="")) == {}
