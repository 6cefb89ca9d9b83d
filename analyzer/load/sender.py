"""Sends requests when they are due and writes down what became of them.

Owns what is sent next on which slot, and the record of each request. Does not own how requests
are sent (``client``), when they are due (``arrivals``), nor when it has been enough: the parent
process says so (``driver``).

Rules:

1. In a closed loop a slot's next request is due the moment the last one was answered; but from a
   pause on none is, until it is begun anew (``starts``).
2. In an open loop requests are sent when they are due, on any free slot, however many are
   unanswered. One that finds no slot free is dropped and counted, and never sent late.
3. Of a sequence, a request waits for the answer to the one before it. One that is under way at the
   end is ended by a request that is not recorded, as the server would keep its place.
4. What is behind its plan is sent at once, but answers are looked at after every few of them.
"""

from __future__ import annotations

import itertools
import struct
import time
from array import array
from collections.abc import Callable, Iterator, Sequence

from analyzer.load.arrivals import Climb, share
from analyzer.load.chunk import LAYOUT, RECORD_BYTES, Chunk, Drained, Ended, Failed, Said
from analyzer.load.client import Client
from analyzer.load.job import Job
from analyzer.load.rotation import Source
from analyzer.load.starts import ENDLESS, Starts

TICK_NS = 50_000_000
DRAIN_NS = 10_000_000_000
#: rule 4
BURST = 8
#: records between two chunks; when they are full the chunk goes early
ROOM = 1 << 14
_ENDLESS = 1 << 62
#: so many texts of errors are told apart; a server that numbers its errors has no more
TEXTS = 1000
FURTHER = "(an error with yet another text)"


class Sender:
    """One sender: ``say`` carries what it has to tell. It is the client's audience."""

    def __init__(
        self,
        job: Job,
        source: Source,
        say: Callable[[Said], None],
        now: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._now = now
        self._job = job
        self._source = source
        self._say = say
        self._pack = struct.Struct(LAYOUT).pack_into
        self._room = bytearray(ROOM * RECORD_BYTES)
        self._filled = 0
        self._items = [0] * job.slots
        self._sequences = [0] * job.slots
        self._texts: dict[str, int] = {}
        self._untold: list[str] = []
        self._left = job.count or _ENDLESS
        self._ending = False
        self._broken = ""
        self._in_flight = 0
        self._climb = None
        if job.stairs is not None:
            self._climb = Climb(job.stairs, stream=job.streaming)
        self._responses = array("q")
        self._dropped = 0
        # The integral of the number in flight is what these two and the time make of it.
        self._planned_sum = 0
        self._last_sum = 0
        self._begun = 0
        self._free: list[int] = []
        self._patient = job.sequences is not None
        self._closing = False
        self._starts = Starts(job.seed + job.index)
        self._used = 0
        self._paused = False
        self._resting = False
        self._offsets: Iterator[int] = iter(())
        if job.schedule is not None:
            # What a schedule needs to begin is done with before the load begins.
            offsets = share(job.schedule, job.index, job.senders)
            self._offsets = itertools.chain(tuple(itertools.islice(offsets, 1)), offsets)

    def run(self, client: Client, start_ns: int) -> None:
        """Send from ``start_ns`` on, until ``stop`` or until all was sent; wait for the answers."""
        self._client = client
        self._begun = start_ns
        while (self._now() < start_ns) and not self._ending:
            client.wait(start_ns)
        if self._job.schedule is not None:
            self._open_loop(start_ns)
        else:
            self._closed_loop(start_ns)
        self._drain()
        if self._broken:
            before = next(iter(self._texts), "")
            self._say(Failed(message=self._broken + (f"; before that: {before}" * bool(before))))
        else:
            self._say(Ended(abandoned=self._in_flight))

    def stop(self) -> None:
        """Send nothing more."""
        self._ending = True

    def pause(self, at_ns: int) -> None:
        """In a closed loop, follow no answer that comes from then on by another request."""
        self._starts.pause_ns = at_ns

    def again(self, at_ns: int, spread_ns: int) -> None:
        """After a pause, begin anew: each slot at a moment of its own within ``spread_ns``."""
        self._paused = self._resting = False
        self._starts.pause_ns = ENDLESS
        self._starts.begin(self._used, at_ns, spread_ns)

    def broken(self, reason: str) -> None:
        """End: nothing can be sent any more."""
        self._broken = self._broken or reason
        self._ending = True

    def finished(  # noqa: PLR0913, PLR0917 - the audience's
        self,
        slot: int,
        planned: int,
        began: int,
        sent: int,
        first: int,
        last: int,
        error: str | None = None,
        responses: int = 1,
        response_ns: Sequence[int] = (),
    ) -> None:
        """Write one down, and have its slot used again."""
        self._in_flight -= 1
        if self._closing:
            return
        self._last_sum += last - self._begun
        self._pack(
            self._room, self._filled, planned, began, sent, first, last,
            self._sequences[slot], 0 if error is None else self._code(error), responses,
            self._items[slot],
        )  # fmt: skip
        self._filled += RECORD_BYTES
        if response_ns:
            self._responses.extend(response_ns)
        if self._filled == len(self._room):
            self._tell()
        if self._climb is not None:
            self._climb.ended(slot)
            if self._climb.stream:
                return
        if self._ending:
            return
        if not self._closed:
            self._free.append(slot)
        elif last < self._starts.pause_ns:
            self._send(slot, last)

    def responded(self, slot: int) -> None:
        """Count a response of a stream."""
        if self._climb is not None:
            self._climb.answered(slot)

    def _closed_loop(self, start_ns: int) -> None:
        self._closed = True
        used = self._job.slots if self._climb is None else self._climb.in_flight
        self._used = min(used, self._job.slots)
        self._starts.begin(self._used, start_ns)
        self._send_due_starts(start_ns)
        tick = start_ns + TICK_NS
        while not self._ending and (self._in_flight or self._starts or self._resting):
            self._client.wait(min(tick, ENDLESS if self._paused else self._starts.next_ns))
            if self._climb is not None:
                for slot in range(self._used, self._climb.in_flight):
                    self._send(slot, self._now())
                    self._used = slot + 1
            now = self._now()
            if self._starts:
                self._send_due_starts(now)
            elif now >= self._starts.pause_ns:
                self._rest()
            tick = self._beat(tick)

    def _send_due_starts(self, now: int) -> None:
        for due, slot in self._starts.due(now):
            self._send(slot, due)
        if not self._starts:
            # From here on as many are in flight as there are slots: a moment to count from.
            self._tell()

    def _rest(self) -> None:
        """Say how things stand when a pause begins, and when all is answered."""
        if not self._paused:
            self._paused = True
            self._tell()
        if not self._in_flight and not self._resting:
            self._resting = True
            self._tell()
            self._say(Drained())

    def _open_loop(self, start_ns: int) -> None:
        self._closed = False
        self._free = list(reversed(range(self._job.slots)))
        due = self._due(start_ns)
        tick = start_ns + TICK_NS
        while due is not None and not self._ending:
            # Rule 3: what is due may have to wait for its sequence.
            stuck = self._patient and not self._free
            self._client.wait(tick if stuck else min(due, tick))
            now = self._now()
            burst = BURST
            while due is not None and due <= now and burst and (self._free or not self._patient):
                self._send_due(due)
                due = self._due(start_ns)
                burst -= 1
            tick = self._beat(tick)
        self._ending = True

    def _due(self, start_ns: int) -> int | None:
        """Return when the next request is due; None after the last."""
        if not self._left:
            return None
        offset = next(self._offsets, None)
        return None if offset is None else start_ns + offset

    def _send_due(self, due: int) -> None:
        if self._free:
            # Every sequence has its turn; else the connection that was used last is the best.
            self._send(self._free.pop(0 if self._patient else -1), due)
        else:
            self._left -= 1
            self._dropped += 1

    def _send(self, slot: int, planned_ns: int) -> None:
        if not self._left:
            return
        self._left -= 1
        message, self._items[slot], self._sequences[slot] = self._source.take(slot)
        self._in_flight += 1
        self._planned_sum += planned_ns - self._begun
        self._client.send(slot, message, planned_ns)

    def _drain(self) -> None:
        """Wait for what is in flight, so that it does not burden the next measurement."""
        self._ending = True
        until = self._now() + DRAIN_NS
        tick = self._now() + TICK_NS
        while self._in_flight and not self._broken and self._now() < until:
            self._client.wait(tick)
            tick = self._beat(tick)
        self._tell()
        if not self._in_flight and not self._broken:
            self._end_sequences(until)

    def _end_sequences(self, until: int) -> None:
        self._closing = True
        for slot, message in self._source.endings():
            self._in_flight += 1
            self._client.send(slot, message, self._now())
        while self._in_flight and not self._broken and self._now() < until:
            self._client.wait(self._now() + TICK_NS)

    def _beat(self, tick: int) -> int:
        """Say how things stand where it is time to; return when it next is."""
        now = self._now()
        if now < tick:
            return tick
        self._tell()
        return now + TICK_NS

    def _tell(self) -> None:
        now = self._now()
        passed = now - self._begun
        chunk = Chunk(
            upto_ns=now,
            in_flight=self._in_flight,
            area=self._in_flight * passed - self._planned_sum + self._last_sum,
            cpu_ns=time.process_time_ns(),
            dropped=self._dropped,
            errors=tuple(self._untold),
            records=bytes(memoryview(self._room)[: self._filled]),
            responses=self._responses.tobytes(),
        )
        del self._responses[:]
        self._filled = 0
        self._untold.clear()
        self._say(chunk)

    def _code(self, error: str) -> int:
        if len(self._texts) >= TEXTS and error not in self._texts:
            error = FURTHER
        code = self._texts.get(error)
        if code is None:
            code = self._texts[error] = len(self._texts) + 1
            self._untold.append(error)
        return code
