"""What a stream of finished requests says of throughput and latency. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from analyzer.statistics.batch_means import Spread, spread
from analyzer.statistics.estimate import Estimate
from analyzer.statistics.flags import flags_of
from analyzer.statistics.order import percentile_of

CONFIDENCE = 0.95
PERCENTILES = (50.0, 90.0, 95.0, 99.0)

Times = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Throughput in inferences a second, latencies in ns, and what to know about them.

    ``batches`` and ``lag1`` are those behind the mean latency. Each of ``flags`` begins with its
    name and a colon (``drift``, ``bimodal``, ``autocorrelated``, ``short``), and goes on in words.
    """

    requests: int
    seconds: float
    throughput: Estimate
    latency_avg: Estimate
    percentiles: Mapping[float, Estimate] = field(default_factory=dict)
    batches: int = 0
    lag1: float = 0.0
    flags: tuple[str, ...] = ()

    def flagged(self, name: str) -> bool:
        """Whether there is a flag of this name."""
        return any(flag.startswith(f"{name}:") for flag in self.flags)


def summarise(
    done_ns: Times,
    latency_ns: Times,
    *,
    inferences: int | npt.NDArray[np.integer] = 1,
    confidence: float = CONFIDENCE,
    percentiles: Sequence[float] = PERCENTILES,
    from_ns: int | None = None,
) -> Summary:
    """Summarise n requests: when each was done, and how long it took, both in ns.

    ``inferences`` says how many each was, one number for all or n of them. Counted are those done
    after ``from_ns``, from then to the last; without it time runs from the first one's end.

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
    if from_ns is not None:
        after = int(np.searchsorted(done_ns, from_ns, side="right"))
        done_ns, latency_ns, weights = done_ns[after:], latency_ns[after:], weights[after:]
    if not len(done_ns):
        return _nothing(confidence, percentiles)
    return _summary(done_ns, latency_ns, weights, from_ns, confidence, percentiles)


def _summary(
    done_ns: Times,
    latency_ns: Times,
    weights: Times,
    from_ns: int | None,
    confidence: float,
    percentiles: Sequence[float],
) -> Summary:
    throughput, seconds = _throughput(done_ns, weights, from_ns, confidence)
    ordered = np.sort(latency_ns)
    average = spread(latency_ns)
    found = {
        wanted: percentile_of(latency_ns, ordered, wanted, confidence) for wanted in percentiles
    }
    return Summary(
        requests=len(done_ns),
        seconds=seconds,
        throughput=throughput,
        latency_avg=_average(latency_ns, average, confidence),
        percentiles=found,
        batches=average.batches,
        lag1=average.lag1,
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


def _throughput(
    done_ns: Times, weights: Times, from_ns: int | None, confidence: float
) -> tuple[Estimate, float]:
    """Estimate inferences a second, and say in how many seconds they were counted.

    A ratio of means: the spread is that of how many more were done in the time before each
    request's end than the rate would have it.
    """
    if from_ns is None:
        gaps, counted = np.diff(done_ns) / 1e9, weights[1:]
    else:
        gaps, counted = np.diff(done_ns, prepend=from_ns) / 1e9, weights
    seconds = float(gaps.sum())
    if not seconds:
        return _unknown(confidence), 0.0
    rate = float(counted.sum()) / seconds
    excess = counted - rate * gaps
    found = spread(excess)
    down, up = (reach * len(gaps) / seconds for reach in found.reach(confidence))
    return Estimate(
        value=rate,
        low=max(0.0, rate - down),
        high=rate + up,
        confidence=confidence,
        n=len(gaps),
        effective_n=_worth(len(gaps), float(excess.var()), found.variance),
    ), seconds


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
