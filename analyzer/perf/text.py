"""What ``analyze perf`` prints, in perf_analyzer's words and order. Pure.

What a script reads off perf_analyzer's lines stands where it stood; what is added follows behind,
in brackets, or on lines of its own: intervals, whether a p99 is certified, and what is doubtful.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from analyzer.perf.bars import bars_of, drawn
from analyzer.perf.csv_text import accounted_ns
from analyzer.perf.figures import DELAYED_PERCENT, Figures
from analyzer.perf.options import NO_LIMIT, Mode, PerfOptions, Promise, Rule
from analyzer.statistics.order import certifying

if TYPE_CHECKING:
    from analyzer.metrics import ServerTimes
    from analyzer.statistics.estimate import Estimate
    from analyzer.statistics.slo import SloResult, Tried

#: beyond this mean number of busy cores a sender is at its end
_CROWDED = 100.0
_MOST_GPUS = 16
#: a measurement that ended before so much of its time was stopped from outside
_LATE = 0.5


def settings(options: PerfOptions, *, decoupled: bool, sequences: bool) -> list[str]:
    """Say how it will be measured."""
    measuring = options.measuring
    lines = ["*** Measurement Settings ***", f"  Batch size: {options.batch_size}"]
    lines.append("  Service Kind: TRITON")
    if count := measuring.warmup_requests:
        lines.append(f"  Sending {count} warmup request{'s' * (count > 1)}")
    lines += _rule_lines(options)
    lines += _range_lines(options)
    if options.mode is Mode.RATE:
        name = {"constant": "uniform"}.get(options.distribution, options.distribution)
        more = f" (CV {options.distribution_cv:g})" if name == "gamma" else ""
        lines.append(f"  Using {name} distribution on request generation{more}")
    if options.binary_search:
        lines.append("  Using Binary Search algorithm")
    waits = options.mode.closed and not (sequences or options.streaming)
    kind = "synchronous" if waits else "asynchronous"
    lines.append(f"  Using {kind} calls for inference")
    if decoupled:
        lines.append("  Detected decoupled model, using the last response for measuring latency")
    return [*lines, ""]


def heading(options: PerfOptions, level: float) -> str:
    """Name a level, before it is measured."""
    if options.mode is Mode.CONCURRENCY:
        return f"Request concurrency: {level:g}"
    if options.mode is Mode.PERIODIC:
        return f"Request concurrency: {level:g} to {options.range.end:g}"
    return f"Request Rate: {level:g} inference requests per second"


def report(
    each: Figures, options: PerfOptions, *, sequences: bool, width: int, unicode: bool = True
) -> list[str]:
    """Say what came of a level, in lines that a histogram fills to ``width``."""
    lines = ["  Client: ", *_client(each, options, sequences=sequences)]
    if each.server is not None:
        lines += ["  Server: ", *_server(each.server, each, indent=1)]
    if options.collect_metrics:
        lines += ["  Server Prometheus Metrics: ", *_metrics(each)]
    if options.histogram:
        lines += _histogram(each, width, unicode=unicode)
    return [*lines, *(f"  {note}" for note in notes(each, options)), ""]


def notes(each: Figures, options: PerfOptions) -> Iterator[str]:
    """Say what is doubtful about a level, and what to do."""
    if each.invalid:
        yield f"[WARNING] The client was the bottleneck, not the server: {each.invalid}"
    if each.failed:
        yield f"[WARNING] {each.failed:,} requests failed, the first with: {each.first_error}"
    if each.dropped:
        yield (
            f"[WARNING] {each.dropped:,} requests were due while as many were in flight as may be, "
            "and were not sent: the server does not keep up with this rate"
        )
    if each.excused:
        yield "Warning: Request latency is not stabilizing. Please try lowering the request rate."
    for flag in each.summary.flags:
        yield f"Note: {flag}"
    p99 = each.summary.percentiles[99.0]
    if not p99.certified and not each.summary.flagged("short"):
        yield (
            f"Note: the p99 is not certified: {each.summary.requests:,} requests say as much as "
            f"{p99.effective_n:,.0f} independent ones, and it takes {certifying(99)}"
        )
    if not each.stable:
        yield f"Note: {_unsteady(each, options)}"


def over_limit(options: PerfOptions) -> str:
    """Say that the threshold was reached."""
    return f"Measured latency went over the set limit of {options.latency_ms:g} msec. "


def closing(every: Sequence[Figures], options: PerfOptions) -> list[str]:
    """Put the levels side by side, in the end."""
    what = "Average" if options.percentile is None else f"p{options.percentile}"
    lines = [f"Inferences/Second vs. Client {what} Batch Latency"]
    name = "Concurrency" if options.mode.closed else "Request Rate"
    for each in every:
        latency = each.counting(options.percentile)
        lines.append(
            f"{name}: {each.level:g}, throughput: {each.throughput:g} infer/sec, "
            f"latency {_us(latency.value)} usec"
        )
    return lines


def promised(promise: Promise) -> str:
    """Spell a promise: ``p99 <= 10 msec``."""
    return f"p{promise.percentile:g} <= {promise.limit_ms:g} msec"


def never_kept(promise: Promise, alone_ns: float) -> str:
    """Say that a promise is broken even where one request is sent after another."""
    return (
        f"No request rate keeps {promised(promise)}: one request at a time, the "
        f"p{promise.percentile:g} is {alone_ns / 1e6:.4g} msec."
    )


def probed(tried: Tried, promise: Promise) -> str:
    """Say what came of one rate, in a line."""
    words = {"pass": "held", "fail": "broken", "inconclusive": "not decided"}[tried.outcome]
    few = tried.violations <= tried.requests * (1 - promise.percentile / 100)
    if tried.outcome == "fail" and few:
        # Requests failed or were not sent in time, or the queue grew and grew.
        words = "not kept"
    return (
        f"  {tried.rate:10.4g} requests/sec: {words} after {tried.requests:,} requests, "
        f"{tried.violations:,} of them above {promise.limit_ms:g} msec"
    )


def kept(found: SloResult, promise: Promise) -> Iterator[str]:
    """Say at which rate a promise is kept."""
    if found.rate is None:
        yield f"No request rate keeps {promised(promise)}."
    else:
        sure = "confirmed by a run of its own" if found.confirmed else "not confirmed"
        held, broke = found.bracket
        bracket = f"{held:.4g} held" + (f", {broke:.4g} did not" if broke < float("inf") else "")
        yield (
            f"Highest request rate with {promised(promise)}: {found.rate:.4g} requests/sec "
            f"({bracket}; {sure})"
        )
    if found.note:
        yield f"Note: {found.note}"


def late(seconds: float) -> str:
    """Say that the search for a rate had no more time."""
    return (
        f"the time was over ({seconds:g} s): this is what was known by then; --slo-seconds gives "
        "it longer"
    )


def pass_line(number: int, rate: float, counting: str) -> str:
    """Say what one window found, as ``-v`` asks for."""
    return f"  Pass [{number}] throughput: {rate:g} infer/sec. {counting}"


def _rule_lines(options: PerfOptions) -> Iterator[str]:
    measuring, percentile = options.measuring, options.percentile
    if options.promise is not None:
        yield f"  Finding the highest request rate with {promised(options.promise)}"
        return
    metric = "latency and throughput" if options.mode.closed else "throughput"
    match measuring.rule:
        case Rule.COUNT:
            count = measuring.request_count
            if count:
                yield f"  Sending {count} benchmark request{'s' * (count > 1)}"
            else:
                yield "  Sending every request of the schedule once"
        case Rule.PRECISION:
            name = "p99" if percentile is None else f"p{percentile}"
            yield (
                "  Measuring until 95 % intervals, in brackets, are within "
                f"{100 * measuring.throughput:g} % of the throughput and "
                f"{100 * measuring.latency:g} % of the {name} latency"
            )
            yield f"  At most {measuring.max_seconds:g} sec for each level"
        case rule:
            yield f'  Using "{rule.value}" mode for stabilization'
            what = "average" if percentile is None else f"p{percentile}"
            yield f"  Stabilizing using {what} {metric}"
            if rule is Rule.TIME_WINDOWS:
                yield f"  Measurement window: {measuring.window_ms} msec"
            else:
                yield f"  Minimum number of samples in each window: {measuring.window_requests}"


def _range_lines(options: PerfOptions) -> Iterator[str]:
    levels = options.range
    if options.mode not in {Mode.CONCURRENCY, Mode.RATE} or options.promise is not None:
        return
    if levels.end == levels.start:
        return
    yield f"  Latency limit: {options.latency_ms:g} msec"
    if levels.end == NO_LIMIT:
        return
    most = max(levels.start, levels.end)
    if options.mode is Mode.CONCURRENCY:
        yield f"  Concurrency limit: {most:g} concurrent requests"
    else:
        yield f"  Request Rate limit: {most:g} requests per seconds"


def _client(each: Figures, options: PerfOptions, *, sequences: bool) -> Iterator[str]:
    summary = each.summary
    yield f"    Request count: {summary.requests}"
    if each.delayed_percent > DELAYED_PERCENT:
        yield f"    Avg send request rate: {each.send_rate:.2f} infer/sec"
        yield (
            "    [WARNING] Perf Analyzer was not able to keep up with the desired request rate. "
            f"{each.delayed_percent:.2f}% of the requests were delayed. "
        )
    if sequences:
        rate = each.sequences / summary.seconds if summary.seconds else 0.0
        yield f"    Sequence count: {each.sequences} ({rate:g} seq/sec)"
    yield f"    Throughput: {summary.throughput.value:g} infer/sec{_span(summary.throughput)}"
    if each.streamed is not None:
        yield f"    Response Throughput: {each.streamed.responses_per_second:g} infer/sec"
    if options.verbose:
        yield f"    Avg client overhead: {_overhead(each):.2f}%"
    if options.percentile is None:
        average = summary.latency_avg
        yield (
            f"    Avg latency: {_us(average.value)} usec (standard deviation "
            f"{_us(each.deviation_ns)} usec){_span_us(average)}"
        )
    for wanted, estimate in sorted(summary.percentiles.items()):
        sure = ", certified" if wanted == 99 and estimate.certified else ""  # noqa: PLR2004 - the p99
        yield f"    p{wanted:g} latency: {_us(estimate.value)} usec{_span_us(estimate)}{sure}"
    yield from _beside(each, options)


def _beside(each: Figures, options: PerfOptions) -> Iterator[str]:
    """Say what stands beside the latencies: parts, times from the send on, and how late it was."""
    if each.streamed is not None:
        first, between = each.streamed.first, each.streamed.between
        yield f"    First response: avg {_us(first.mean)} usec, p99 {_us(first.p99)} usec"
        yield f"    Between responses: avg {_us(between.mean)} usec, p99 {_us(between.p99)} usec"
    else:
        yield f"    {_parts(each, options)}"
    if each.mode.closed:
        return
    service, lag = each.service, each.send_lag
    yield (
        f"    From the actual send, as perf_analyzer counts: avg {_us(service.mean)} usec, "
        f"p50 {_us(service.p50)} usec, p99 {_us(service.p99)} usec"
    )
    yield f"    Sent late by: p50 {_us(lag.p50)} usec, p99 {_us(lag.p99)} usec"


def _parts(each: Figures, options: PerfOptions) -> str:
    whole, send, receive = map(_us, (each.request_ns, each.send_ns, each.receive_ns))
    wait = max(0, whole - send - receive)
    grpc = options.protocol == "grpc"
    ends = ("marshal", "unmarshal") if grpc else ("send", "receive")
    together = "(un)marshal request/response" if grpc else "send/recv"
    if options.verbose:
        inner = f"{ends[0]} {send} usec + response wait {wait} usec + {ends[1]} {receive} usec"
    else:
        inner = f"{together} {send + receive} usec + response wait {wait} usec"
    return f"Avg {'gRPC' if grpc else 'HTTP'} time: {whole} usec ({inner})"


def _server(times: ServerTimes, each: Figures, *, indent: int) -> Iterator[str]:
    pad = "  " * indent
    yield f"{pad}  Inference count: {times.inferences}"
    yield f"{pad}  Execution count: {times.executions}"
    if times.cache_hits or times.cache_misses:
        yield f"{pad}  Cache hit count: {times.cache_hits}"
        yield f"{pad}  Cache miss count: {times.cache_misses}"
    yield f"{pad}  Successful request count: {times.requests}"
    parts = [("queue", times.queue_ns)]
    overhead = max(0.0, times.request_ns - accounted_ns(times))
    if each.composing and indent == 1:
        inner = list(each.composing.values())
        parts = [
            ("queue", sum(one.queue_ns for one in inner)),
            ("compute", sum(accounted_ns(one) - one.queue_ns for one in inner)),
        ]
        overhead = max(0.0, times.request_ns - sum(value for _, value in parts))
    else:
        if times.cache_hits or times.cache_misses:
            parts.append(("cache hit/miss", times.cache_hit_ns + times.cache_miss_ns))
        parts += [
            ("compute input", times.compute_input_ns),
            ("compute infer", times.compute_infer_ns),
            ("compute output", times.compute_output_ns),
        ]
    words = " + ".join(
        f"{name} {_us(value)} usec" for name, value in [("overhead", overhead), *parts]
    )
    yield f"{pad}  Avg request latency: {_us(times.request_ns)} usec ({words})"
    if indent == 1 and each.composing:
        yield ""
        yield f"{pad}Composing models: "
        for (name, version), one in sorted(each.composing.items()):
            yield f"{pad}{name}, version: {version}"
            yield from _server(one, each, indent=indent + 1)
            yield ""


def _metrics(each: Figures) -> Iterator[str]:
    if not each.gpus:
        yield f"    not measured: {each.no_gpus}"
        return
    if len(each.gpus) > _MOST_GPUS:
        yield f"    {len(each.gpus)} GPUs are too many to list; -f with --verbose-csv has them"
        return
    for title, unit, name in (
        ("Avg GPU Utilization", "%", "utilization"),
        ("Avg GPU Power Usage", " watts", "power_watts"),
        ("Max GPU Memory Usage", " bytes", "used_bytes"),
        ("Total GPU Memory", " bytes", "total_bytes"),
    ):
        yield f"    {title}:"
        for gpu in each.gpus:
            value = getattr(gpu, name)
            yield f"      {gpu.uuid} : {'not told' if value is None else f'{value:g}{unit}'}"


def _histogram(each: Figures, width: int, *, unicode: bool) -> list[str]:
    lines = drawn(bars_of(each.latencies), max(40, width - 4), unicode=unicode)
    return ["  Latencies: ", *(f"    {line}" for line in lines)] if lines else []


def _overhead(each: Figures) -> float:
    """Return how busy the senders were, per cent."""
    return min(_CROWDED, 100 * each.client_cpu / max(1, each.senders))


def _unsteady(each: Figures, options: PerfOptions) -> str:
    measuring = options.measuring
    match measuring.rule:
        case Rule.PRECISION if each.summary.seconds < _LATE * measuring.max_seconds:
            return (
                f"it was stopped after {each.summary.seconds:.1f} sec, before the intervals were "
                "as narrow as asked for"
            )
        case Rule.PRECISION:
            return (
                f"the intervals are not as narrow as asked for after {measuring.max_seconds:g} "
                "sec; --max-seconds gives it longer, --precision asks for less"
            )
        case Rule.COUNT:
            return "it was stopped before every request was sent and answered"
        case Rule.COUNT_WINDOWS:
            more = "increase the --measurement-request-count"
        case _:
            more = "increase the --measurement-interval"
    return (
        f"Failed to obtain stable measurement within {each.windows} measurement windows for "
        f"{'concurrency' if each.mode.closed else 'request rate'} {each.level:g}. Please try to "
        f"{more}. The figures above are of the last windows."
    )


def _span(estimate: Estimate) -> str:
    return f"  [{estimate.low:.4g} to {estimate.high:.4g}]"


def _span_us(estimate: Estimate) -> str:
    if estimate.high == float("inf"):
        return f"  [{_us(estimate.low)} or more]"
    return f"  [{_us(estimate.low)} to {_us(estimate.high)}]"


def _us(ns: float) -> int:
    return int(ns / 1000)
