"""``python -m benchmarks.queue_server``: an HTTP server that answers by a queue's law.

A request's service time is drawn, and its answer leaves when by the law of the queue it would:
after those before it, first come, first served. That is computed from when requests came, so a
timer that is late delays one answer and nobody behind it.
"""

from __future__ import annotations

import asyncio
import heapq
import json
import selectors
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

import httptools

from analyzer.launcher import Endpoint
from benchmarks.queueing import Queue

_BODY = (
    b'{"model_name":"queue","model_version":"1","outputs":[{"name":"OUTPUT0","datatype":"FP32",'
    b'"shape":[1,1],"data":[0.0]}]}'
)
ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(_BODY)
) + _BODY
_NO = b'{"error":"there is only inference here"}'
REFUSAL = b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n" % len(_NO) + _NO


class Line:
    """The queue: says when who comes now will be done."""

    def __init__(self, queue: Queue, seed: int) -> None:
        self._queue = queue
        self._dice = Random(seed)  # noqa: S311 - a load, not a secret
        self._free = [0.0] * queue.servers

    def done(self, now: float) -> float:
        """Let a request in, and return when it is done."""
        mean = self._queue.service
        service = mean if self._queue.fixed else self._dice.expovariate(1 / mean)
        done = max(now, self._free[0]) + service
        heapq.heapreplace(self._free, done)
        return done


class Connection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Get ready to read."""
        self._transport = transport
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        """Read on."""
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        """Answer an inference when it is done, and refuse anything else at once."""
        if self._parser.get_method() == b"POST":
            self._loop.call_at(self._line.done(self._loop.time()), self._write, ANSWER)
        else:
            self._write(REFUSAL)

    def _write(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)  # type: ignore[attr-defined]  # TCP's can be written to


@contextmanager
def serving(queue: Queue, seed: int) -> Iterator[Endpoint]:
    """Serve a queue in a process of its own."""
    said = json.dumps(
        {
            "load": queue.load,
            "service": queue.service,
            "servers": queue.servers,
            "fixed": queue.fixed,
        }
    )
    process = subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", "benchmarks.queue_server", said, str(seed)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        port = int(process.stdout.readline())
        yield Endpoint(f"127.0.0.1:{port}", pid=process.pid)
    finally:
        process.kill()
        process.communicate()


async def serve(queue: Queue, seed: int) -> None:
    """Serve until the process ends; say the port."""
    line = Line(queue, seed)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(line), "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    # Other loops, and this one with epoll, are told the time in whole milliseconds.
    with asyncio.Runner(
        loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())
    ) as runner:
        runner.run(serve(Queue(**json.loads(sys.argv[1])), int(sys.argv[2])))
