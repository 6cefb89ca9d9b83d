"""``python -m benchmarks.openloop``: sends requests when they are due, whatever becomes of them.

An open loop, in a process of its own: arrivals come at random, at a given mean rate (Poisson's),
and wait for no answer, as those of many users do. Reads one ``Job`` as JSON from standard input
and writes one ``Heard``. Times are CLOCK_MONOTONIC's, which all processes of a machine share.
Latency counts from when a request was due; if all connections are busy that includes its wait.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import uvloop

from analyzer.load.client import Client, Exchange
from analyzer.load.client_grpc import GrpcClient
from analyzer.load.client_http import HttpClient

#: the first request is due so long after the clients are connected
HEAD_START_NS = 50_000_000
PATIENCE_S = 30.0
_now = time.monotonic_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to send, where, and how often: ``phases`` are pairs of requests a second, and seconds.

    ``request`` is a whole message in hexadecimal; at most ``slots`` are in flight.
    """

    protocol: str
    address: str
    request: str
    phases: tuple[tuple[float, float], ...]
    slots: int = 192
    seed: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What became of them, in the order of the answers.

    ``exchanges`` are (when it was due, ns; latency, ns; error): the error is a number of
    ``errors``, and ``errors[0]`` is "", none. ``starts_ns`` are the phases' beginnings, and the
    end of the last one.
    """

    starts_ns: tuple[int, ...]
    errors: tuple[str, ...]
    exchanges: tuple[tuple[int, int, int], ...]


class OpenLoop:
    """Sends each request at its time, on a slot that is free then or next."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._free = list(range(job.slots))
        self._late: deque[int] = deque()
        self._errors = {"": 0}
        self._exchanges: list[tuple[int, int, int]] = []
        self._open = 0
        self._over = False
        self._ended = asyncio.Event()
        self._broken = ""

    async def run(self) -> Heard:
        """Send everything, and wait for every answer."""
        self._client = _client(self._job, self)
        await self._client.open()
        start = _now() + HEAD_START_NS
        starts, due = _plan(self._job, start)
        self._send_due(iter(due))
        await asyncio.wait_for(self._ended.wait(), (starts[-1] - start) / 1e9 + PATIENCE_S)
        await self._client.close()
        if self._broken:
            raise SystemExit(self._broken)
        return Heard(starts_ns=starts, errors=tuple(self._errors), exchanges=tuple(self._exchanges))

    def finished(self, exchange: Exchange) -> None:
        """Note an answer; send what waits for a free slot."""
        error = self._errors.setdefault(exchange.error or "", len(self._errors))
        self._exchanges.append((exchange.planned, exchange.last - exchange.planned, error))
        self._open -= 1
        if self._late:
            self._open += 1
            self._client.send(exchange.slot, self._late.popleft())
        else:
            self._free.append(exchange.slot)
        self._end_if_over()

    def broken(self, reason: str) -> None:
        """Give up."""
        self._broken = reason
        self._ended.set()

    def _send_due(self, due: Iterator[int], first: int | None = None) -> None:
        planned = first
        while (planned := next(due, None) if planned is None else planned) is not None:
            early = planned - _now()
            if early > 0:
                loop = asyncio.get_running_loop()
                loop.call_later(early / 1e9, self._send_due, due, planned)
                return
            if self._free:
                self._open += 1
                self._client.send(self._free.pop(), planned)
            else:
                self._late.append(planned)
            planned = None
        self._over = True
        self._end_if_over()

    def _end_if_over(self) -> None:
        if self._over and not self._open and not self._late:
            self._ended.set()


def _client(job: Job, audience: OpenLoop) -> Client:
    message = bytes.fromhex(job.request)
    if job.protocol == "grpc":
        return GrpcClient(job.address, message, job.slots, audience)
    return HttpClient(job.address, message, job.slots, audience)


def _plan(job: Job, start_ns: int) -> tuple[tuple[int, ...], list[int]]:
    """Say when the phases begin, and when every request is due."""
    dice = random.Random(job.seed)  # noqa: S311 - a load, not a secret
    starts, due, at = [start_ns], [], float(start_ns)
    for rate, seconds in job.phases:
        end = starts[-1] + int(seconds * 1e9)
        while (at := at + dice.expovariate(rate) * 1e9) < end:
            due.append(int(at))
        at = float(end)
        starts.append(end)
    return tuple(starts), due


@contextmanager
def sending(job: Job) -> Iterator[Callable[[], Heard]]:
    """Start a client; the value waits for its end and says what it heard."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.openloop"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def heard() -> Heard:
        said, _ = process.communicate(json.dumps(asdict(job)))
        if process.returncode:
            message = f"the load client failed with exit status {process.returncode}"
            raise RuntimeError(message)
        values = json.loads(said)
        return Heard(
            starts_ns=tuple(values["starts_ns"]),
            errors=tuple(values["errors"]),
            exchanges=tuple(map(tuple, values["exchanges"])),
        )

    try:
        yield heard
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def main() -> None:
    """Do one job."""
    values = json.loads(sys.stdin.read())
    job = Job(**{**values, "phases": tuple(map(tuple, values["phases"]))})

    async def run() -> Heard:
        return await OpenLoop(job).run()

    json.dump(asdict(uvloop.run(run())), sys.stdout)


if __name__ == "__main__":
    main()
