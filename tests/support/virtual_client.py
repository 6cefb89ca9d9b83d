"""A load client and its server in virtual time: hours pass in no time."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from analyzer.load.chunk import Chunk, Said
from analyzer.load.client import Audience, Message
from analyzer.load.course import Merger
from analyzer.load.job import Job, Supply
from analyzer.load.records import Records
from analyzer.load.rotation import Rotation
from analyzer.load.sender import Sender

MS = 1_000_000
SECOND = 1_000_000_000


@dataclass
class Clock:
    """Time, ns; only a client's wait passes any."""

    ns: int = SECOND

    def now(self) -> int:
        return self.ns


@dataclass
class Workers:
    """A server: each of its workers serves one request at a time, first come, first served.

    ``service_ns`` yields how long each takes; nothing is begun within ``stall``.
    """

    count: int
    service_ns: Iterator[int]
    stall: tuple[int, int] = (0, 0)
    free: list[int] = field(default_factory=list)

    def done(self, arrived: int) -> int:
        if not self.free:
            self.free = [0] * self.count
        begin = max(arrived, heapq.heappop(self.free))
        if self.stall[0] <= begin < self.stall[1]:
            begin = self.stall[1]
        end = begin + next(self.service_ns)
        heapq.heappush(self.free, end)
        return end


class VirtualClient:
    """Serves what is sent by ``done``; ``fails`` may name an error for the nth request, from 1."""

    def __init__(
        self,
        clock: Clock,
        done: Callable[[int], int],
        fails: Callable[[int], str | None] = lambda _: None,
    ) -> None:
        self.clock = clock
        self.sent: list[tuple[int, int, Message]] = []
        self.audience: Audience
        self._done = done
        self._fails = fails
        self._answers: list[tuple[int, int, int, int, int]] = []

    def open(self, ahead: int) -> None:
        del ahead

    def send(self, slot: int, message: Message, planned_ns: int) -> None:
        now = self.clock.ns
        self.sent.append((now, slot, message))
        answer = (self._done(now), len(self.sent), slot, planned_ns, now)
        heapq.heappush(self._answers, answer)

    def wait(self, until_ns: int) -> None:
        if not self._answers or self._answers[0][0] > until_ns:
            self.clock.ns = max(self.clock.ns, until_ns)
            return
        last, number, slot, planned, began = heapq.heappop(self._answers)
        self.clock.ns = max(self.clock.ns, last)
        error = self._fails(number)
        self.audience.finished(slot, planned, began, began, last, last, error)

    def watch(self, descriptor: int, ready: Callable[[], None]) -> None:
        del descriptor, ready

    def close(self) -> None:
        pass


@dataclass
class Run:
    """What a sender told in a run, and what it sent."""

    start_ns: int
    said: list[Said]
    client: VirtualClient
    records: Records

    @property
    def chunks(self) -> list[Chunk]:
        return [one for one in self.said if isinstance(one, Chunk)]

    @property
    def last(self) -> Chunk:
        return self.chunks[-1]


def go(
    job: Job,
    client: VirtualClient,
    *,
    seconds: float = float("inf"),
) -> Run:
    """Run a sender in virtual time; stop it after so many seconds."""
    said: list[Said] = []
    merger = Merger(1)
    start = client.clock.ns + 10 * MS

    def say(one: Said) -> None:
        said.append(one)
        if isinstance(one, Chunk):
            merger.add(0, one.records, one.errors, one.upto_ns)
            if one.upto_ns - start >= seconds * SECOND:
                sender.stop()

    sender = Sender(job, Rotation(job.supplies, job.seed), say, client.clock.now)
    client.audience = sender
    sender.run(client, start)
    merger.ended(0)
    return Run(start, said, client, merger.take())


def job(**changes: object) -> Job:
    """A job of one kind of message on four slots, changed."""
    plain: dict[str, object] = {
        "protocol": "http",
        "host": "nowhere",
        "port": 1,
        "supplies": (Supply(weight=1.0, messages=(b"m",)),),
        "slots": 4,
        "ahead": 4,
        **changes,
    }
    return Job(**plain)  # type: ignore[arg-type]


def exponential(mean_ns: float, seed: int) -> Iterator[int]:
    """Yield service times without end."""
    chance = np.random.default_rng(seed)
    while True:
        yield from chance.exponential(mean_ns, 4096).astype(np.int64).tolist()
