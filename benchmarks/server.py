"""A real ``engine serve`` to measure, in a process of its own, and what it costs the CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from analyzer.launcher import Endpoint

START_SECONDS = 60.0
STOP_SECONDS = 20.0


class DidNotStart(Exception):
    """The server did not come up; the text is its log."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers."""

    endpoint: Endpoint
    root: psutil.Process

    def cpu_seconds(self) -> float:
        """CPU time that the whole tree of processes has taken so far."""
        total = 0.0
        for one in (self.root, *self.root.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                spent = one.cpu_times()
                total += spent.user + spent.system
        return total


@contextmanager
def running(
    repository: Path, *flags: str, tree: Path | None = None, patience_s: float = START_SECONDS
) -> Iterator[Server]:
    """Serve a model repository on ports the system chooses; stop it afterwards.

    The engine served is this one, or that of another ``tree`` of the project's files.

    Raises:
        DidNotStart: it ended, or said nothing in time.
    """
    with tempfile.TemporaryDirectory(prefix="servetune-bench-") as scratch:
        ports, log = Path(scratch, "ports.json"), Path(scratch, "log")
        with log.open("wb") as sink:
            process = subprocess.Popen(  # noqa: S603 - our own server
                [
                    *(sys.executable, "-m", "engine", "serve"),
                    *("--model-repository", str(repository), "--ports-file", str(ports)),
                    *("--http-address=127.0.0.1", "--grpc-address=127.0.0.1"),
                    *("--http-port=0", "--grpc-port=0", "--metrics-port=0", *flags),
                ],
                stdout=sink,
                stderr=sink,
                env=dict(os.environ) if tree is None else {**os.environ, "PYTHONPATH": str(tree)},
            )
        try:
            _wait(process, ports, log, patience_s)
            known = json.loads(ports.read_text())
            here = {name: f"127.0.0.1:{port}" for name, port in known.items()}
            endpoint = Endpoint(here["http"], here["grpc"], here["metrics"], process.pid)
            yield Server(endpoint, psutil.Process(process.pid))
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: subprocess.Popen[bytes], ports: Path, log: Path, patience_s: float) -> None:
    deadline = time.monotonic() + patience_s
    while not ports.exists():
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
            raise DidNotStart(log.read_text())
        if time.monotonic() > deadline:
            raise DidNotStart(f"not ready after {patience_s:g} s:\n{log.read_text()}")
