"""What runs in a child: hears what the server asks, has the executor do it, says what came.

Owns the child's threads: the main one makes, executes and closes; a second hears the server, so
that a request can be taken back while another is executed. Does not own what is executed. Rules:

1. when the server is gone, so is the child, whatever it is doing;
2. what the child logs goes to the server's log; what it prints goes there by itself, as does what
   the interpreter has to say of a crash;
3. it is the server who ends the child: a terminal's Ctrl-C, which reaches both, does not;
4. messages out may be sent by any thread.
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
from contextvars import ContextVar
from importlib import import_module
from queue import SimpleQueue

from engine.backend import Executor, SelfChecking, Work
from engine.child.arena import Arena, Window
from engine.child.channel import Channel, Message
from engine.child.words import read_request, tell_error, tell_tensors
from engine.errors import EngineError, Internal
from engine.types import Parameter, Tensor

_NONE: Mapping[str, Parameter] = {}
#: the batch for which the code of this thread, or of this task, runs
_doing: ContextVar[int] = ContextVar("doing", default=0)


class Outside:
    """The child's way to its server; any thread may use it."""

    def __init__(self, channel: Channel, arena: Arena, window: Window) -> None:
        self._channel = channel
        self.arena = arena
        self.window = window
        self._lock = threading.Lock()
        self._next = 0
        self._calls: dict[int, Callable[[Message], None]] = {}
        #: a batch that is over when ``execute`` returns: what any thread does meanwhile is for it
        self.executing = 0

    @property
    def batch(self) -> int:
        """The batch for which this thread, or this task, works; 0 if that cannot be said."""
        return _doing.get() or self.executing

    def say(self, message: Message) -> None:
        """Say something that has no answer."""
        try:
            self._channel.send(message)
        except OSError:
            os._exit(1)  # the server is gone

    def call(self, message: Message, heard: Callable[[Message], None]) -> int:
        """Ask something; ``heard`` gets every answer, the last of which is ``final``."""
        with self._lock:
            self._next += 1
            number = self._next
            self._calls[number] = heard
        try:
            self.say({**message, "n": number})
        except Exception:  # it cannot be written
            with self._lock:
                del self._calls[number]
            raise
        return number

    def came(self, message: Message) -> None:
        """Hand an answer to who asked."""
        number = message["n"]
        with self._lock:
            heard = self._calls.pop(number, None) if message["final"] else self._calls.get(number)
        if heard is None:
            return
        try:
            heard(message)
        except Exception:  # whoever asked is at fault; the others go on to be heard
            logging.getLogger("engine.child").exception("an answer could not be taken")


class _Way:
    """The way out of a request in the child."""

    def __init__(self, number: int, outside: Outside, over: Callable[[int], None]) -> None:
        self._number = number
        self._outside = outside
        self._over = over
        self._lock = threading.Lock()
        self._final = False
        self._watching: list[Callable[[], None]] = []
        self.cancelled = False

    def watch(self, callback: Callable[[], None]) -> None:
        """Have something called when the request is taken back."""
        with self._lock:
            if not self.cancelled:
                self._watching.append(callback)
                return
        callback()

    def cancel(self) -> None:
        """Learn that nobody wants the answer any more."""
        with self._lock:
            self.cancelled = True
            watching, self._watching = self._watching, []
        for callback in watching:
            callback()

    def send(
        self,
        outputs: tuple[Tensor, ...] | EngineError | None,
        *,
        final: bool,
        parameters: Mapping[str, Parameter] = _NONE,
    ) -> None:
        """Send an answer to the server."""
        with self._lock:
            if self._final:
                raise Internal("Unable to send response. Response sender has been closed.")
            self._final = final
            message: Message = {"t": "answer", "r": self._number, "final": final}
            if isinstance(outputs, tuple):
                try:
                    message["outputs"] = tell_tensors(outputs, self._outside.arena)
                    message["parameters"] = dict(parameters)
                except EngineError as fault:
                    outputs = fault
            if isinstance(outputs, EngineError):
                message["error"] = tell_error(outputs)
            elif outputs is None:
                message["outputs"] = None
            self._outside.say(message)
        if final:
            self._over(self._number)


class _Lines(logging.Handler):
    """Brings what is logged in the child to the server's log."""

    def __init__(self, outside: Outside) -> None:
        super().__init__()
        self._outside = outside

    def emit(self, record: logging.LogRecord) -> None:
        ours = record.name.partition(".")[0] == "engine"
        self._outside.say(
            {
                "t": "log",
                "of": record.name if ours else "engine.child",
                "level": record.levelno,
                "text": self.format(record),
            }
        )


class _Serving:
    """The child's side of everything."""

    def __init__(self, channel: Channel, memory: tuple[int, int]) -> None:
        self._channel = channel
        self._memory = memory
        self._jobs: SimpleQueue[Message] = SimpleQueue()
        self._ways: dict[int, _Way] = {}
        self._outside: Outside | None = None
        self._executor: Executor | None = None

    def run(self) -> None:
        self._channel.send({"t": "here"})
        threading.Thread(target=self._listen, daemon=True).start()
        while True:
            message = self._jobs.get()
            match message["t"]:
                case "start":
                    self._start(message)
                case "run":
                    self._execute(message)
                case "stop":
                    self._stop()
                    return

    def _listen(self) -> None:
        while (messages := self._channel.receive()) is not None:
            for message in messages:
                match message["t"]:
                    case "cancel":
                        if (way := self._ways.get(message["r"])) is not None:
                            way.cancel()
                    case "ready":
                        threading.Thread(
                            target=self._look, args=(message["n"],), daemon=True
                        ).start()
                    case "came":
                        assert self._outside is not None
                        self._outside.came(message)
                    case "run":  # known from here on, so that they can be taken back
                        self._expect(message)
                        self._jobs.put(message)
                    case _:
                        self._jobs.put(message)
        os._exit(1)

    def _expect(self, message: Message) -> None:
        assert self._outside is not None
        for number, _, cancelled in message["requests"]:
            self._ways[number] = way = _Way(number, self._outside, self._over)
            way.cancelled = cancelled

    def _start(self, message: Message) -> None:
        size, growth, limit = message["memory"]
        inward, outward = self._memory
        arena = Arena(outward, size=size, growth=growth, limit=limit)
        self._outside = outside = Outside(self._channel, arena, Window(inward))
        logging.basicConfig(level=logging.DEBUG, handlers=[_Lines(outside)], format="%(message)s")
        module, _, function = message["make"].partition(":")
        try:
            self._executor = getattr(import_module(module), function)(message["given"], outside)
        except EngineError as fault:
            outside.say({"t": "failed", "error": tell_error(fault)})
            return
        except BaseException as fault:  # noqa: BLE001 - it is the server's to say
            text = f"{type(fault).__name__}: {fault}"
            outside.say({"t": "failed", "error": tell_error(Internal(text))})
            return
        outside.say(
            {
                "t": "started",
                "described": dict(self._executor.describe()),
                "overlaps": bool(getattr(self._executor, "overlaps", False)),
                "checks": isinstance(self._executor, SelfChecking),
            }
        )

    def _execute(self, message: Message) -> None:
        outside, executor = self._outside, self._executor
        assert outside is not None
        assert executor is not None
        batch = []
        for number, told, _ in message["requests"]:
            batch.append(Work(read_request(told, outside.window), self._ways[number]))
        fault: EngineError | None = None
        lasting = bool(getattr(executor, "lasting", True))
        outside.executing = 0 if lasting else message["batch"]
        before = _doing.set(message["batch"])
        try:
            executor.execute(batch)
        except EngineError as error:
            fault = error
        except BaseException as error:  # noqa: BLE001 - a model may raise anything
            fault = Internal(f"{type(error).__name__}: {error}")
        finally:
            _doing.reset(before)
            outside.executing = 0
        if fault is not None or not lasting:
            for number, _, _ in message["requests"]:
                self._ways.pop(number, None)
        outside.say(
            {
                "t": "ran",
                "batch": message["batch"],
                "error": tell_error(fault),
                "lasting": lasting,
            }
        )

    def _over(self, number: int) -> None:
        self._ways.pop(number, None)

    def _look(self, number: int) -> None:
        assert self._outside is not None
        answer: Message = {"t": "told", "n": number, "error": None}
        try:
            executor: object = self._executor
            assert isinstance(executor, SelfChecking)
            answer["value"] = bool(executor.is_ready())
        except EngineError as fault:
            answer["error"] = tell_error(fault)
        except BaseException as fault:  # noqa: BLE001 - a model may raise anything
            answer["error"] = tell_error(Internal(f"{type(fault).__name__}: {fault}"))
        self._outside.say(answer)

    def _stop(self) -> None:
        with suppress(Exception):
            if self._executor is not None:
                self._executor.close()


def _pass_over(number: int, frame: object) -> None:
    """Do nothing about a signal (rule 3)."""


def main(connected: int, inward: int, outward: int) -> None:
    """Serve until told to stop; then leave, whatever threads the model has left."""
    for number in (connected, inward, outward):
        os.set_inheritable(number, False)
    faulthandler.enable()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _pass_over)  # unlike SIG_IGN, no program that the model runs has it
    channel = Channel(socket.socket(fileno=connected))
    status = 1
    try:
        _Serving(channel, (inward, outward)).run()
        status = 0
    finally:
        logging.shutdown()
        os._exit(status)
