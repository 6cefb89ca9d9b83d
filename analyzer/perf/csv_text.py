"""perf_analyzer's CSV files, column for column and digit for digit. Pure.

Times are in whole microseconds; rates have six significant digits, as C++ prints a double. Rows are
sorted by throughput, the least first. For each model behind the model there is a file more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from analyzer.perf.figures import Figures
from analyzer.perf.options import PerfOptions

if TYPE_CHECKING:
    from analyzer.metrics import GpuUse, ServerTimes

SERVER_COLUMNS = (
    "Server Queue",
    "Server Compute Input",
    "Server Compute Infer",
    "Server Compute Output",
)
NETWORK = "Network+Server Send/Recv"
CACHE_COLUMNS = ("Server Cache Hit", "Server Cache Miss")
GPU_COLUMNS = (
    "Avg GPU Utilization",
    "Avg GPU Power Usage",
    "Max GPU Memory Usage",
    "Total GPU Memory",
)


def main_file(every: Sequence[Figures], options: PerfOptions, *, cached: bool) -> str:
    """Write the rows of all levels; ``cached`` says that the model has a response cache."""
    rows = sorted(every, key=lambda each: each.throughput)
    server = any(each.server is not None for each in rows)
    streamed = any(each.streamed is not None for each in rows)
    percentiles = sorted(rows[0].summary.percentiles) if rows else []
    head = [_first_column(options), "Inferences/Second"]
    head += ["Response Throughput"] * streamed
    head += ["Client Send"]
    if server:
        head += [NETWORK, *SERVER_COLUMNS, *(CACHE_COLUMNS if cached else ())]
    head += ["Client Recv", *(f"p{each:g} latency" for each in percentiles)]
    if options.verbose_csv:
        head += ["Avg latency"] * (options.percentile is None)
        head += ["request/response", "response wait"]
        head += GPU_COLUMNS if options.collect_metrics else ()
    lines = [",".join(head)]
    for each in rows:
        cells = [_number(each.level), _number(each.throughput)]
        if streamed:
            rate = each.streamed.responses_per_second if each.streamed else 0.0
            cells.append(_number(rate))
        cells.append(_us(each.send_ns))
        if server:
            cells += _server_cells(each, cached=cached)
        cells.append(_us(each.receive_ns))
        cells += [_us(each.summary.percentiles[wanted].value) for wanted in percentiles]
        if options.verbose_csv:
            cells += _verbose_cells(each, options)
        lines.append(",".join(cells))
    return "\n".join(lines) + "\n"


def composing_files(
    every: Sequence[Figures], options: PerfOptions, *, cached: bool
) -> dict[Path, str]:
    """Write a file for each model behind the model, beside the main one."""
    assert options.csv is not None
    rows = sorted(every, key=lambda each: each.throughput)
    models = sorted({model for each in rows for model in each.composing})
    head = [_first_column(options), "Inferences/Second", "Client Send", NETWORK, *SERVER_COLUMNS]
    head += [*(CACHE_COLUMNS if cached else ()), "Client Recv"]
    files = {}
    for name, version in models:
        lines = [",".join(head)]
        for each in rows:
            times = each.composing.get((name, version))
            if times is None:
                continue
            share = times.requests / each.server.requests if each.server else 0.0
            overhead = max(0.0, times.request_ns - accounted_ns(times))
            cells = [_number(each.level), _number(share * each.throughput), "0", _us(overhead)]
            cells += [*_parts(times, cached=cached), "0"]
            lines.append(",".join(cells))
        path = options.csv.with_name(f"{name}_v{version}.{options.csv.name}")
        files[path] = "\n".join(lines) + "\n"
    return files


def accounted_ns(times: ServerTimes) -> float:
    """Return what the server accounts for, as perf_analyzer adds it up: each part by its own mean.

    Of a model with a cache, computing is a mean over what was computed, and a hit one over hits.
    """
    queue, *compute = (times.queue_ns, *_compute(times))
    hit, miss = _cache(times)
    return queue + sum(compute) + hit + miss


def _first_column(options: PerfOptions) -> str:
    return "Concurrency" if options.mode.closed else "Request Rate"


def _server_cells(each: Figures, *, cached: bool) -> list[str]:
    times = each.server
    if times is None:
        return ["0"] * (1 + len(SERVER_COLUMNS) + len(CACHE_COLUMNS) * cached)
    waited = each.summary.latency_avg.value - each.send_ns - each.receive_ns
    network = max(0.0, waited - accounted_ns(times))
    return [_us(network), *_parts(times, cached=cached)]


def _parts(times: ServerTimes, *, cached: bool) -> list[str]:
    cells = [_us(times.queue_ns), *map(_us, _compute(times))]
    return cells + ([_us(each) for each in _cache(times)] if cached else [])


def _compute(times: ServerTimes) -> tuple[float, float, float]:
    computed = times.requests - times.cache_hits
    scale = times.requests / computed if computed > 0 else 0.0
    return (
        times.compute_input_ns * scale,
        times.compute_infer_ns * scale,
        times.compute_output_ns * scale,
    )


def _cache(times: ServerTimes) -> tuple[float, float]:
    hit = times.cache_hit_ns * times.requests / times.cache_hits if times.cache_hits else 0.0
    miss = times.cache_miss_ns * times.requests / times.cache_misses if times.cache_misses else 0.0
    return hit, miss


def _verbose_cells(each: Figures, options: PerfOptions) -> list[str]:
    sent = int(each.send_ns / 1000) + int(each.receive_ns / 1000)
    cells = [_us(each.summary.latency_avg.value)] * (options.percentile is None)
    cells += [str(sent), str(max(0, int(each.request_ns / 1000) - sent))]
    if options.collect_metrics:
        parts: tuple[Callable[[GpuUse], float | None], ...] = (
            lambda gpu: None if gpu.utilization is None else gpu.utilization / 100,
            lambda gpu: gpu.power_watts,
            lambda gpu: gpu.used_bytes,
            lambda gpu: gpu.total_bytes,
        )
        cells += [_by_gpu(each.gpus, part) for part in parts]
    return cells


def _by_gpu(gpus: Iterable[GpuUse], part: Callable[[GpuUse], float | None]) -> str:
    values = ((gpu.uuid, part(gpu)) for gpu in gpus)
    return "".join(
        f"{uuid}:{value if isinstance(value, int) else _number(value)};"
        for uuid, value in values
        if value is not None
    )


def _us(ns: float) -> str:
    return str(int(ns / 1000))


def _number(value: float) -> str:
    return f"{value:g}"
