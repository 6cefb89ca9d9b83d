"""Metrics of a Python model's own; part of ``api``, in Triton's names and meaning.

Owns what a model holds of them. Does not own their values, which are the server's: instances share
them. What is let go of is told by a thread of its own: a destructor may run anywhere, also where a
message is being sent.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from functools import partial
from queue import SimpleQueue
from typing import Any, ClassVar

from engine.backends.python.door import Door, door
from engine.backends.python.errors import TritonModelException
from engine.errors import EngineError
from engine.telemetry.custom import check


class MetricKind(Enum):
    """What a family counts."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Metric:
    """One number, or histogram, of a family; ``labels`` tell it from the others.

    Made by ``MetricFamily.Metric``. It is on the metrics page as long as this object lives.
    """

    def __init__(
        self,
        family: MetricFamily,
        labels: Mapping[str, str] | None = None,
        buckets: Sequence[float] | None = None,
    ) -> None:
        self._family = family
        self._labels = dict(labels or {})
        told = None if buckets is None else [float(one) for one in buckets]
        family.say(
            "Error when creating Metric", {"do": "series", "labels": self._labels, "buckets": told}
        )
        self._held = True

    def increment(self, value: float) -> None:
        """Add to a counter, or to a gauge, which may also be less than 0."""
        self._change("increment", value)

    def set(self, value: float) -> None:
        """Set a gauge."""
        self._change("set", value)

    def observe(self, value: float) -> None:
        """Count a value in a histogram."""
        self._change("observe", value)

    def value(self) -> float:
        """Give the value of a counter or gauge, to which all instances may have added."""
        return float(
            self._family.say("Failed to get metric value", {"do": "value", "labels": self._labels})
        )

    def _change(self, do: str, value: float) -> None:
        """Tell what can be told, and not wait: the server hears it before what is said later."""
        try:
            check(self._family.kind.value, do, value)
        except EngineError as error:
            raise TritonModelException(f"Failed to {do} metric value: {error.message}") from None
        self._family.tell({"do": do, "labels": self._labels, "value": float(value)})

    def __del__(self) -> None:
        if getattr(self, "_held", False):
            _later.give(partial(self._family.tell, {"do": "drop_series", "labels": self._labels}))


class MetricFamily:
    """Metrics that share a name and a meaning."""

    COUNTER: ClassVar = MetricKind.COUNTER
    GAUGE: ClassVar = MetricKind.GAUGE
    HISTOGRAM: ClassVar = MetricKind.HISTOGRAM

    def __init__(self, name: str, description: str, kind: MetricKind) -> None:
        if not isinstance(kind, MetricKind):
            raise TritonModelException(
                f"MetricFamily '{name}': kind is a {type(kind).__name__}, not one of"
                " pb_utils.MetricFamily.COUNTER, GAUGE and HISTOGRAM"
            )
        self._door: Door = door()
        self._name = name
        self.kind = kind
        self.say(
            "Error when creating MetricFamily",
            {"do": "family", "help": description, "kind": kind.value},
        )
        self._held = True
        _later.start()

    def Metric(  # noqa: N802 - Triton's
        self, labels: Mapping[str, str] | None = None, buckets: Sequence[float] | None = None
    ) -> Metric:
        """Make a metric, or share the one that has these labels; a histogram needs ``buckets``.

        Raises:
            TritonModelException: it cannot be, and why.
        """
        return Metric(self, labels, buckets)

    def say(self, what: str, statement: Mapping[str, Any]) -> Any:  # noqa: ANN401 - the answer
        """Tell the server (for the engine; not Triton's)."""
        try:
            return self._door.ask({"what": "metric", "name": self._name, **statement})
        except TritonModelException as fault:
            raise TritonModelException(f"{what}: {fault}") from None

    def tell(self, statement: Mapping[str, Any]) -> None:
        """Tell the server what has no answer (for the engine; not Triton's)."""
        self._door.tell({"what": "metric", "name": self._name, **statement})

    def __del__(self) -> None:
        if getattr(self, "_held", False):
            dropped = {"what": "metric", "name": self._name, "do": "drop_family"}
            _later.give(partial(self._door.tell, dropped))


class _Later:
    """The thread that tells what was let go of."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self.give = self._jobs.put

    def start(self) -> None:
        """Begin, unless it has."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="metrics", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            job()
            del job


_later = _Later()
