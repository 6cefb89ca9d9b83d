"""From the course of a run to its result: what counts, and whether to believe it. Pure.

Rules:

1. What counts is what the stopping rule counts: the windows that agree, or all since the server
   was warm.
2. A run is invalid where the client was the bottleneck: in an open loop, requests were sent late
   (the 99th percentile of the lag is above 1 ms and above a twentieth of the median latency); or a
   sender had a core of its own and needed all of it.
3. By Little's law the mean number of requests in flight is their rate times their mean latency. The
   number is counted by the senders and the rest comes from the records, so what is lost between
   them shows; and in a run whose queue grows the two differ as well, because requests wait
   that have not ended yet.
4. A closed loop whose rate is more than twice what that law allows was not seen for long enough:
   answers of slow batches came together, and nothing after them until it was given up. Such a rate
   is no measurement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.errors import LoadError
from analyzer.load.course import Course
from analyzer.load.driven import Driven, Times
from analyzer.load.records import Records
from analyzer.load.window import WindowsRule
from analyzer.statistics.stopping import PrecisionRule, Verdict
from analyzer.statistics.summary import PERCENTILES, Span, Summary, summarise

STOPPED = "stopped before the first window was over"
LAG_NS = 1e6
LAG_SHARE = 0.05
BUSY = 0.95
#: rule 3: how far the two may be apart
LITTLE = 0.1
#: rule 4
BELIEVABLE = 2.0
BATCHES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How one sender stood at a moment: see ``chunk.Chunk``."""

    at_ns: int = 0
    in_flight: int = 0
    area: int = 0
    cpu_ns: int = 0
    dropped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a run besides its records.

    ``readings`` are by sender. ``complete`` says that all was sent that there was to send.
    """

    protocol: str
    open_loop: bool
    start_ns: int
    inferences: tuple[int, ...]
    readings: tuple[tuple[Reading, ...], ...]
    percentile: int = 99
    complete: bool = False


def spans_of(course: Course, records: Records, start_ns: int) -> tuple[Span, ...]:
    """Return the moments between which requests count: one span, or one of each episode.

    Raises:
        LoadError: there is nothing to count.
    """
    if course.warmed is None:
        raise LoadError(STOPPED)
    parts: tuple[Span, ...] = getattr(course.rule, "spans_ns", ())
    if parts:
        return parts
    return (_span_of(course, records, *course.warmed, start_ns),)


def _span_of(course: Course, records: Records, first: int, warm_ns: int, start_ns: int) -> Span:
    good = records.succeeded
    # The last request of the warm-up was the first that the rule heard of.
    done = records.array["last"][good & (np.arange(len(records)) >= first - 1)]
    own: Span | None = getattr(course.rule, "span_ns", None)
    if own is not None:
        return own
    if isinstance(course.rule, WindowsRule):
        spans = course.rule.spans
        if spans:
            return int(done[spans[0][0] - 1]), int(done[spans[-1][1] - 1])
        raise LoadError(STOPPED)
    dropped = int(getattr(course.rule, "dropped", 0))
    if len(done) <= dropped:
        raise LoadError(_nothing(course))
    begin = int(done[dropped - 1]) if dropped else (warm_ns if first else start_ns)
    return begin, int(done[-1])


def _nothing(course: Course) -> str:
    """Say why there is nothing to count."""
    if course.failed:
        return f"every request failed; the first: {course.first_error}"
    return STOPPED


def driven_of(course: Course, facts: Facts) -> Driven:
    """Make the result, but for what the server says.

    Raises:
        LoadError: nothing was measured.
    """
    everything = course.records
    spans = spans_of(course, everything, facts.start_ns)
    start, end = spans[0][0], spans[-1][1]
    records = everything.within(spans)
    good = records.succeeded
    latency = records.latency_ns[good]
    if not len(latency):
        raise LoadError("no request finished in the measured windows")
    counts = np.array(facts.inferences, dtype=np.int64)[records.array["item"]]
    summary = _summary(course, facts, records, counts, spans)
    in_flight, little = _in_flight(course, facts, records, spans)
    lag = Times.of(records.lag_ns)
    send_ns, receive_ns = _means(records, good)
    dropped = sum(readings[-1].dropped for readings in facts.readings if readings)
    return Driven(
        protocol=facts.protocol,
        started_ns=start,
        ended_ns=end,
        latency_ns=latency,
        window_rates=_rates(course, records, counts, spans),
        send_ns=send_ns,
        receive_ns=receive_ns,
        failed=course.failed,
        first_error=course.first_error,
        stable=facts.complete or course.verdict is Verdict.STEADY,
        client_cpu=_slope(facts.readings, "cpu_ns", spans),
        server=None,
        windows=len(course.samples) or len(spans),
        warmup_requests=int(np.count_nonzero(everything.array["last"] <= start)),
        warmup_seconds=(start - facts.start_ns) / 1e9,
        records=records,
        summary=summary,
        service=Times.of(records.service_ns[good]),
        send_lag=lag,
        dropped=dropped,
        invalid=_invalid(facts, lag, float(np.median(latency)), spans),
        senders=len(facts.readings),
        in_flight=in_flight,
        little=little,
        flags=(*_slower(course, summary), *_flags(summary, little, dropped), *_phases(course)),
        samples=course.samples,
        parts_ns=spans if len(spans) > 1 else (),
        duty=_duty(everything, records, spans),
    )


def _summary(
    course: Course,
    facts: Facts,
    records: Records,
    counts: npt.NDArray[np.int64],
    spans: Sequence[Span],
) -> Summary:
    wanted = {*PERCENTILES, float(facts.percentile)} - {0.0}
    if isinstance(course.rule, PrecisionRule) and len(set(facts.inferences)) == 1:
        # The rule knows already; but where requests are worth different numbers of inferences.
        known = course.rule.summary()
        if wanted <= known.percentiles.keys():
            return known
    good = records.succeeded
    return summarise(
        records.array["last"][good],
        records.latency_ns[good],
        inferences=counts[good],
        percentiles=sorted(wanted),
        spans_ns=spans,
    )


def _seconds(spans: Sequence[Span]) -> float:
    return sum(end - start for start, end in spans) / 1e9


def _duty(everything: Records, counted: Records, spans: Sequence[Span]) -> float:
    """Return the rate of answers from the first span to the last, over that within them."""
    if len(spans) == 1:
        return 1.0
    whole = spans[0][0], spans[-1][1]
    rate = np.count_nonzero(everything.between(*whole).succeeded) / _seconds([whole])
    return float(rate / (np.count_nonzero(counted.succeeded) / _seconds(spans)))


def _phases(course: Course) -> tuple[str, ...]:
    remark = course.episodes.remark if course.episodes is not None else ""
    return (remark,) if remark else ()


def _means(records: Records, good: npt.NDArray[np.bool_]) -> tuple[float, float]:
    array = records.array[good]
    send = float((array["sent"] - array["began"]).mean())
    return send, float((array["last"] - array["first"]).mean())


def _rates(
    course: Course, records: Records, counts: npt.NDArray[np.int64], parts: Sequence[Span]
) -> tuple[float, ...]:
    """Return inferences a second: of windows or episodes, or of equal parts of the requests."""
    good = records.succeeded
    done, counts = records.array["last"][good], counts[good]
    totals = np.concatenate(([0], np.cumsum(counts)))
    if len(parts) > 1:
        upto = np.searchsorted(done, [span[1] for span in parts], side="right")
        each = np.diff(totals[upto], prepend=0)
        return tuple(
            float(total / _seconds([span])) for total, span in zip(each, parts, strict=True)
        )
    if isinstance(course.rule, WindowsRule):
        spans = course.rule.spans
        first = spans[0][0]
        ends = [end - first for _, end in spans]
    else:
        batches = max(1, min(BATCHES, len(done) // 2))
        ends = [round((index + 1) * len(done) / batches) for index in range(batches)]
    totals = totals[[0, *ends]]
    moments = np.concatenate(([parts[0][0]], done))[[0, *ends]]
    seconds = np.diff(moments) / 1e9
    return tuple(float(rate) for rate in np.diff(totals)[seconds > 0] / seconds[seconds > 0])


def _in_flight(
    course: Course, facts: Facts, records: Records, spans: Sequence[Span]
) -> tuple[float, float]:
    """Return the number in flight, and rate times mean latency over it (rule 3).

    Raises:
        LoadError: the requests that ended tell no rate (rule 4).
    """
    counted, seconds = _slope(facts.readings, "area", spans), _seconds(spans)
    if not counted or not seconds:
        return counted, 1.0
    little = float(records.latency_ns.sum()) / 1e9 / seconds / counted
    closed = not facts.open_loop and isinstance(course.rule, PrecisionRule)
    if closed and little > BELIEVABLE:
        raise LoadError(
            f"the {len(records)} requests that count ended within {seconds:.3g} s, and took "
            f"{records.latency_ns.mean() / 1e9:.3g} s each: too few for a rate. Measure longer "
            "(--max-seconds), or under less load"
        )
    return counted, little


def _invalid(facts: Facts, lag: Times, median_ns: float, spans: Sequence[Span]) -> str:
    """Say why the client was the bottleneck, if it was (rule 2)."""
    if facts.open_loop and lag.p99 > max(LAG_NS, LAG_SHARE * median_ns):
        return (
            "the load client sent too late: 1 % of the requests by more than "
            f"{lag.p99 / 1e6:.1f} ms, where the median latency is {median_ns / 1e6:.1f} ms. "
            "Use more senders (--senders), leave it a core, or lower the rate"
        )
    busiest = max((_slope((readings,), "cpu_ns", spans) for readings in facts.readings), default=0)
    if busiest > BUSY:
        return (
            f"the load client was the bottleneck: a sender was busy {busiest:.0%} of the time. "
            "Use more senders (--senders), or load from another machine"
        )
    return ""


def _slower(course: Course, summary: Summary) -> tuple[str, ...]:
    """Say that it was ended because something else is faster, if so."""
    rule = course.rule
    if not (isinstance(rule, PrecisionRule) and rule.slower):
        return ()
    text = (
        "stopped: clearly slower than the best so far; at most "
        f"{summary.throughput.high:.4g} inferences a second, where it takes {rule.bar:.4g}"
    )
    return (text,)


def _flags(summary: Summary, little: float, dropped: int) -> tuple[str, ...]:
    found = list(summary.flags)
    if abs(little - 1) > LITTLE:
        found.append(
            f"little: rate times mean latency is {little:.2f} times the number of requests in "
            "flight, and should equal it; requests began that have not ended: the queue grows"
        )
    if dropped:
        found.append(
            f"dropped: {dropped} requests were not sent, because as many were in flight as may be"
        )
    return tuple(found)


def _slope(readings: Sequence[Sequence[Reading]], what: str, spans: Sequence[Span]) -> float:
    """Return how fast a counter of the senders, all together, grew in some spans."""
    total, begin = 0.0, spans[0][0]
    bounds = np.array(spans, dtype=np.float64) - begin
    length = float((bounds[:, 1] - bounds[:, 0]).sum())
    for each in readings:
        if len(each) > 1 and length > 0:
            at = np.array([one.at_ns - begin for one in each], dtype=np.float64)
            origin = getattr(each[0], what)
            values = np.array([getattr(one, what) - origin for one in each], dtype=np.float64)
            before, after = np.interp(bounds.T, at, values)
            total += float((after - before).sum()) / length
    return total
