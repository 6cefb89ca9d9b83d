"""``python -m analyzer.load``: one sender of the load client, in a process of its own.

It does not share a Python interpreter with the server or the analyzer, so that neither's
work is measured as the other's. Reads a job from standard input, connects, says that it is ready,
and begins when it is told to (``begin`` and a moment of the monotonic clock). ``pause`` and a
moment have it wait for its answers and say so; ``begin``, a moment and a time in ns then have it
begin anew within that time. Standard input stays open: the line ``stop`` ends the run, and its end
means that the analyzer is gone, so this goes too.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import gc
import os
import time
from dataclasses import replace
from io import FileIO
from typing import TYPE_CHECKING

from analyzer.errors import AnalyzerError, LoadError
from analyzer.load.chunk import Ended, Failed, Ready, Said, frame
from analyzer.load.client import Client
from analyzer.load.client_http import HttpClient
from analyzer.load.job import BEGIN, PAUSE, STOP, Job, read_job
from analyzer.load.rotation import Rotation, Source
from analyzer.load.sender import Sender
from analyzer.load.sockets import open_files, resolve

if TYPE_CHECKING:
    from collections.abc import Callable

    from analyzer.load.client import Message
    from analyzer.load.client_grpc import GrpcSettings

ORPHANED = 3
WAIT_NS = 100_000_000
_PR_SET_TIMERSLACK = 29
_KEPT_FILES = 64


def main() -> None:
    """Run one job."""
    # What a library prints must not end up between the frames of the protocol.
    out = _Out(os.dup(1))
    os.dup2(2, 1)
    try:
        _run(read_job(FileIO(0, closefd=False)), out)
    except EOFError:
        os._exit(ORPHANED)
    except AnalyzerError as error:
        out.say(Failed(message=error.message))
    out.finish()
    # Nothing is left to tidy up, and tidying up thousands of connections takes a while.
    os._exit(0)


def _run(job: Job, out: _Out) -> None:
    most = open_files() - _KEPT_FILES
    if job.protocol == "http" and job.slots > most:
        if not job.elastic:
            raise LoadError(
                f"{job.slots} connections are needed and {most} can be opened: raise the limit of "
                "open files (ulimit -n)"
            )
        job = replace(job, slots=most)
    sender = Sender(job, _source(job), out.say)
    client = _client(job, sender)
    orders = _Orders(sender)
    client.watch(0, orders.read)
    client.open(job.ahead)
    out.say(Ready(cpu_ns=time.process_time_ns()))
    while orders.begin_ns is None and not orders.stopped:
        client.wait(time.monotonic_ns() + WAIT_NS)
    if orders.begin_ns is None:
        out.say(Ended())
    else:
        sender.run(client, orders.begin_ns)
    client.close()


def _source(job: Job) -> Source:
    if job.sequences is None:
        return Rotation(job.supplies, job.seed + job.index)
    from analyzer.load.sequencing import Sequencing  # noqa: PLC0415 - only sequences need it

    plan = job.sequences.shared(job.index, job.senders, job.slots)
    return Sequencing(job.supplies, plan, job.seed + job.index)


def _client(job: Job, sender: Sender) -> Client:
    prompt = job.schedule is not None
    if prompt:
        _wake_in_time()
    # A request makes no garbage that counting references does not free.
    gc.freeze()
    gc.disable()
    place = resolve(job.host, job.port)
    if job.protocol == "grpc":
        from analyzer.load.client_grpc import GrpcClient  # noqa: PLC0415 - HTTP does without

        return GrpcClient(place, job.slots, sender, _grpc_settings(job, prompt=prompt))
    context = job.tls.context() if job.tls is not None else None
    if job.checked:
        # Only a run whose answers are known needs the codec.
        from analyzer.load.client_checked import CheckedHttpClient  # noqa: PLC0415 - as said above

        return CheckedHttpClient(place, job.slots, sender, prompt=prompt, context=context)
    return HttpClient(place, job.slots, sender, prompt=prompt, context=context)


def _grpc_settings(job: Job, *, prompt: bool) -> GrpcSettings:
    from analyzer.load.client_grpc import GrpcSettings  # noqa: PLC0415 - HTTP does without

    judge: Callable[[Message, bytes], str | None] | None = None
    if job.checked:
        # Only a run whose answers are known needs the codec.
        from analyzer.load.checked import judged_grpc  # noqa: PLC0415 - as said above

        judge = judged_grpc
    return GrpcSettings(
        streaming=job.streaming,
        compression=job.compression,
        metadata=job.headers,
        prompt=prompt,
        judge=judge,
        context=job.tls.context(["h2"]) if job.tls is not None else None,
    )


def _wake_in_time() -> None:
    """Ask the kernel not to let this process oversleep by its usual 50 us."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)


class _Orders:
    """What the parent says while the sender runs."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._rest = b""
        self.begin_ns: int | None = None
        self.stopped = False

    def read(self) -> None:
        """Read what has come; the end of the pipe is the end of this process."""
        data = os.read(0, 1 << 12)
        if not data:
            os._exit(ORPHANED)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            word, *values = line.decode().split()
            if word == BEGIN and self.begin_ns is None:
                self.begin_ns = int(values[0])
            elif word == BEGIN:
                self._sender.again(int(values[0]), int(values[1]))
            elif word == PAUSE:
                self._sender.pause(int(values[0]))
            elif word == STOP:
                self.stopped = True
                self._sender.stop()


class _Out:
    """The pipe to the parent. It never holds up the load: what does not go now goes later."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._rest = bytearray()
        flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_NONBLOCK)

    def say(self, said: Said) -> None:
        """Write, or keep for later what the pipe does not take."""
        self._rest += frame(said)
        try:
            written = os.write(self._descriptor, self._rest)
        except BlockingIOError:
            return
        except BrokenPipeError:
            os._exit(ORPHANED)
        del self._rest[:written]

    def finish(self) -> None:
        """Write the rest, however long it takes."""
        os.set_blocking(self._descriptor, True)
        with contextlib.suppress(BrokenPipeError):
            while self._rest:
                del self._rest[: os.write(self._descriptor, self._rest)]


if __name__ == "__main__":
    main()
