"""A real ``engine serve`` in a process of its own, for tests that are its users."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PATIENCE_S = 30.0
LOCAL = (
    "--http-address=127.0.0.1",
    "--grpc-address=127.0.0.1",
    "--http-port=0",
    "--grpc-port=0",
    "--metrics-port=0",
)


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers: its addresses, its log, its life."""

    http: str
    grpc: str
    metrics: str
    pid: int
    _spawned: subprocess.Popen[bytes]
    _log: Path

    def log(self) -> str:
        return self._log.read_text()

    def signal(self, number: signal.Signals) -> None:
        self._spawned.send_signal(number)

    def exit_code(self) -> int:
        return self._spawned.wait(PATIENCE_S)


@contextmanager
def serving(
    *flags: str, folder: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Serve with these flags on free ports; ``folder`` takes the log. Stopped afterwards."""
    ports, log = folder / "ports.json", folder / "server.log"
    ports.unlink(missing_ok=True)
    told = ("--ports-file", str(ports))
    spawned = start(*LOCAL, *told, *flags, log=log, environment=environment)
    try:
        until(lambda: ports.exists() or spawned.poll() is not None, f"ports in {log.read_text()}")
        assert ports.exists(), log.read_text()
        at = {name: f"127.0.0.1:{port}" for name, port in json.loads(ports.read_text()).items()}
        yield Server(
            at.get("http", ""), at.get("grpc", ""), at.get("metrics", ""), spawned.pid, spawned, log
        )
    finally:
        spawned.terminate()
        try:
            spawned.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            spawned.kill()
            spawned.wait()


def start(
    *flags: str, log: Path, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start ``engine serve`` and wait for nothing; what it says goes to ``log``.

    ``environment`` comes on top of the test's own.
    """
    with log.open("wb") as sink:
        return subprocess.Popen(
            [sys.executable, "-m", "engine", "serve", *flags],
            stdout=sink,
            stderr=sink,
            env={**os.environ, **(environment or {})},
        )


def refused(*flags: str) -> tuple[int, str]:
    """Start ``engine serve``, which must end by itself; return its exit code and what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "engine", "serve", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=PATIENCE_S,
        check=False,
    )
    return done.returncode, done.stdout.decode()


def until(holds: Callable[[], bool], what: str) -> None:
    """Wait until a condition holds; fail with ``what`` if it does not in good time."""
    deadline = time.monotonic() + PATIENCE_S
    silent, far_end = socket.socketpair()
    with silent, far_end:
        while not holds():
            assert time.monotonic() < deadline, f"waited {PATIENCE_S:g} s in vain for {what}"
            select.select([silent], [], [], 0.02)  # nothing comes: the CPU is left to the server
