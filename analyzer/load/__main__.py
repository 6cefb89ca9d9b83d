"""``python -m analyzer.load``: the load client, in a process of its own.

It does not share a Python interpreter with the server or the analyzer, so that neither's
work is measured as the other's. Reads a job from standard input and says on standard output
how it goes (``wire``). Standard input stays open: the line ``stop`` ends the run early, and
its end means that the analyzer is gone, so this goes too.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from typing import TextIO

import uvloop

from analyzer.errors import AnalyzerError
from analyzer.load.arrivals import ClosedLoop
from analyzer.load.client import Audience, Client
from analyzer.load.client_http import HttpClient
from analyzer.load.session import Session
from analyzer.load.wire import STOP, Failed, Job, Line, line_to_job, to_line
from analyzer.v2client import CounterReader

STATISTICS_SECONDS = 5.0
SWITCH_SECONDS = 0.0002
ORPHANED = 3


def main() -> None:
    """Run one job."""
    # What a library prints must not end up between the lines of the protocol.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    # The thread that reads the server's counters must not keep requests waiting.
    sys.setswitchinterval(SWITCH_SECONDS)
    job = line_to_job(sys.stdin.readline())
    uvloop.run(_run(job, out))
    # The thread that watches standard input would keep the interpreter from ending.
    os._exit(0)


async def _run(job: Job, out: TextIO) -> None:
    session = Session(
        job.load,
        ClosedLoop(job.load.concurrency),
        read=CounterReader(job.endpoint, job.model, timeout_s=STATISTICS_SECONDS),
        say=lambda line: _say(out, line),
    )
    _watch_parent(asyncio.get_running_loop(), session)
    try:
        _say(out, await session.run(_client(job, session)))
    except AnalyzerError as error:
        _say(out, Failed(error.message))


def _client(job: Job, audience: Audience) -> Client:
    slots = job.load.concurrency
    if job.load.protocol == "grpc":
        # grpc takes a tenth of a second to import; HTTP does without.
        from analyzer.load.client_grpc import GrpcClient  # noqa: PLC0415 - as said above

        return GrpcClient(job.endpoint.grpc or "", job.request, slots, audience)
    return HttpClient(job.endpoint.http, job.request, slots, audience)


def _watch_parent(loop: asyncio.AbstractEventLoop, session: Session) -> None:
    def watch() -> None:
        for line in sys.stdin:
            if line.strip() == STOP:
                loop.call_soon_threadsafe(session.stop)
        os._exit(ORPHANED)

    threading.Thread(target=watch, daemon=True).start()


def _say(out: TextIO, line: Line) -> None:
    out.write(to_line(line) + "\n")
    out.flush()


if __name__ == "__main__":
    main()
