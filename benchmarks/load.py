"""``python -m benchmarks.load``: what the load client itself costs, and how fast it can be.

Against a null server, which answers and does nothing else (``null_server.c``), and against the
engine's ``identity`` model. CPU time is that of a whole run of a given number of requests, divided
by them: the client's beside the server's. An open loop is driven at rising rates, to see from
where on the client sends too late.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from analyzer import v2client
from analyzer.load.driver import run
from analyzer.load.payload import concrete, make
from analyzer.load.workload import Item, Workload
from analyzer.record.row import LoadSpec
from benchmarks.__main__ import RESULTS, described
from benchmarks.null import null_server
from benchmarks.results import keep, table
from benchmarks.server import Server, running
from benchmarks.spread import Spread
from engine import examples

MODEL = "identity"
PROTOCOLS = ("http", "grpc")
CONCURRENCIES = (1, 16, 64)
SENDERS = (1, 2)
RATES = {"http": (1000, 5000, 10_000, 20_000, 30_000), "grpc": (500, 1000, 2000, 4000)}
#: how fast a server that does nothing is to be driven over HTTP, requests a second
WANTED = 20_000
TRIED = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """One run. CPU in us a request; ``cores`` is what the senders took together."""

    rate: float
    client_us: float
    server_us: float
    cores: float
    p50_us: float
    p99_us: float
    lag_p50_us: float
    lag_p99_us: float
    dropped: int
    invalid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One load on one server, repeated. With a ``rate`` the loop is open."""

    server: str
    protocol: str
    concurrency: int
    rate: float
    senders: int
    shots: tuple[Shot, ...]

    def text(self, field: str, form: str = ".0f") -> str:
        """Say a figure of all shots."""
        return Spread.of(getattr(shot, field) for shot in self.shots).text(form)


def loads() -> list[LoadSpec]:
    """Lay out what is measured of each server."""
    closed = [
        LoadSpec(protocol=protocol, concurrency=concurrency, senders=1, rule="count")
        for protocol in PROTOCOLS
        for concurrency in CONCURRENCIES
    ]
    several = [
        LoadSpec(protocol=protocol, concurrency=64, senders=2, rule="count")
        for protocol in PROTOCOLS
    ]
    opened = [
        LoadSpec(
            protocol=protocol, request_rate=rate, distribution="poisson", senders=1, rule="count"
        )
        for protocol in PROTOCOLS
        for rate in RATES[protocol]
    ]
    return [*closed, *several, *opened]


def measure(
    servers: dict[str, Server], workload: Workload, repetitions: int, seconds: float
) -> tuple[Case, ...]:
    """Measure every load on every server, in rounds, so that drift meets all alike."""
    every = [(name, load) for load in loads() for name in servers]
    counts = {(name, load): _count(servers[name], workload, load, seconds) for name, load in every}
    shots: dict[tuple[str, LoadSpec], list[Shot]] = {one: [] for one in every}
    for _ in range(repetitions):
        for name, load in every:
            shots[name, load].append(shoot(servers[name], workload, load, counts[name, load]))
    return tuple(
        Case(
            server=name,
            protocol=load.protocol,
            concurrency=load.concurrency if not load.request_rate else 0,
            rate=load.request_rate,
            senders=load.senders,
            shots=tuple(found),
        )
        for (name, load), found in shots.items()
    )


def _count(server: Server, workload: Workload, load: LoadSpec, seconds: float) -> int:
    """Say how many requests take about so many seconds."""
    rate = load.request_rate or shoot(server, workload, load, TRIED).rate
    return max(TRIED, int(rate * seconds))


def shoot(server: Server, workload: Workload, load: LoadSpec, count: int) -> Shot:
    """Send so many requests."""
    spec = LoadSpec(**{**{name: getattr(load, name) for name in LoadSpec.__slots__},
                       "request_count": count})  # fmt: skip
    spent = server.cpu_seconds()
    driven = run(server.endpoint, workload, spec)
    spent = server.cpu_seconds() - spent
    sent = driven.requests + driven.failed
    return Shot(
        rate=driven.requests / driven.seconds,
        client_us=driven.client_cpu * driven.seconds / sent * 1e6,
        server_us=spent / sent * 1e6,
        cores=driven.client_cpu,
        p50_us=driven.service.p50 / 1e3,
        p99_us=driven.service.p99 / 1e3,
        lag_p50_us=driven.send_lag.p50 / 1e3,
        lag_p99_us=driven.send_lag.p99 / 1e3,
        dropped=driven.dropped,
        invalid=driven.invalid,
    )


def page(taken_at: str, machine: dict[str, str], cases: Sequence[Case], seconds: float) -> str:
    """Lay the figures out."""
    closed = [case for case in cases if not case.rate]
    opened = [case for case in cases if case.rate]
    fastest = max(
        shot.rate
        for case in closed
        if case.protocol == "http" and case.server == "null"
        for shot in case.shots
    )
    parts = [
        f"# What the load client costs, {taken_at[:10]}",
        table(("", ""), machine.items()),
        (
            f"Median of {len(cases[0].shots)} repetitions of about {seconds:g} s, least and "
            "greatest in brackets. Client and server run on the same machine. CPU is that of their "
            "processes for each request."
        ),
        "## Closed loop",
        _closed(closed),
        (
            f"Fastest over HTTP against the null server: {fastest:,.0f} requests/s; at least "
            f"{WANTED:,}: {'yes' if fastest >= WANTED else '**no**'}. Less CPU a request than the "
            f"engine, over HTTP: {_cheaper(closed)}."
        ),
        "## Open loop, Poisson, one sender",
        _opened(opened),
    ]
    return "\n\n".join(parts) + "\n"


def _cheaper(closed: Sequence[Case]) -> str:
    engine = [case for case in closed if case.server == "engine" and case.protocol == "http"]
    cheaper = all(
        Spread.of(shot.client_us for shot in case.shots).median
        < Spread.of(shot.server_us for shot in case.shots).median
        for case in engine
    )
    return "yes" if cheaper else "**no**"


def _closed(cases: Sequence[Case]) -> str:
    head = (
        "server", "protocol", "concurrency", "senders", "requests/s", "client us/request",
        "server us/request", "client cores", "p50 us", "p99 us",
    )  # fmt: skip
    return table(
        head,
        (
            (
                case.server, case.protocol, str(case.concurrency), str(case.senders),
                case.text("rate"), case.text("client_us", ".1f"), case.text("server_us", ".1f"),
                case.text("cores", ".2f"), case.text("p50_us"), case.text("p99_us"),
            )
            for case in cases
        ),
    )  # fmt: skip


def _opened(cases: Sequence[Case]) -> str:
    head = (
        "server", "protocol", "asked/s", "sent/s", "client us/request", "client cores",
        "sent late by: p50 us", "p99 us", "dropped", "valid",
    )  # fmt: skip
    return table(
        head,
        (
            (
                case.server, case.protocol, f"{case.rate:.0f}", case.text("rate"),
                case.text("client_us", ".1f"), case.text("cores", ".2f"), case.text("lag_p50_us"),
                case.text("lag_p99_us"), str(sum(shot.dropped for shot in case.shots)),
                f"{sum(not shot.invalid for shot in case.shots)} of {len(case.shots)}",
            )
            for case in cases
        ),
    )  # fmt: skip


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(prog="scripts/bench load", description=__doc__)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one run")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--quick", action="store_true", help="1 x 0.3 s; nothing is written")
    given = parser.parse_args()
    if given.quick:
        given.repetitions, given.seconds = 1, 0.3
    machine = dict(described())
    taken_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    with tempfile.TemporaryDirectory(prefix="servetune-bench-") as scratch:
        models = Path(scratch, "models")
        examples.build(MODEL, models)
        with running(models) as engine, null_server(Path(scratch)) as null:
            workload = _workload(engine)
            servers = {"null": null, "engine": engine}
            cases = measure(servers, workload, given.repetitions, given.seconds)
    text = page(taken_at, machine, cases, given.seconds)
    sys.stdout.write(text)
    if not given.quick:
        plain = {"taken_at": taken_at, "machine": machine, "seconds": given.seconds,
                 "cases": [asdict(case) for case in cases]}  # fmt: skip
        keep(given.output, plain, text, "load")


def _workload(engine: Server) -> Workload:
    metadata = v2client.model_metadata(engine.endpoint, MODEL)
    config = v2client.model_config(engine.endpoint, MODEL)
    request = make(concrete(metadata.inputs, config, 1, {}), "random", 0)
    return Workload((Item(model=MODEL, requests=(request,)),))


if __name__ == "__main__":
    main()
