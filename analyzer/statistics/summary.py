"""What a stream of finished requests says of throughput and latency. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from analyzer.statistics.batch_means import LEAST_PARTS, Spread, spread
from analyzer.statistics.estimate import Estimate
from analyzer.statistics.flags import flags_of
from analyzer.statistics.order import percentile_of

CONFIDENCE = 0.95
PERCENTILES = (50.0, 90.0, 95.0, 99.0)

Times = npt.NDArray[np.int64]
#: from when to when, ns
Span = tuple[int, int]
_END = 1 << 62
#: so many values beyond a percentile let a part know its own
BEYOND_EACH = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Throughput in inferences a second, latencies in ns, and what to know about them.

    ``batches`` and ``lag1`` are those behind the mean latency, and ``parts`` how many times it was
    begun. Each of ``flags`` begins with its
    name and a colon (``drift``, ``bimodal``, ``autocorrelated``, ``short``), and goes on in words.
    """

    requests: int
    seconds: float
    throughput: Estimate
    latency_avg: Estimate
    percentiles: Mapping[float, Estimate] = field(default_factory=dict)
    batches: int = 0
    lag1: float = 0.0
    parts: int = 1
    flags: tuple[str, ...] = ()

    def flagged(self, name: str) -> bool:
        """Whether there is a flag of this name."""
        return any(flag.startswith(f"{name}:") for flag in self.flags)


def since(from_ns: int | None) -> tuple[Span, ...]:
    """Return the span of all that comes after a moment; None: of all there is."""
    return () if from_ns is None else ((from_ns, _END),)


def summarise(
    done_ns: Times,
    latency_ns: Times,
    *,
    inferences: int | npt.NDArray[np.integer] = 1,
    confidence: float = CONFIDENCE,
    percentiles: Sequence[float] = PERCENTILES,
    spans_ns: Sequence[Span] = (),
) -> Summary:
    """Summarise n requests: when each was done, and how long it took, both in ns.

    ``inferences`` says how many each was, one number for all or n of them. Counted are those in
    one of ``spans_ns``, which are in order: done after its beginning and not after its end. They
    are several where the stream began anew again and again. Without any all count, and time runs
    from the first one's end.

    Raises:
        ValueError: lengths differ, or a percentile is none.
    """
    count = len(done_ns)
    if len(latency_ns) != count or (not np.isscalar(inferences) and np.size(inferences) != count):
        raise ValueError(f"{count} ends, {len(latency_ns)} latencies, {np.size(inferences)} counts")
    weights = np.broadcast_to(np.asarray(inferences, np.int64), count)
    if count > 1 and (done_ns[1:] < done_ns[:-1]).any():
        order = np.argsort(done_ns, kind="stable")
        done_ns, latency_ns, weights = done_ns[order], latency_ns[order], weights[order]
    places = [
        slice(*(int(np.searchsorted(done_ns, moment, side="right")) for moment in span))
        for span in spans_ns
    ]
    kept = [(span, place) for span, place in zip(spans_ns, places, strict=True) if _length(place)]
    if spans_ns:
        done_ns, latency_ns, weights = (
            np.concatenate([every[place] for _, place in kept] or [every[:0]])
            for every in (done_ns, latency_ns, weights)
        )
    if not len(done_ns):
        return _nothing(confidence, percentiles)
    firsts = np.cumsum([0, *(_length(place) for _, place in kept)])[:-1].tolist()
    stream = _Stream(done_ns, latency_ns, weights, firsts, [span for span, _ in kept])
    return _summary(stream, confidence, percentiles)


@dataclass(frozen=True, slots=True)
class _Stream:
    """Requests that count: ``firsts`` are the indices at which parts begin, ``spans`` when."""

    done_ns: Times
    latency_ns: Times
    weights: Times
    firsts: Sequence[int]
    spans: Sequence[Span]


def _length(place: slice) -> int:
    return int(place.stop - place.start)


def _summary(stream: _Stream, confidence: float, percentiles: Sequence[float]) -> Summary:
    throughput, seconds = _throughput(stream, confidence)
    latency_ns, parts = stream.latency_ns, stream.firsts
    ordered = np.sort(latency_ns)
    average = spread(latency_ns, parts)
    found = {
        wanted: percentile_of(latency_ns, ordered, wanted, confidence, parts)
        for wanted in percentiles
    }
    mean = _average(latency_ns, average, confidence)
    if len(parts) >= LEAST_PARTS:
        mean = _by_littles_law(mean, throughput)
        found = _by_parts(found, latency_ns, parts)
    return Summary(
        requests=len(latency_ns),
        seconds=seconds,
        throughput=throughput,
        latency_avg=mean,
        percentiles=found,
        batches=average.batches,
        lag1=average.lag1,
        parts=max(1, len(parts)),
        flags=flags_of(latency_ns, ordered, average, found),
    )


def _average(latency_ns: Times, found: Spread, confidence: float) -> Estimate:
    count, value = len(latency_ns), float(latency_ns.mean())
    down, up = found.reach(confidence)
    return Estimate(
        value=value,
        low=max(0.0, value - down),
        high=value + up,
        confidence=confidence,
        n=count,
        effective_n=_worth(count, float(latency_ns.var()), found.variance),
    )


def _by_littles_law(mean: Estimate, throughput: Estimate) -> Estimate:
    """Widen a closed loop's mean latency to what its throughput leaves open.

    So many clients wait at all times, so that the one is a constant over the other. Of few parts
    either variance may come out small by luck; both hardly do.
    """
    rate = throughput.value
    if not throughput.low or not rate:
        return mean
    low = min(mean.low, mean.value * rate / throughput.high)
    return replace(mean, low=low, high=max(mean.high, mean.value * rate / throughput.low))


def _by_parts(
    found: Mapping[float, Estimate], latency_ns: Times, parts: Sequence[int]
) -> dict[float, Estimate]:
    """Widen percentiles to what those of the parts scatter (Student's intervals of their means).

    Only where each part knows its own: enough of its values lie beyond.
    """
    every = np.split(latency_ns, list(parts)[1:])
    fewest = min(map(len, every))
    own = np.array([np.percentile(each, list(found)) for each in every])
    widened = dict(found)
    for (percentile, one), column in zip(found.items(), own.T, strict=True):
        if fewest * min(percentile, 100 - percentile) / 100 >= BEYOND_EACH:
            down, up = spread(column, range(len(column))).reach(one.confidence)
            low = max(0.0, min(one.low, one.value - down))
            widened[percentile] = replace(one, low=low, high=max(one.high, one.value + up))
    return widened


def _throughput(stream: _Stream, confidence: float) -> tuple[Estimate, float]:
    """Estimate inferences a second, and say in how many seconds they were counted.

    A ratio of means: the spread is that of how many more were done in the time before each
    request's end than the rate would have it.
    """
    if not stream.spans:
        gaps, counted = np.diff(stream.done_ns) / 1e9, stream.weights[1:]
    else:
        gaps, counted = _gaps(stream), stream.weights
    seconds = float(gaps.sum())
    if not seconds:
        return _unknown(confidence), 0.0
    rate = float(counted.sum()) / seconds
    excess = counted - rate * gaps
    found = spread(excess, stream.firsts)
    down, up = (reach * len(gaps) / seconds for reach in found.reach(confidence))
    return Estimate(
        value=rate,
        low=max(0.0, rate - down),
        high=rate + up,
        confidence=confidence,
        n=len(gaps),
        effective_n=_worth(len(gaps), float(excess.var()), found.variance),
    ), seconds


def _gaps(stream: _Stream) -> npt.NDArray[np.float64]:
    """Return the time before each request's end, s; that before a part's end is its last one's."""
    done = stream.done_ns
    gaps = np.diff(done, prepend=0)
    firsts = np.array(stream.firsts)
    lasts = np.append(firsts[1:], len(done)) - 1
    begun, ended = np.array(stream.spans, np.int64).T
    gaps[firsts] = done[firsts] - begun
    gaps[lasts] += np.where(ended < _END, ended - done[lasts], 0)
    return np.asarray(gaps / 1e9, np.float64)


def _worth(count: int, variance: float, of_mean: float) -> float:
    """Return how many independent values would give a mean of this variance; all, if unknown."""
    if not of_mean or not variance or math.isinf(of_mean):
        return float(count)
    return min(float(count), variance / of_mean)


def _unknown(confidence: float) -> Estimate:
    return Estimate(value=0.0, low=0.0, high=math.inf, confidence=confidence, certified=False)


def _nothing(confidence: float, percentiles: Sequence[float]) -> Summary:
    nothing = _unknown(confidence)
    return Summary(
        requests=0,
        seconds=0.0,
        throughput=nothing,
        latency_avg=nothing,
        percentiles=dict.fromkeys(percentiles, nothing),
        flags=("short: no request was answered; measure longer, or see why the server is silent",),
    )
