"""Several models at once: one row of all of them, and a row of each out of it."""

import pytest

from analyzer import together
from analyzer.metrics import BY_TAG
from analyzer.record.row import LoadSpec, Row, Trial
from analyzer.space import Candidate

A = {"perf_throughput": 300.0, "perf_latency_p99": 4.0, "cpu_utilization": 150.0,
     "gpu_energy_per_inference": 20.0}  # fmt: skip
B = {"perf_throughput": 100.0, "perf_latency_p99": 10.0, "cpu_utilization": 151.0,
     "gpu_energy_per_inference": 60.0}  # fmt: skip


def fields(metrics: dict[str, float], *remarks: str, concurrency: int = 1) -> dict[str, object]:
    load = together.level(LoadSpec(concurrency=concurrency))
    return {
        "stable": True, "metrics": metrics, "requests": 50, "gpus": {}, "runtime": {"runtime": "x"},
        "absent": {}, "remarks": remarks, "series": {}, "server": {"requests": 50},
        "estimates": {}, "histogram": "h", "load": load,
    }  # fmt: skip


def row() -> Row:
    made = together.fields({
        "a": fields(A, "others were busy", "the client was the bottleneck", concurrency=2),
        "b": fields(B, "others were busy", concurrency=8),
    })  # fmt: skip
    shown = {
        "a": {"variant": "a_config_0", "instance_count": 2},
        "b": {"variant": "b_config_default"},
    }
    return Row(
        number=0, taken_at="", seconds=1.0, model="a+b", variant="a+b_config_0", digest="d",
        trial=Trial(candidate=Candidate.of(**{"a::concurrency": 2, "b::concurrency": 8})),
        load=LoadSpec(concurrency=10), settings={"models": shown},
        composing={"a": 'name: "a"\n', "b": 'name: "b"\n'}, **made,
    )  # fmt: skip


def test_throughputs_add_up_and_what_is_the_machines_stands_once() -> None:
    found = together.metrics({"a": A, "b": B})
    assert found["perf_throughput"] == 400.0
    assert found["perf_latency_p99"] == 7.0
    assert found["cpu_utilization"] == 150.0
    assert found["a::perf_throughput"] == 300.0
    assert found["b::perf_latency_p99"] == 10.0
    assert "a::cpu_utilization" not in found
    # 6 W: 20 mJ at 300 a second, 60 mJ at 100 a second; 15 mJ at 400 a second.
    assert found["gpu_energy_per_inference"] == pytest.approx(15.0)


def test_what_is_said_of_all_is_said_once() -> None:
    assert row().remarks == ("others were busy", "a: the client was the bottleneck")


def test_each_model_has_a_row_of_its_own_out_of_the_whole() -> None:
    a, b = together.rows(row())
    assert (a.model, a.variant, a.load.concurrency) == ("a", "a_config_0", 2)
    assert (b.model, b.variant, b.load.concurrency) == ("b", "b_config_default", 8)
    assert a.metrics == {**A, "gpu_energy_per_inference": pytest.approx(15.0)}
    assert a.config == 'name: "a"\n'
    assert a.settings["instance_count"] == 2
    assert (b.requests, b.histogram) == (50, "h")
    assert together.rows(a) == ()


def test_a_models_own_metric_is_that_metric_under_another_name() -> None:
    metric = BY_TAG["a::perf_latency_p99"]
    assert metric.tag == "a::perf_latency_p99"
    assert metric.header == "a: p99 Latency (ms)"
    assert metric.direction is BY_TAG["perf_latency_p99"].direction
    assert "a::perf_latency_p99" not in BY_TAG
    with pytest.raises(KeyError):
        BY_TAG["a::speed"]
    with pytest.raises(KeyError):
        BY_TAG["speed"]
