"""The metrics page: model statistics as Prometheus's text format. Pure.

Owns the names, kinds and labels of Triton's ``nv_inference_*`` metrics. A model's series are
all there from the moment it is loaded, at 0, and go when it goes. Durations are in whole us.
Does not own counting (``telemetry.stats``) nor the port it is read from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.telemetry.stats import ModelStatistics

Described = tuple["ModelStatistics", Mapping[str, str]]
CONTENT_TYPE = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class _Metric:
    name: str
    kind: str
    help: str
    value: Callable[[ModelStatistics], int]


_METRICS = (
    _Metric(
        "nv_inference_request_success",
        "counter",
        "Requests answered, whatever their batch size",
        lambda seen: seen.success.count,
    ),
    _Metric(
        "nv_inference_count",
        "counter",
        "Rows inferred, those from a cache not counted",
        lambda seen: seen.inference_count,
    ),
    _Metric(
        "nv_inference_exec_count",
        "counter",
        "Runs of the model, each on a whole batch",
        lambda seen: seen.execution_count,
    ),
    _Metric(
        "nv_inference_request_duration_us",
        "counter",
        "Sum of the times from a request's arrival to its answer",
        lambda seen: seen.success.ns // 1000,
    ),
    _Metric(
        "nv_inference_queue_duration_us",
        "counter",
        "Sum of the times that requests waited for an instance",
        lambda seen: seen.queue.ns // 1000,
    ),
    _Metric(
        "nv_inference_compute_input_duration_us",
        "counter",
        "Sum over requests of the times to gather their batch's inputs",
        lambda seen: seen.compute_input.ns // 1000,
    ),
    _Metric(
        "nv_inference_compute_infer_duration_us",
        "counter",
        "Sum over requests of the times that their batch's model ran",
        lambda seen: seen.compute_infer.ns // 1000,
    ),
    _Metric(
        "nv_inference_compute_output_duration_us",
        "counter",
        "Sum over requests of the times to part their batch's outputs",
        lambda seen: seen.compute_output.ns // 1000,
    ),
    _Metric(
        "nv_inference_pending_request_count",
        "gauge",
        "Requests that wait for an instance at this moment",
        lambda seen: seen.pending,
    ),
)
_FAILURES = "nv_inference_request_failure"


def render(models: Sequence[Described]) -> str:
    """Write the page for these models; each comes with its ``metric_tags``."""
    lines: list[str] = []
    labelled = [(statistics, _labels(statistics, tags)) for statistics, tags in models]
    for metric in _METRICS:
        lines += _head(metric.name, metric.kind, metric.help)
        lines += [f"{metric.name}{{{labels}}} {metric.value(seen)}" for seen, labels in labelled]
    lines += _head(_FAILURES, "counter", "Requests that failed, by reason")
    for seen, labels in labelled:
        lines += [
            f'{_FAILURES}{{{labels},reason="{reason.value}"}} {count}'
            for reason, count in seen.failures.items()
        ]
    return "\n".join(lines) + "\n"


def _head(name: str, kind: str, text: str) -> Iterable[str]:
    return (f"# HELP {name} {text}", f"# TYPE {name} {kind}")


def _labels(statistics: ModelStatistics, tags: Mapping[str, str]) -> str:
    pairs = {"model": statistics.name, "version": statistics.version}
    pairs |= {f"_{name}": value for name, value in tags.items()}
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in pairs.items())


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
