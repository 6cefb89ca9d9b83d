"""Metrics of models' own: what their code counts, beside what the server counts of them.

Owns the families, their series, and who holds them. Does not own the page (``page``), nor how a
model's code reaches this (``engine.calling``). Any thread may use it. Rules, as in Triton:

1. series of one family with the same labels are one, whichever instances or models made them;
2. a series, and a family, is there as long as anybody holds it: the code that made it, until it
   lets go, or its process, or its model, is gone;
3. a name belongs to one kind; its first description stays. The server's own names are nobody's.
"""

from __future__ import annotations

import re
import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from engine.errors import AlreadyExists, InvalidArgument, NotFound, Unsupported
from engine.telemetry.exposition import Family, Kind, Sample, number

_KINDS = {one.value: one for one in (Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM)}
_FAMILY = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
#: names that this server's own families have, or may have
_OURS = re.compile(r"(servetune|nv_(inference|cache|cpu|gpu|energy|pinned|model))_")
#: what Prometheus calls the series of a histogram besides; a label of it nobody else may have
_SUFFIXES, _BOUND = ("_bucket", "_sum", "_count"), "le"

_Labels = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class _Series:
    """One number, or one histogram: ``counts`` are of each bucket alone, the last of the rest."""

    bounds: tuple[float, ...] = ()
    value: float = 0.0
    counts: list[int] = field(default_factory=list)
    holders: Counter[Hashable] = field(default_factory=Counter)


@dataclass(slots=True)
class _Own:
    """A family."""

    kind: Kind
    help: str
    series: dict[_Labels, _Series] = field(default_factory=dict)
    holders: Counter[Hashable] = field(default_factory=Counter)


class CustomMetrics:
    """The families that models have made."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._families: dict[str, _Own] = {}

    def do(self, holder: Hashable, statement: Mapping[str, Any]) -> float | None:
        """Do what a model's code says; ``holder`` is its process, or its instance.

        ``do`` is one of ``family`` (``name``, ``help``, ``kind``), ``series`` (``name``,
        ``labels``, ``buckets``), ``increment``, ``set``, ``observe`` (with ``value``), ``value``,
        which is answered, ``drop_series``, and ``drop_family``.

        Raises:
            EngineError: it cannot be done, and why.
        """
        with self._lock:
            name, do = statement["name"], statement["do"]
            if do == "family":
                self._make(holder, name, statement["help"], statement["kind"])
                return None
            family = self._families.get(name)
            if family is None:
                raise NotFound(f"there is no metric family '{name}' any more")
            labels = _read_labels(statement.get("labels") or {}, name)
            if do == "series":
                self._add(holder, name, family, labels, statement["buckets"])
            elif do == "drop_family":
                _less(family.holders, holder)
            else:
                return _change(name, family, labels, holder, statement)
            self._tidy()
            return None

    def leave(self, holder: Hashable) -> None:
        """Learn that a holder is gone, and holds nothing any more."""
        with self._lock:
            for family in self._families.values():
                family.holders.pop(holder, None)
                for series in family.series.values():
                    series.holders.pop(holder, None)
            self._tidy()

    def families(self) -> tuple[Family, ...]:
        """Picture all there is."""
        with self._lock:
            return tuple(
                Family(name, own.kind, own.help, tuple(_samples(own)))
                for name, own in sorted(self._families.items())
            )

    def _make(self, holder: Hashable, name: str, text: str, word: str) -> None:
        kind = _KINDS.get(word)
        if kind is None:
            raise InvalidArgument(f"metric family '{name}': unknown kind {word!r}")
        if not _FAMILY.fullmatch(name):
            raise InvalidArgument(
                f"metric family '{name}': a name has letters, digits, '_' and ':', no digit first"
            )
        if _OURS.match(name):
            raise AlreadyExists(f"metric family '{name}': such a name is the server's own")
        there = self._families.get(name)
        if there is None:
            taken = self._taken(name, kind)
            if taken:
                raise AlreadyExists(f"metric family '{name}': '{taken}' has series of such a name")
            there = self._families[name] = _Own(kind, text)
        elif there.kind is not kind:
            raise AlreadyExists(
                f"metric family '{name}': Family name already exists with different type"
                f" ({there.kind.value}, not {word})"
            )
        there.holders[holder] += 1

    def _taken(self, name: str, kind: Kind) -> str:
        """Name the family whose series would be taken for this one's, or the other way round."""
        for other, own in self._families.items():
            if own.kind is Kind.HISTOGRAM and name in {other + end for end in _SUFFIXES}:
                return other
            if kind is Kind.HISTOGRAM and other in {name + end for end in _SUFFIXES}:
                return other
        return ""

    def _add(
        self,
        holder: Hashable,
        name: str,
        family: _Own,
        labels: _Labels,
        buckets: Sequence[float] | None,
    ) -> None:
        bounds = _bounds(name, family.kind, buckets)
        there = family.series.get(labels)
        if there is None:
            there = family.series[labels] = _Series(bounds, counts=[0] * (len(bounds) + 1))
        elif there.bounds != bounds:
            raise AlreadyExists(
                f"metric '{name}': it exists with these labels and other buckets:"
                f" {list(there.bounds)}, not {list(bounds)}"
            )
        there.holders[holder] += 1

    def _tidy(self) -> None:
        for name, family in list(self._families.items()):
            for labels, series in list(family.series.items()):
                if not series.holders:
                    del family.series[labels]
            if not family.holders and not family.series:
                del self._families[name]


def _change(
    name: str, family: _Own, labels: _Labels, holder: Hashable, statement: Mapping[str, Any]
) -> float | None:
    do, series = statement["do"], family.series.get(labels)
    if series is None:
        raise NotFound(f"there is no metric '{name}' with labels {dict(labels)} any more")
    if do == "drop_series":
        _less(series.holders, holder)
        if not series.holders:
            del family.series[labels]
        return None
    check(family.kind.value, do, statement.get("value", 0.0))
    if do == "value":
        return series.value
    value = float(statement["value"])
    if do == "set":
        series.value = value
    else:
        series.value += value
    if do == "observe":
        series.counts[bisect_left(series.bounds, value)] += 1
    return None


def check(kind: str, do: str, value: float) -> None:
    """Let a change pass if a metric of this kind (Prometheus's word) can have it. Pure.

    Raises:
        Unsupported: it cannot.
        InvalidArgument: not by this value.
    """
    what, named = do.capitalize(), f"TRITONSERVER_METRIC_KIND_{kind.upper()}"
    histogram = kind == Kind.HISTOGRAM.value
    if (do == "observe") is not histogram or (do == "set" and kind == Kind.COUNTER.value):
        raise Unsupported(f"{named} does not support {what}")
    if do == "increment" and kind == Kind.COUNTER.value and not value >= 0:
        raise InvalidArgument(
            f"{named} can only be incremented monotonically by non-negative values."
        )


def _samples(own: _Own) -> Iterator[Sample]:
    for key, series in sorted(own.series.items()):
        labels = dict(key)
        if own.kind is not Kind.HISTOGRAM:
            yield Sample(series.value, labels)
            continue
        total = 0
        for bound, count in zip((*map(number, series.bounds), "+Inf"), series.counts, strict=True):
            total += count
            yield Sample(total, {**labels, _BOUND: bound}, "_bucket")
        yield Sample(series.value, labels, "_sum")
        yield Sample(total, labels, "_count")


def _less(holders: Counter[Hashable], holder: Hashable) -> None:
    holders[holder] -= 1
    if holders[holder] <= 0:
        del holders[holder]


def _read_labels(labels: Mapping[str, str], name: str) -> _Labels:
    for label, value in labels.items():
        if not isinstance(value, str):
            raise InvalidArgument(f"metric '{name}': label '{label}' must be a text")
        if not _LABEL.fullmatch(label) or label.startswith("__") or label == _BOUND:
            raise InvalidArgument(f"metric '{name}': '{label}' cannot be the name of a label")
    return tuple(sorted(labels.items()))


def _bounds(name: str, kind: Kind, buckets: Sequence[float] | None) -> tuple[float, ...]:
    if kind is not Kind.HISTOGRAM:
        if buckets:
            raise InvalidArgument(f"metric '{name}': a {kind.value} has no buckets")
        return ()
    bounds = tuple(float(one) for one in buckets or ())
    if not bounds or any(not low < high for low, high in pairwise(bounds)):
        raise InvalidArgument(
            f"metric '{name}': a histogram needs buckets: bounds that grow, not {list(bounds)}"
        )
    return bounds
