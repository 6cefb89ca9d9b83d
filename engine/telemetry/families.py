"""The metrics of models: which families there are, and what each says of a model. Pure.

Owns the names, kinds and labels of Triton's families of models, and of this server's few own
ones (``servetune_``). A model's series are all there from the moment it is loaded, at 0, and go
when it goes. Durations are in whole us. Does not own counting (``stats``, ``spread``).

Labels, as in Triton: ``model`` and ``version``; the model's ``metric_tags``, each with a ``_`` in
front; on what is counted where it runs, ``gpu_uuid`` for the part that runs on a GPU. What belongs
to no instance (failures, waiting requests, the cache, the time to load) has no ``gpu_uuid``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from engine.telemetry.exposition import Family, Kind, Number, Sample, number
from engine.telemetry.pictures import HistogramPicture, SpreadPicture, SummaryPicture
from engine.telemetry.spread import FIRST_RESPONSE, LOOKUPS, PARTS, QUEUE

if TYPE_CHECKING:
    from engine.metering import Metering
    from engine.telemetry.stats import DeviceTally, ModelStatistics

Labels = Mapping[str, str]
Uuid = Callable[[int], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """One model version: its figures, tags, time to load, and spread if it has one."""

    statistics: ModelStatistics
    tags: Mapping[str, str] = field(default_factory=dict)
    load_ns: int = 0
    spread: SpreadPicture = field(default_factory=SpreadPicture)


@dataclass(frozen=True, slots=True)
class _PerDevice:
    """A counter that has a series for each device."""

    name: str
    help: str
    value: Callable[[DeviceTally], Number]


@dataclass(frozen=True, slots=True)
class _PerModel:
    """A number that a model has once."""

    name: str
    help: str
    value: Callable[[Described], Number]
    kind: Kind = Kind.COUNTER


_COUNTS = (
    _PerDevice(
        "nv_inference_request_success",
        "Requests answered, whatever their batch size",
        lambda seen: seen.success.count,
    ),
    _PerDevice(
        "nv_inference_count",
        "Rows inferred, those from a cache not counted",
        lambda seen: seen.inference_count,
    ),
    _PerDevice(
        "nv_inference_exec_count",
        "Runs of the model, each on a whole batch",
        lambda seen: seen.execution_count,
    ),
)
_DURATIONS = (
    _PerDevice(
        "nv_inference_request_duration_us",
        "Sum of the times from a request's arrival to its answer",
        lambda seen: seen.success.ns // 1000,
    ),
    _PerDevice(
        "nv_inference_queue_duration_us",
        "Sum of the times that requests waited for an instance",
        lambda seen: seen.queue.ns // 1000,
    ),
    _PerDevice(
        "nv_inference_compute_input_duration_us",
        "Sum over requests of the times to gather their batch's inputs",
        lambda seen: seen.compute_input.ns // 1000,
    ),
    _PerDevice(
        "nv_inference_compute_infer_duration_us",
        "Sum over requests of the times that their batch's model ran",
        lambda seen: seen.compute_infer.ns // 1000,
    ),
    _PerDevice(
        "nv_inference_compute_output_duration_us",
        "Sum over requests of the times to part their batch's outputs",
        lambda seen: seen.compute_output.ns // 1000,
    ),
)
_GAUGES = (
    _PerModel(
        "nv_inference_pending_request_count",
        "Requests that wait for an instance at this moment",
        lambda model: model.statistics.pending,
        Kind.GAUGE,
    ),
    _PerModel(
        "nv_model_load_duration_secs",
        "Time that the model took to load",
        lambda model: model.load_ns / 1e9,
        Kind.GAUGE,
    ),
)
_CACHE_COUNTS = (
    _PerModel(
        "nv_cache_num_hits_per_model",
        "Requests that the response cache answered",
        lambda model: model.statistics.cache_hit.count,
    ),
    _PerModel(
        "nv_cache_num_misses_per_model",
        "Requests that the response cache could not answer",
        lambda model: model.statistics.cache_miss.count,
    ),
)
_CACHE_DURATIONS = (
    _PerModel(
        "nv_cache_hit_duration_per_model",
        "Sum of the times to look up what was there, us",
        lambda model: model.statistics.cache_hit.ns // 1000,
    ),
    _PerModel(
        "nv_cache_miss_duration_per_model",
        "Sum of the times to look up what was not there, and to insert it, us",
        lambda model: model.statistics.cache_miss.ns // 1000,
    ),
)
_NO_LABEL = re.compile(r"[^a-zA-Z0-9_]")
_FAILURES = "nv_inference_request_failure"
_HISTOGRAMS = {
    FIRST_RESPONSE: "Times from a request's arrival to its first response, ms",
    QUEUE: "Times that requests waited for an instance, ms",
}
_SUMMARIES = {
    **{part: f"nv_inference_{part}_summary_us" for part in PARTS},
    **{lookup: f"nv_cache_{lookup}_summary_per_model" for lookup in LOOKUPS},
}


def families(models: Sequence[Described], metering: Metering, uuid: Uuid) -> Iterator[Family]:
    """Say what there is to say of these models; ``uuid`` names a GPU by its number."""
    timed = metering.counter_latencies
    for counter in (*_COUNTS, *(_DURATIONS if timed else ())):
        yield _per_device(counter, models, uuid)
    yield Family(_FAILURES, Kind.COUNTER, "Requests that failed, by reason", _failures(models))
    for gauge in _GAUGES:
        yield _per_model(gauge, models)
    caching = [model for model in models if model.statistics.caches]
    if caching:
        for one in (*_CACHE_COUNTS, *(_CACHE_DURATIONS if timed else ())):
            yield _per_model(one, caching)
    yield from _spreads(models, uuid)
    yield from _own(models, metering, uuid)


def _per_device(counter: _PerDevice, models: Sequence[Described], uuid: Uuid) -> Family:
    samples = [
        Sample(counter.value(device), _labels(model, _gpu(device.device, uuid)))
        for model in models
        for device in model.statistics.devices
    ]
    return Family(counter.name, Kind.COUNTER, counter.help, samples)


def _per_model(one: _PerModel, models: Iterable[Described]) -> Family:
    samples = [Sample(one.value(model), _labels(model)) for model in models]
    return Family(one.name, one.kind, one.help, samples)


def _failures(models: Iterable[Described]) -> list[Sample]:
    return [
        Sample(count, _labels(model, {"reason": reason.value}))
        for model in models
        for reason, count in model.statistics.failures.items()
    ]


def _spreads(models: Sequence[Described], uuid: Uuid) -> Iterator[Family]:
    for name, text in _HISTOGRAMS.items():
        having = [one for one in models if name in one.spread.histograms]
        if having:
            samples = [
                sample
                for one in having
                for sample in _histogram(one.spread.histograms[name], _labels(one))
            ]
            yield Family(name, Kind.HISTOGRAM, text, samples)
    for part, name in _SUMMARIES.items():
        having = [one for one in models if part in one.spread.summaries]
        if having:
            samples = [
                sample
                for one in having
                for sample in _summary(one.spread.summaries[part], _labels(one, _where(one, uuid)))
            ]
            yield Family(name, Kind.SUMMARY, f"Quantiles over the last minute: {part}, us", samples)


def _histogram(seen: HistogramPicture, labels: Labels) -> Iterator[Sample]:
    bounds = [number(bound) for bound in seen.bounds]
    for bound, count in zip((*bounds, "+Inf"), seen.counts, strict=True):
        yield Sample(count, {**labels, "le": bound}, "_bucket")
    yield Sample(seen.sum_ms, labels, "_sum")
    yield Sample(seen.counts[-1], labels, "_count")


def _summary(seen: SummaryPicture, labels: Labels) -> Iterator[Sample]:
    values = seen.seen.quantiles(seen.wanted)
    for quantile, value in zip(seen.wanted, values, strict=True):
        yield Sample(value / 1000, {**labels, "quantile": number(quantile)})
    yield Sample(seen.seen.sum // 1000, labels, "_sum")
    yield Sample(seen.seen.count, labels, "_count")


def _own(models: Sequence[Described], metering: Metering, uuid: Uuid) -> Iterator[Family]:
    """Say what Triton does not: only where it is asked for."""
    if metering.batches:
        samples = [
            Sample(batch.compute_infer.count, _labels(one, {"batch_size": str(batch.batch_size)}))
            for one in models
            for batch in one.statistics.batch_stats
        ]
        yield Family("servetune_batches", Kind.COUNTER, "Batches run, by their rows", samples)
        closings = [
            Sample(count, _labels(one, {"reason": reason.value}))
            for one in models
            for reason, count in one.statistics.closings.items()
        ]
        yield Family(
            "servetune_batches_closed",
            Kind.COUNTER,
            "Batches of dynamic batchers, by why they left with no more in them",
            closings,
        )
    if metering.instance_use:
        where = [(one, _labels(one, _where(one, uuid))) for one in models]
        yield Family(
            "servetune_instances",
            Kind.GAUGE,
            "Instances that get requests",
            [Sample(one.statistics.instances, labels) for one, labels in where],
        )
        yield Family(
            "servetune_instance_busy_us",
            Kind.COUNTER,
            "Sum of the times that instances were computing; its rate, divided by 1e6 and by the "
            "number of instances, is how busy they are, from 0 to 1",
            [Sample(_busy_ns(one.statistics) // 1000, labels) for one, labels in where],
        )


def _busy_ns(statistics: ModelStatistics) -> int:
    return sum(
        batch.compute_input.ns + batch.compute_infer.ns + batch.compute_output.ns
        for batch in statistics.batch_stats
    )


def _where(model: Described, uuid: Uuid) -> Labels:
    """Name the GPU of a model that is on one device alone."""
    devices = {one.device for one in model.statistics.devices}
    return _gpu(devices.pop(), uuid) if len(devices) == 1 else {}


def _gpu(device: int | None, uuid: Uuid) -> Labels:
    return {} if device is None else {"gpu_uuid": uuid(device)}


def _labels(model: Described, more: Labels | None = None) -> Labels:
    return {
        "model": model.statistics.name,
        "version": model.statistics.version,
        **{_tag(name): value for name, value in model.tags.items()},
        **(more or {}),
    }


def _tag(name: str) -> str:
    """Name a tag's label: one character that no label has would make the whole page unreadable."""
    return "_" + _NO_LABEL.sub("_", name).lstrip("_")
