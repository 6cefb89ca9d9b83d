"""The process of one native instance: loads the library, and does what the server says.

Owns the threads of that process: the first one only receives, so that the library may wait for an
answer from the server in any thread; a second one executes. When the server is gone, or has said
so, the process ends at once, whatever its threads do. Does not own when it is started anew.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import count
from queue import SimpleQueue
from typing import Any

from engine.backend import Work
from engine.backends.native.calls import Told
from engine.backends.native.channel import Channel
from engine.backends.native.executor import NativeExecutor, complete, load
from engine.backends.native.words import (
    Answered,
    Ask,
    Close,
    Complete,
    Done,
    Execute,
    Executed,
    Load,
    Logged,
    Ready,
    Said,
    Sent,
    Wanted,
)
from engine.errors import EngineError, Internal, Unsupported
from engine.types import InferRequest, Parameter, Tensor


class _Way:
    """A request's way out: to the server."""

    def __init__(self, child: Child, request: int) -> None:
        self._child = child
        self._request = request

    @property
    def cancelled(self) -> bool:
        return not self._child.wanted(self._request)

    def watch(self, callback: Callable[[], None]) -> None:  # noqa: ARG002 - protocol
        raise Unsupported("a library asks whether a request is taken back; it is not told")

    def send(
        self,
        outputs: tuple[Tensor, ...] | EngineError | None,
        *,
        final: bool,
        parameters: Mapping[str, Parameter] | None = None,
    ) -> None:
        self._child.channel.send(Sent(self._request, outputs, final, dict(parameters or {})))


class _ToServer(logging.Handler):
    """Writes what is logged here into the server's log."""

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):  # the server is gone, and with it this process
            self._channel.send(Logged(record.levelno, self.format(record)))


class Child:
    """What the process does."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self._numbers = count(1)
        self._asked: dict[int, SimpleQueue[bool]] = {}
        self._calls: dict[int, Told] = {}
        self._batches: SimpleQueue[Execute | Load | Complete | Close] = SimpleQueue()
        self._instance: NativeExecutor | None = None

    def live(self) -> None:
        """Receive until the server is gone."""
        threading.Thread(target=self._work, name="native", daemon=True).start()
        while True:
            try:
                self._heard(self.channel.receive())
            except EOFError:
                os._exit(0)

    def _heard(self, message: object) -> None:
        match message:
            case Execute() | Load() | Complete() | Close():
                self._batches.put(message)
            case Answered(number, answer, final):
                told = self._calls.pop(number) if final else self._calls[number]
                told(answer, final)
            case Said(number, yes):
                self._asked.pop(number).put(yes)
            case Ready(number):
                threading.Thread(target=self._say_ready, args=(number,), daemon=True).start()

    def wanted(self, request: int) -> bool:
        """Ask the server whether a request is still wanted."""
        number, answer = next(self._numbers), SimpleQueue[bool]()
        self._asked[number] = answer
        self.channel.send(Wanted(number, request))
        return answer.get()

    def call(self, model: str, version: int, request: InferRequest, told: Told) -> None:
        """Have the server ask another model."""
        number = next(self._numbers)
        self._calls[number] = told
        self.channel.send(Ask(number, model, version, request))

    def _work(self) -> None:
        while True:
            try:
                self._do(self._batches.get())
            except OSError:
                os._exit(0)

    def _do(self, message: Execute | Load | Complete | Close) -> None:
        match message:
            case Execute(requests):
                self.channel.send(Executed(self._execute(requests)))
            case Load(order, cores):
                os.sched_setaffinity(0, cores)
                self._first(lambda: self._make(order))
            case Complete(order):
                self._first(lambda: complete(order))
            case Close():
                if self._instance is not None:
                    self._instance.close()
                os._exit(0)

    def _make(self, order: Any) -> str:  # noqa: ANN401 - Load's
        self._instance = load(order, self)
        return ""

    def _first(self, act: Any) -> None:  # noqa: ANN401 - gives a text
        try:
            done = Done(text=act())
        except EngineError as error:
            done = Done(error)
        except Exception as fault:  # noqa: BLE001 - told to the server
            done = Done(Internal(f"{type(fault).__name__}: {fault}"))
        self.channel.send(done)

    def _execute(self, requests: tuple[tuple[int, InferRequest], ...]) -> EngineError | None:
        assert self._instance is not None
        try:
            self._instance.execute([Work(request, _Way(self, key)) for key, request in requests])
        except EngineError as error:
            return error
        except Exception as fault:  # noqa: BLE001 - told to the server
            return Internal(f"{type(fault).__name__}: {fault}")
        return None

    def _say_ready(self, number: int) -> None:
        fault: EngineError | None = None
        try:
            assert self._instance is not None
            self._instance.is_ready()
        except EngineError as error:
            fault = error
        self.channel.send(Said(number, fault is None, fault))


def main(descriptor: int, level: int) -> None:
    """Live; ``descriptor`` is a socket that leads to the server."""
    faulthandler.enable()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # it is the server who ends this process
    channel = Channel(socket.socket(fileno=descriptor))
    logging.basicConfig(level=level, handlers=[_ToServer(channel)], format="%(message)s")
    Child(channel).live()
