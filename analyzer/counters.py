"""A model's counters, as the statistics extension and the metrics page keep them. Pure.

Owns their sums and differences, and what they say about the requests between two readings. Does
not own how they are read (``v2client`` asks a server, ``measure.pages`` scrapes its metrics).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from analyzer.metrics import BatchTimes, ServerTimes


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchCounters:
    """The executions of one batch size; ``*_ns`` are sums over them."""

    executions: int = 0
    compute_input_ns: int = 0
    compute_infer_ns: int = 0
    compute_output_ns: int = 0

    def plus(self, other: BatchCounters, sign: int) -> BatchCounters:
        """Add ``sign`` times the other's."""
        names = [each.name for each in fields(self)]
        return BatchCounters(
            **{name: getattr(self, name) + sign * getattr(other, name) for name in names}
        )


_NO_BATCHES = BatchCounters()


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """A model's counters since it was loaded, all its versions together.

    Source: the statistics extension. ``*_ns`` are sums over the ``requests`` that succeeded, but
    those of the cache over its hits and misses. ``batches`` are by batch size. ``composing`` are
    those of the models that an ensemble is made of, by name; they count whoever asked them.
    """

    requests: int = 0
    failed: int = 0
    inferences: int = 0
    executions: int = 0
    request_ns: int = 0
    queue_ns: int = 0
    compute_input_ns: int = 0
    compute_infer_ns: int = 0
    compute_output_ns: int = 0
    cache_hits: int = 0
    cache_hit_ns: int = 0
    cache_misses: int = 0
    cache_miss_ns: int = 0
    batches: Mapping[int, BatchCounters] = field(default_factory=dict)
    composing: Mapping[str, Counters] = field(default_factory=dict)

    @classmethod
    def of(cls, tallies: Mapping[str, int]) -> Counters:
        """Make counters of single numbers, by name."""
        known: dict[str, Any] = dict(tallies)
        return cls(**known)

    def __add__(self, other: Counters) -> Counters:
        return self.plus(other, 1)

    def __sub__(self, earlier: Counters) -> Counters:
        return self.plus(earlier, -1)

    def plus(self, other: Counters, sign: int) -> Counters:
        """Add ``sign`` times the other's."""
        return Counters(
            **{name: getattr(self, name) + sign * getattr(other, name) for name in TALLIES},
            batches={
                size: self.batches.get(size, _NO_BATCHES).plus(
                    other.batches.get(size, _NO_BATCHES), sign
                )
                for size in sorted({*self.batches, *other.batches})
            },
            composing={
                name: self.composing.get(name, _NOTHING).plus(
                    other.composing.get(name, _NOTHING), sign
                )
                for name in sorted({*self.composing, *other.composing})
            },
        )


#: the counters that are one number
TALLIES = tuple(each.name for each in fields(Counters) if each.name not in {"batches", "composing"})
_NOTHING = Counters()


def server_times(before: Counters | None, after: Counters | None) -> ServerTimes | None:
    """Return the mean times of the requests between two readings; None if there were none.

    All divided by the requests that succeeded, so that the parts add up to the whole; those of a
    batch size by its executions. A model that was loaded anew in between counts from 0 again, so
    what would be negative is None, too.
    """
    if before is None or after is None:
        return None
    return _times(after - before)


def _times(seen: Counters) -> ServerTimes | None:
    if seen.requests <= 0 or any(getattr(seen, name) < 0 for name in TALLIES):
        return None
    return ServerTimes(
        requests=seen.requests,
        inferences=seen.inferences,
        executions=seen.executions,
        request_ns=seen.request_ns / seen.requests,
        queue_ns=seen.queue_ns / seen.requests,
        compute_input_ns=seen.compute_input_ns / seen.requests,
        compute_infer_ns=seen.compute_infer_ns / seen.requests,
        compute_output_ns=seen.compute_output_ns / seen.requests,
        cache_hits=seen.cache_hits,
        cache_misses=seen.cache_misses,
        cache_hit_ns=seen.cache_hit_ns / seen.requests,
        cache_miss_ns=seen.cache_miss_ns / seen.requests,
        batches=tuple(
            BatchTimes(
                batch_size=size,
                executions=one.executions,
                compute_input_ns=one.compute_input_ns / one.executions,
                compute_infer_ns=one.compute_infer_ns / one.executions,
                compute_output_ns=one.compute_output_ns / one.executions,
            )
            for size, one in sorted(seen.batches.items())
            if one.executions > 0
        ),
        composing={
            name: times
            for name, one in sorted(seen.composing.items())
            if (times := _times(one)) is not None
        },
    )


def together(every: Iterable[Counters]) -> Counters:
    """Add up the counters of several versions."""
    return sum(every, _NOTHING)
