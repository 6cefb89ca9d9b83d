"""``python -m benchmarks.stall``: a server that stands still for two seconds, seen by two loops.

The engine serves a model that takes 5 ms. In the middle of a run of 20 s all its processes are
stopped (SIGSTOP) for 2 s. In an open loop requests go on being due, and their latencies show the
stall; in a closed loop those that would have come in it do not come, and only as many requests as
are in flight notice it.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psutil

from analyzer import v2client
from analyzer.load.driver import run
from analyzer.load.payload import concrete, make
from analyzer.load.workload import Item, Workload
from analyzer.record.row import LoadSpec
from benchmarks.__main__ import RESULTS, described
from benchmarks.results import keep, table
from benchmarks.server import Server, running

MODEL = "steady"
PERCENTILES = (50, 90, 95, 99, 99.9)
CONFIG = """
backend: "synthetic"
max_batch_size: 8
input [ { name: "INPUT0" data_type: TYPE_FP32 dims: [ 16 ] } ]
output [ { name: "OUTPUT0" data_type: TYPE_FP32 dims: [ 16 ] } ]
instance_group [ { kind: KIND_CPU count: 1 } ]
dynamic_batching { }
parameters { key: "latency_us" value: { string_value: "5000" } }
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """How it is loaded, and how long it stands still, from when on."""

    rate: float = 100.0
    seconds: float = 20.0
    stall_s: float = 2.0
    at_s: float = 9.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one loop reports: latencies in ms, by percentile."""

    loop: str
    stalled: bool
    requests: int
    percentiles_ms: Mapping[str, float]
    mean_ms: float
    greatest_ms: float
    slow: int
    dropped: int
    invalid: str


def measure(folder: Path, setting: Setting) -> tuple[Seen, ...]:
    """Load the model by both loops, without a stall and with one; ``folder`` takes the model."""
    version = folder / MODEL / "1"
    version.mkdir(parents=True)
    (folder / MODEL / "config.pbtxt").write_text(CONFIG, encoding="utf-8")
    opened = LoadSpec(request_rate=setting.rate, distribution="poisson", rule="count")
    closed = LoadSpec(concurrency=1, rule="count")
    found = []
    with running(folder) as server:
        for stalled in (False, True):
            found.append(look(server, "open", opened, setting, stalled=stalled))
            found.append(look(server, "closed", closed, setting, stalled=stalled))
    return tuple(found)


def look(server: Server, loop: str, load: LoadSpec, setting: Setting, *, stalled: bool) -> Seen:
    """Load it once."""
    metadata = v2client.model_metadata(server.endpoint, MODEL)
    config = v2client.model_config(server.endpoint, MODEL)
    request = make(concrete(metadata.inputs, config, 1, {}), "random", 0)
    over = threading.Event()
    timer = threading.Timer(setting.seconds, over.set)
    with _stall(server.root, setting if stalled else None):
        timer.start()
        driven = run(
            server.endpoint, Workload((Item(model=MODEL, requests=(request,)),)), load,
            stop=over.is_set,
        )  # fmt: skip
    latency = driven.latency_ns / 1e6
    ranks = np.percentile(latency, PERCENTILES, method="nearest")
    return Seen(
        loop=loop,
        stalled=stalled,
        requests=len(latency),
        percentiles_ms={
            f"p{rank:g}": float(ms) for rank, ms in zip(PERCENTILES, ranks, strict=True)
        },
        mean_ms=float(latency.mean()),
        greatest_ms=float(latency.max()),
        slow=int((latency > 100).sum()),  # noqa: PLR2004 - as the page says
        dropped=driven.dropped,
        invalid=driven.invalid,
    )


@contextmanager
def _stall(root: psutil.Process, setting: Setting | None) -> Iterator[None]:
    """Have the server stand still for a while, in the midst of what is done meanwhile."""
    every = [root, *root.children(recursive=True)]

    def send(number: signal.Signals) -> None:
        for one in every:
            os.kill(one.pid, number)

    timers = []
    if setting is not None:
        timers = [
            threading.Timer(setting.at_s, send, [signal.SIGSTOP]),
            threading.Timer(setting.at_s + setting.stall_s, send, [signal.SIGCONT]),
        ]
    for timer in timers:
        timer.start()
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()
        send(signal.SIGCONT)


def page(taken_at: str, machine: Mapping[str, str], setting: Setting, seen: Sequence[Seen]) -> str:
    """Lay the figures out."""
    head = ("loop", "server", "requests", *(f"p{rank:g} ms" for rank in PERCENTILES),
            "mean ms", "greatest ms", "slower than 100 ms")  # fmt: skip
    rows = (
        (
            one.loop,
            f"stood still for {setting.stall_s:g} s" if one.stalled else "as usual",
            str(one.requests),
            *(f"{ms:.1f}" for ms in one.percentiles_ms.values()),
            f"{one.mean_ms:.1f}",
            f"{one.greatest_ms:.0f}",
            f"{one.slow} ({one.slow / one.requests:.1%})",
        )
        for one in seen
    )
    return "\n\n".join([
        f"# A stall, seen by an open and by a closed loop, {taken_at[:10]}",
        table(("", ""), machine.items()),
        (
            f"A model that takes 5 ms, loaded for {setting.seconds:g} s: by an open loop at "
            f"{setting.rate:g} requests/s (Poisson), whose latencies count from when a request was "
            "due, and by a closed loop of one request at a time. The stall is a tenth of the time. "
            "The open loop says that a tenth of the requests were slow; to the closed loop it is "
            "one request among thousands."
        ),
        table(head, rows),
    ]) + "\n"  # fmt: skip


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(prog="scripts/bench stall", description=__doc__)
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--quick", action="store_true", help="2 s, 0.2 of them; nothing is written")
    given = parser.parse_args()
    setting = Setting(seconds=2.0, stall_s=0.2, at_s=1.0) if given.quick else Setting()
    machine = dict(described())
    taken_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    with tempfile.TemporaryDirectory(prefix="servetune-bench-") as scratch:
        seen = measure(Path(scratch, "models"), setting)
    text = page(taken_at, machine, setting, seen)
    sys.stdout.write(text)
    if not given.quick:
        plain = {"taken_at": taken_at, "machine": machine, "setting": asdict(setting),
                 "seen": [asdict(one) for one in seen]}  # fmt: skip
        keep(given.output, plain, text, "stall")


if __name__ == "__main__":
    main()
