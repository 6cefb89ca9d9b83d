"""``python -m benchmarks.reload``: reloads under load. Nobody's request fails, no memory stays.

A server, two clients in processes of their own (HTTP and gRPC, ``benchmarks.steady``), and a
model whose configuration is written anew again and again: loaded by request in explicit mode,
found by polling in poll mode. Told are the requests that failed, how long a reload took from the
writing until the new configuration served, and the server's resident memory (its whole process
tree) before and after.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import tritonclient.http

from benchmarks.__main__ import RESULTS, described
from benchmarks.results import keep, table
from benchmarks.server import Server, running
from engine import examples
from engine.modelconfig import convert

MODES = ("explicit", "poll")
PROTOCOLS = ("http", "grpc")
WARM_UP = 50
SETTLE_S = 2.0
POLL_S = 0.05
PATIENCE_S = 30.0
WANTED_GROWTH = 0.10


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What one client saw."""

    protocol: str
    requests: int
    failed: int
    errors: tuple[str, ...]
    p50_us: float
    p99_us: float
    max_us: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloads:
    """One mode: so many reloads, what they took, what it did to memory and to clients."""

    mode: str
    model: str
    reloads: int
    seconds: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    before_mb: float
    after_mb: float
    loads: tuple[Load, ...]

    @property
    def growth(self) -> float:
        """Memory after, to that before, less 1."""
        return self.after_mb / self.before_mb - 1


class Reloaded:
    """A model in a folder, whose configuration is written anew, and the server that serves it."""

    def __init__(self, file: Path, server: Server, mode: str) -> None:
        self._file = file
        self._config = convert.loads(file.read_text(encoding="utf-8"), str(file))
        self._name = file.parent.name
        self._client = tritonclient.http.InferenceServerClient(server.endpoint.http)
        self._explicit = mode == "explicit"
        self._generation = 0

    def again(self) -> float:
        """Change the model and wait until the change serves; returns how long it took, ms."""
        self._generation += 1
        tags = {"generation": str(self._generation)}
        scratch = self._file.with_suffix(".new")
        scratch.write_text(convert.dumps(replace(self._config, metric_tags=tags)), encoding="utf-8")
        begun = time.perf_counter()
        scratch.replace(self._file)
        if self._explicit:
            self._client.load_model(self._name)
        while self._client.get_model_config(self._name)["metric_tags"] != tags:
            if self._explicit or time.perf_counter() - begun > PATIENCE_S:
                raise RuntimeError(f"generation {self._generation} does not serve")
            time.sleep(POLL_S / 20)
        return (time.perf_counter() - begun) * 1e3


def measure(mode: str, model: str, reloads: int, scratch: Path, warm_up: int = WARM_UP) -> Reloads:
    """Reload one model under load, in one mode."""
    repository = scratch / mode
    examples.build(model, repository)
    flags = [f"--model-control-mode={mode}"]
    flags += (
        [f"--load-model={model}"] if mode == "explicit" else [f"--repository-poll-secs={POLL_S}"]
    )
    with running(repository, *flags) as server, ExitStack() as clients:
        addresses = {"http": server.endpoint.http, "grpc": server.endpoint.grpc or ""}
        asking = [clients.enter_context(_asking(one, addresses[one], model)) for one in PROTOCOLS]
        reloaded = Reloaded(repository / model / "config.pbtxt", server, mode)
        for _ in range(warm_up):
            reloaded.again()
        before_mb = _settled_mb(server)
        begun = time.perf_counter()
        took_ms = [reloaded.again() for _ in range(reloads)]
        seconds = time.perf_counter() - begun
        after_mb = _settled_mb(server)
        loads = tuple(_load(one, client) for one, client in zip(PROTOCOLS, asking, strict=True))
    p50, p99 = np.percentile(took_ms, (50, 99))
    return Reloads(
        mode=mode,
        model=model,
        reloads=reloads,
        seconds=seconds,
        p50_ms=float(p50),
        p99_ms=float(p99),
        max_ms=max(took_ms),
        before_mb=before_mb,
        after_mb=after_mb,
        loads=loads,
    )


@contextmanager
def _asking(protocol: str, address: str, model: str) -> Iterator[subprocess.Popen[str]]:
    client = subprocess.Popen(  # noqa: S603 - our own client
        [sys.executable, "-m", "benchmarks.steady", protocol, address, model],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert client.stdout is not None
        if client.stdout.readline() != "ready\n":
            raise RuntimeError(f"the {protocol} client did not start")
        yield client
    finally:
        client.kill()
        client.wait()


def _load(protocol: str, client: subprocess.Popen[str]) -> Load:
    told, _ = client.communicate(timeout=PATIENCE_S)
    account = json.loads(told)
    p50, p99 = np.percentile(account["latency_us"], (50, 99))
    return Load(
        protocol=protocol,
        requests=account["requests"],
        failed=account["failed"],
        errors=tuple(account["errors"]),
        p50_us=float(p50),
        p99_us=float(p99),
        max_us=max(account["latency_us"]),
    )


def _settled_mb(server: Server) -> float:
    """Give the resident memory of the server's processes, MB, once it has cleared up."""
    time.sleep(SETTLE_S)
    tree: list[psutil.Process] = [server.root, *server.root.children(recursive=True)]
    return float(sum(one.memory_info().rss for one in tree) / 1e6)


def markdown(taken_at: str, machine: Mapping[str, str], found: Sequence[Reloads]) -> str:
    """Lay the figures out."""
    head = (
        "mode", "model", "reloads", "reload p50 ms", "p99 ms", "max ms", "MB before", "MB after",
        f"growth, at most {WANTED_GROWTH:.0%}",
    )  # fmt: skip
    loads = ("mode", "client", "requests", "failed", "p50 us", "p99 us", "max us")
    return "\n\n".join((
        f"# Reloads under load, {taken_at[:10]}",
        table(("", ""), machine.items()),
        (
            "Two clients ask one request at a time while the model is reloaded again and again; "
            "clients and server share the machine. A reload lasts from the writing of the new "
            f"configuration until it serves; in poll mode polls are due every "
            f"{POLL_S * 1e3:.0f} ms. Memory is that of the server's processes, before "
            f"({WARM_UP} reloads to warm up) and after."
        ),
        table(head, ((
            one.mode, one.model, str(one.reloads), f"{one.p50_ms:.1f}", f"{one.p99_ms:.1f}",
            f"{one.max_ms:.1f}", f"{one.before_mb:.1f}", f"{one.after_mb:.1f}",
            f"{one.growth:+.1%}" if one.growth <= WANTED_GROWTH else f"**{one.growth:+.1%}**",
        ) for one in found)),
        "## What clients saw",
        table(loads, ((
            one.mode, load.protocol, str(load.requests),
            str(load.failed) if not load.failed else f"**{load.failed}**: {load.errors[0]}",
            f"{load.p50_us:.0f}", f"{load.p99_us:.0f}", f"{load.max_us:.0f}",
        ) for one in found for load in one.loads)),
    )) + "\n"  # fmt: skip


def main() -> None:
    """Measure both modes and write the figures down."""
    parser = argparse.ArgumentParser(prog="scripts/bench reload", description="Reloads under load.")
    parser.add_argument("--reloads", type=int, default=1000, help="in each mode")
    parser.add_argument("--model", default="identity", help="an example")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--quick", action="store_true", help="50 reloads; nothing is written")
    given = parser.parse_args()
    here = described()
    taken_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    reloads = 50 if given.quick else given.reloads
    with tempfile.TemporaryDirectory(prefix="servetune-bench-") as scratch:
        found = [measure(mode, given.model, reloads, Path(scratch)) for mode in MODES]
    page = markdown(taken_at, here, found)
    sys.stdout.write(page)
    if not given.quick:
        plain: dict[str, Any] = {"taken_at": taken_at, "machine": here}
        plain["reloads"] = [asdict(one) for one in found]
        keep(given.output, plain, page, "reload")


if __name__ == "__main__":
    main()
