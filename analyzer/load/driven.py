"""What one run of the load client found. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.metrics import ServerTimes


@dataclass(frozen=True, slots=True, kw_only=True)
class Driven:
    """The windows that count, pooled.

    ``started_ns`` and ``ended_ns`` bound them on the machine's monotonic clock, which all its
    processes share; ``seconds`` is their length. ``latency_ns`` has one entry for each request
    that succeeded in them, from its planned arrival to its last byte. ``window_rates`` are in
    inferences a second. ``send_ns`` (first to last byte out) and ``receive_ns`` (first to last
    byte in) are means, None where the protocol's library hides them. ``failed`` counts the
    whole run, warm-up included, and ``first_error`` quotes the first. ``client_cpu`` is in
    cores. ``server`` is None where the server has no statistics extension.
    """

    protocol: str
    started_ns: int
    ended_ns: int
    latency_ns: npt.NDArray[np.int64]
    window_rates: tuple[float, ...]
    send_ns: float | None
    receive_ns: float | None
    failed: int
    first_error: str | None
    stable: bool
    client_cpu: float
    server: ServerTimes | None
    windows: int
    warmup_requests: int
    warmup_seconds: float

    @property
    def seconds(self) -> float:
        """Length of the windows that count."""
        return (self.ended_ns - self.started_ns) / 1e9

    @property
    def requests(self) -> int:
        """How many requests succeeded in them."""
        return len(self.latency_ns)
