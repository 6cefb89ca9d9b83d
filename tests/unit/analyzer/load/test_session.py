"""A session with an arrival process of its own, in this process."""

import asyncio
from contextlib import suppress

import numpy as np
import pytest
from support.v2_server import Faults, V2Server, running

from analyzer.errors import LoadError
from analyzer.load.arrivals import Arrivals, ClosedLoop
from analyzer.load.client_http import HttpClient
from analyzer.load.driven import Driven
from analyzer.load.session import Session
from analyzer.load.wire import Alive, Line, Warmed
from analyzer.record.row import LoadSpec

REQUEST = b"POST /v2/models/tiny/infer HTTP/1.1\r\nContent-Length: 0\r\n\r\n"


class Paced:
    """One request every ``interval_ns``, whether or not the server keeps up."""

    slots = 1

    def __init__(self, interval_ns: int) -> None:
        self._interval_ns = interval_ns

    def first(self, slot: int, start_ns: int) -> int:
        return start_ns + slot

    def following(self, slot: int, planned_ns: int, finished_ns: int) -> int:
        del slot, finished_ns
        return planned_ns + self._interval_ns


def run(server: V2Server, arrivals: Arrivals, said: list[Line] | None = None) -> Driven:
    async def go() -> Driven:
        session = Session(
            LoadSpec(window_seconds=0.1, max_windows=3),
            arrivals,
            read=lambda: None,
            say=(said if said is not None else []).append,
        )
        address = f"127.0.0.1:{server.port}"
        return await session.run(HttpClient(address, REQUEST, arrivals.slots, session))

    return asyncio.run(go())


def test_a_server_that_cannot_keep_up_cannot_hide_its_queue() -> None:
    """Latency counts from the planned arrival: half the rate asked for, ever later answers."""
    with running(V2Server(Faults(latency_s=0.01))) as server:
        server.add("tiny")
        driven = run(server, Paced(5_000_000))
    latency = driven.latency_ns
    assert latency[-1] > 5 * 10e6
    assert np.all(np.diff(latency) > 0)


def test_requests_are_not_sent_before_they_are_due() -> None:
    with running(V2Server()) as server:
        server.add("tiny")
        driven = run(server, Paced(10_000_000))
    # One every 10 ms; a machine that stalls and catches up may squeeze a few.
    assert driven.requests / driven.seconds < 150


def test_the_warm_up_is_said_and_not_counted() -> None:
    said: list[Line] = []
    with running(V2Server()) as server:
        server.add("tiny")
        driven = run(server, ClosedLoop(6), said)
    (warmed,) = [line for line in said if isinstance(line, Warmed)]
    assert warmed.requests == driven.warmup_requests >= 12
    assert warmed.seconds == driven.warmup_seconds > 0
    assert any(isinstance(line, Alive) for line in said)


def test_that_nothing_listens_is_an_error_that_says_where() -> None:
    server = V2Server()
    server.port = 1
    with pytest.raises(LoadError, match=r"cannot connect to 127\.0\.0\.1:1"):
        run(server, ClosedLoop(1))


def test_what_is_no_http_is_said() -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"220 mail.example ready\r\n")
            await reader.read()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async def go() -> Driven:
        listening = await asyncio.start_server(babble, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        session = Session(
            LoadSpec(window_seconds=0.1), ClosedLoop(1), read=lambda: None, say=lambda _: None
        )
        try:
            return await session.run(HttpClient(f"127.0.0.1:{port}", REQUEST, 1, session))
        finally:
            listening.close()
            await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))

    with pytest.raises(LoadError, match="the answer is not HTTP"):
        asyncio.run(go())
