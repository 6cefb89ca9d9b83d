"""``python -m benchmarks.overload``: three times what a server can do. Who is refused, and after?

For a minute, over HTTP and over gRPC. The model waits, and computes nothing: so its capacity is
known, and the machine is not what is measured. Its queue is bounded. Before and after the
overload half the capacity is offered, to see what is normal and how soon it is again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import numpy as np
import psutil

from benchmarks.__main__ import RESULTS, described
from benchmarks.openloop import Heard, offer
from benchmarks.results import keep, table
from benchmarks.server import Server, running

MODEL = "busy"
PROTOCOLS = ("http", "grpc")
FULL = "Exceeds maximum queue size"
STATUS = {"http": "HTTP 503", "grpc": "gRPC UNAVAILABLE"}
#: recovered is when for so long nobody is refused and latency is as usual
BIN_S = 0.1
_SAMPLE_S = 0.03
_CONFIG = """
backend: "synthetic"
max_batch_size: {batch}
input [ {{ name: "INPUT0" data_type: TYPE_FP32 dims: [ 16 ] }} ]
output [ {{ name: "OUTPUT0" data_type: TYPE_FP32 dims: [ 16 ] }} ]
instance_group [ {{ kind: KIND_CPU count: {instances} }} ]
parameters {{ key: "latency_us" value: {{ string_value: "{latency_us}" }} }}
dynamic_batching {{ default_queue_policy {{
  max_queue_size: {queue} default_timeout_microseconds: {timeout_us} }} }}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """The model, and what is offered to it: ``factor`` times its capacity for ``seconds``.

    A latency is as usual up to ``usual`` times what it was before.
    """

    batch: int = 4
    instances: int = 2
    latency_us: int = 40_000
    queue: int = 32
    timeout_us: int = 500_000
    factor: float = 3.0
    seconds: float = 60.0
    around_s: float = 5.0
    usual: float = 1.5

    @property
    def capacity(self) -> float:
        """Requests a second that its instances can do together."""
        return self.instances * self.batch * 1e6 / self.latency_us

    @property
    def phases(self) -> tuple[tuple[float, float], ...]:
        """Rates and seconds: usual, overload, usual."""
        usual = (self.capacity / 2, self.around_s)
        return (usual, (self.factor * self.capacity, self.seconds), usual)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overload:
    """What one run showed. Latencies in ms: the median, the 99th percentile and the greatest.

    ``others`` counts what was neither served nor refused as it should be, by its text.
    ``memory_mb`` is the server's RSS in the first and the last tenth of the overload, and its
    greatest. ``recovered_s`` is None if it was not usual again while that was looked at.
    """

    protocol: str
    setting: Setting
    offered: int
    served: int
    refused: int
    others: Mapping[str, int]
    usual_ms: tuple[float, float, float]
    served_ms: tuple[float, float, float]
    refused_ms: tuple[float, float, float]
    memory_mb: tuple[float, float, float]
    recovered_s: float | None

    @property
    def rate(self) -> float:
        """Requests a second that were served during the overload."""
        return self.served / self.setting.seconds

    @property
    def longest_ms(self) -> float:
        """How long a request may take that is served: its timeout, and a batch."""
        return (self.setting.timeout_us + self.setting.latency_us) / 1e3


def measure(folder: Path, setting: Setting, protocols: Iterable[str]) -> tuple[Overload, ...]:
    """Overload a new server by each protocol; ``folder`` takes the model."""
    write_model(folder, setting)
    found = []
    for protocol in protocols:
        with running(folder) as server:
            found.append(overload(server, setting, protocol))
    return tuple(found)


def write_model(folder: Path, setting: Setting) -> None:
    """Write the model's folder."""
    model = folder / MODEL
    (model / "1").mkdir(parents=True)
    text = _CONFIG.format(**asdict(setting))
    (model / "config.pbtxt").write_text(text, encoding="utf-8")


def overload(server: Server, setting: Setting, protocol: str) -> Overload:
    """Overload a server that serves the model."""
    with _memory(server.root) as memory:
        found = offer(server.endpoint, MODEL, protocol, setting.phases)
    return judge(found, setting, protocol, memory)


@contextmanager
def _memory(process: psutil.Process) -> Iterator[list[tuple[float, float]]]:
    """Read the RSS of a process, MB, time after time (monotonic s)."""
    seen: list[tuple[float, float]] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_SAMPLE_S):
            seen.append((monotonic(), process.memory_info().rss / 1e6))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


def judge(
    heard: Heard, setting: Setting, protocol: str, memory: Sequence[tuple[float, float]]
) -> Overload:
    """Make of all answers what they show. Pure."""
    due, latency, error = np.array(heard.exchanges, np.int64).reshape(-1, 3).T
    begin, end = heard.starts_ns[1], heard.starts_ns[2]
    during = (due >= begin) & (due < end)
    full = [
        number
        for number, text in enumerate(heard.errors)
        if text.startswith(STATUS[protocol]) and FULL in text
    ]
    refused = np.isin(error, full)
    served = error == 0
    others = {
        text: int((error == number).sum())
        for number, text in enumerate(heard.errors)
        if number and number not in full
    }
    return Overload(
        protocol=protocol,
        setting=setting,
        offered=int(during.sum()),
        served=int((during & served).sum()),
        refused=int((during & refused).sum()),
        others={**others, **_count("refused before the overload", refused & (due < begin))},
        usual_ms=_spread(latency[served & (due < begin)]),
        served_ms=_spread(latency[during & served]),
        refused_ms=_spread(latency[during & refused]),
        memory_mb=_grown(memory, begin / 1e9, end / 1e9),
        recovered_s=_recovered(due, latency, served, heard, setting.usual),
    )


def _count(what: str, which: np.ndarray) -> Mapping[str, int]:
    return {what: int(which.sum())} if which.any() else {}


def _spread(latency_ns: np.ndarray) -> tuple[float, float, float]:
    if not latency_ns.size:
        return (0.0, 0.0, 0.0)
    middle, most = np.percentile(latency_ns, (50, 99)) / 1e6
    return (float(middle), float(most), float(latency_ns.max() / 1e6))


def _grown(
    memory: Sequence[tuple[float, float]], begin_s: float, end_s: float
) -> tuple[float, float, float]:
    tenth = (end_s - begin_s) / 10
    # The very first moments fill what is then used again and again.
    first = [mb for at, mb in memory if begin_s + tenth <= at < begin_s + 2 * tenth]
    last = [mb for at, mb in memory if end_s - tenth <= at < end_s]
    every = [mb for _, mb in memory]
    return (_middle(first), _middle(last), max(every, default=0.0))


def _middle(values: Sequence[float]) -> float:
    return float(np.median(values)) if values else 0.0


def _recovered(
    due: np.ndarray, latency: np.ndarray, served: np.ndarray, heard: Heard, most: float
) -> float | None:
    """Say after how many seconds all is as usual, from the overload's last request on."""
    usual = np.percentile(latency[served & (due < heard.starts_ns[1])], 90)
    end, last = heard.starts_ns[2:]
    for bin_ns in range(end, last, int(BIN_S * 1e9)):
        here = (due >= bin_ns) & (due < bin_ns + int(BIN_S * 1e9))
        if not here.any() or not served[here].all():
            continue
        if np.percentile(latency[here], 90) <= most * usual:
            return (bin_ns - end) / 1e9 + BIN_S
    return None


def markdown(found: Sequence[Overload], machine: Mapping[str, str], taken_at: str) -> str:
    """Lay the figures out."""
    setting = found[0].setting
    parts = [
        f"# Overload, {taken_at[:10]}",
        table(("", ""), machine.items()),
        (
            f"A model that does {setting.capacity:.0f} requests a second ({setting.instances} "
            f"instances, batches of {setting.batch} in {setting.latency_us / 1e3:g} ms), with at "
            f"most {setting.queue} requests in its queue and a timeout of "
            f"{setting.timeout_us / 1e3:g} ms, is offered {setting.factor:g} times as many for "
            f"{setting.seconds:g} s: an open loop of random arrivals, from a process of its own on "
            "the same machine. Before and after that it is offered half of what it can do."
        ),
        table(
            ("", *(one.protocol for one in found)),
            ((name, *map(said, found)) for name, said in _LINES),
        ),
        (
            f"Latencies are the median, the 99th percentile and the greatest, from when a request "
            f"was due. Recovered means: of the requests due in {BIN_S:g} s all are served, nine of "
            f"ten within {setting.usual:g} times what nine of ten took before the overload."
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _ms(three: tuple[float, float, float]) -> str:
    return " / ".join(f"{one:.1f}" for one in three) + " ms"


def _others(one: Overload) -> str:
    return "; ".join(f"{count}: {text}" for text, count in one.others.items()) or "none"


_LINES = (
    ("offered", lambda one: f"{one.offered / one.setting.seconds:.0f}/s"),
    ("served", lambda one: f"{one.rate:.0f}/s ({one.rate / one.setting.capacity:.0%} of capacity)"),
    (f"refused: {FULL}", lambda one: f"{one.refused / one.setting.seconds:.0f}/s"),
    ("anything else", _others),
    ("latency of the refused", lambda one: _ms(one.refused_ms)),
    ("latency of the served", lambda one: _ms(one.served_ms)),
    ("timeout, and a batch", lambda one: f"{one.longest_ms:.0f} ms"),
    ("latency before", lambda one: _ms(one.usual_ms)),
    (
        "RSS early, late, greatest",
        lambda one: " / ".join(f"{mb:.1f}" for mb in one.memory_mb) + " MB",
    ),
    (
        "recovered after",
        lambda one: "not seen" if one.recovered_s is None else f"{one.recovered_s:.1f} s",
    ),
)


def main() -> None:
    """Measure both protocols and write the figures down."""
    parser = argparse.ArgumentParser(prog="scripts/bench overload", description="Overload.")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of each overload")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--quick", action="store_true", help="2 s; nothing is written")
    given = parser.parse_args()
    here = described()
    taken_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    quick = Setting(seconds=2.0, around_s=1.0)
    setting = quick if given.quick else Setting(seconds=given.seconds)
    with tempfile.TemporaryDirectory(prefix="servetune-bench-") as scratch:
        found = measure(Path(scratch), setting, PROTOCOLS)
    page = markdown(found, here, taken_at)
    sys.stdout.write(page)
    if not given.quick:
        plain = {"taken_at": taken_at, "machine": here, "runs": [asdict(one) for one in found]}
        keep(given.output, plain, page, "overload")


if __name__ == "__main__":
    main()
