"""From glimpses of a machine and a run of the load to what was observed. Pure.

Glimpses are taken all the while; only now is it known which windows count, so here they are
cut to these. What GPUs did is ``gpu_use``'s, what is remarkable ``remarks``'s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from analyzer.counters import TALLIES, Counters, server_times
from analyzer.load.driven import Driven
from analyzer.measure.glimpse import Glimpse, Seen
from analyzer.measure.gpu_use import TAGS, use_of
from analyzer.measure.remarks import remarks
from analyzer.measure.series import series
from analyzer.measure.span import Span
from analyzer.metrics import GpuUse, Observed, ServerTimes
from analyzer.record.row import LoadSpec
from analyzer.statistics.estimate import Estimate


def estimates_of(driven: Driven) -> dict[str, Estimate]:
    """Return the estimates of a run by metric, in its unit."""
    summary = driven.summary
    if summary is None:
        return {}
    return {
        "perf_throughput": summary.throughput,
        "perf_latency_avg": _in_ms(summary.latency_avg),
        **{
            f"perf_latency_p{percentile:g}": _in_ms(one)
            for percentile, one in summary.percentiles.items()
        },
    }


def _in_ms(one: Estimate) -> Estimate:
    return replace(one, value=one.value / 1e6, low=one.low / 1e6, high=one.high / 1e6)


def observed(driven: Driven, seen: Seen, load: LoadSpec) -> Observed:
    """Put together what the client measured and what was seen of the machine meanwhile."""
    span = Span(seen.glimpses, driven.started_ns, driven.ended_ns)
    gpus = tuple(
        _at_work(use_of(gpu, span, ours=seen.pids_are_ours), driven.duty) for gpu in seen.gpus
    )
    absent = dict(seen.absent)
    if seen.gpu_reason:
        absent["gpu"] = seen.gpu_reason
    for gpu in gpus:
        if gpu.server_bytes_reason:
            absent[TAGS["used_by"]] = f"{gpu.uuid}: {gpu.server_bytes_reason}"
    found = Observed(
        seconds=driven.seconds,
        batch_size=load.batch_size,
        latency_ns=driven.latency_ns,
        window_rates=driven.window_rates,
        send_ns=driven.send_ns,
        receive_ns=driven.receive_ns,
        failed=driven.failed,
        server=driven.server or _by_page(span),
        server_cpu=_over(span.slope(lambda glimpse: glimpse.cpu_seconds), driven.duty),
        server_ram_bytes=_greatest(span.values(lambda glimpse: glimpse.ram_bytes)),
        server_pss_bytes=_greatest(span.values(lambda glimpse: glimpse.pss_bytes)),
        server_rss_bytes=_greatest(span.values(lambda glimpse: glimpse.rss_bytes)),
        server_uss_bytes=_greatest(span.values(lambda glimpse: glimpse.uss_bytes)),
        available_ram_bytes=_least(span.values(lambda glimpse: glimpse.available_ram_bytes)),
        client_cpu=driven.client_cpu,
        switches=_over(span.slope(lambda glimpse: glimpse.switches), driven.duty),
        others_cpu=span.slope(lambda glimpse: glimpse.others_seconds),
        steal_cpu=span.slope(lambda glimpse: glimpse.steal_seconds),
        quota_stopped=_stopped(span),
        cpu_watts=span.slope(lambda glimpse: glimpse.energy_joules),
        cpu_mhz=_mean(span.values(lambda glimpse: glimpse.mhz)),
        machine_cpu=_machine(span, seen.cores),
        cores=seen.cores,
        gpus=gpus,
        absent=absent,
        duty=driven.duty,
        series=series(seen, driven.started_ns, driven.ended_ns),
    )
    return remarks(found)


def _over(value: float | None, duty: float) -> float | None:
    """Return what grows with the requests as it was while they came at the rate that counts."""
    return None if value is None else value / duty


def _at_work(gpu: GpuUse, duty: float) -> GpuUse:
    if gpu.utilization is None:
        return gpu
    return replace(gpu, utilization=min(100.0, gpu.utilization / duty))


def _machine(span: Span, cores: int) -> float | None:
    """How busy the machine's cores were, by its own word where it has one, else by their time."""
    told = _mean(span.values(lambda glimpse: glimpse.machine_share))
    if told is not None or not cores:
        return told
    busy = span.slope(lambda glimpse: glimpse.busy_seconds)
    return None if busy is None else min(1.0, busy / cores)


def _stopped(span: Span) -> float | None:
    """Which share of the quota's periods ended with the quota used up, from 0 to 1."""
    periods = span.slope(lambda glimpse: glimpse.quota_periods)
    stops = span.slope(lambda glimpse: glimpse.quota_stops)
    return stops / periods if periods and stops is not None else None


def _by_page(span: Span) -> ServerTimes | None:
    """Take the server's times from its metrics page, where it has no statistics."""
    grown = {name: span.growth(_tally(name)) for name in TALLIES}
    known = {name: round(one[0]) for name, one in grown.items() if one is not None}
    return server_times(Counters(), Counters.of(known)) if known else None


def _tally(name: str) -> Callable[[Glimpse], float | None]:
    def read(glimpse: Glimpse) -> float | None:
        return None if glimpse.counters is None else float(getattr(glimpse.counters, name))

    return read


def _greatest(values: Sequence[int]) -> int | None:
    return max(values, default=None)


def _least(values: Sequence[int]) -> int | None:
    return min(values, default=None)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
