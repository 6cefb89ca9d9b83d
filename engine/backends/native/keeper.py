"""A native instance in a process of its own: started, spoken to, started anew.

Owns the process. Rules:

1. a process that dies fails the requests it had, each once, with the signal or code it died of;
2. it is started anew at once; if it dies again before it has executed a batch, later and later, up
   to ``SLOWEST_S``. Meanwhile requests fail at once, and the instance is not ready;
3. closing gives the library ``GRACE_S``; then the process is killed.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import count
from queue import SimpleQueue

from engine.backend import Replies, Work
from engine.backends.native.calls import Caller
from engine.backends.native.channel import Channel
from engine.backends.native.executor import Order
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
from engine.errors import EngineError, Internal, Unavailable
from engine.types import InferRequest, InferResponse

logger = logging.getLogger(__name__)

FIRST_S, SLOWEST_S = 0.1, 30.0
GRACE_S = 5.0
_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[3]);"
    " from engine.backends.native.child import main; main(int(sys.argv[1]), int(sys.argv[2]))"
)


class Life:
    """One life of a child process."""

    def __init__(self, name: str) -> None:
        ours, theirs = socket.socketpair()
        descriptor, level = str(theirs.fileno()), str(logger.getEffectiveLevel())
        with theirs:
            self._spawned = subprocess.Popen(  # noqa: S603 - this interpreter, our words
                [sys.executable, "-P", "-c", _PROGRAM, descriptor, level, json.dumps(sys.path)],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        self.name = name
        self.channel = Channel(ours)

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._spawned.pid

    def first(self, message: Load | Complete) -> str:
        """Have it do the first thing; gives the text of ``Done``.

        Raises:
            EngineError: what it could not, or that it died of it.
        """
        try:
            self.channel.send(message)
            while True:
                match self.channel.receive():
                    case Done(None, text):
                        return text
                    case Done(fault) if fault is not None:
                        self.end()
                        raise fault
                    case Logged(level, text):
                        logger.log(level, "%s: %s", self.name, text)
        except (EOFError, OSError):
            raise Internal(f"{self.name}: {self.end()} while the library was loaded") from None

    def end(self, grace_s: float = 0.0) -> str:
        """Wait for its end, kill it if it does not come; say how it ended."""
        try:
            self._spawned.wait(grace_s or 1.0)
        except subprocess.TimeoutExpired:
            if grace_s:
                logger.warning("%s: has not ended within %g s, and is killed", self.name, grace_s)
            self._spawned.kill()
        code = self._spawned.wait()
        self.channel.close()
        if code < 0:
            return f"its process died of {signal.Signals(-code).name}"
        return f"its process ended with code {code}"


def completed(order: Order) -> str:
    """Have a library complete a configuration in a process of its own.

    Raises:
        EngineError: what it returned, or that the process died.
    """
    process = Life(f"model '{order.config.name}'")
    text = process.first(Complete(order))
    process.channel.close()
    process.end()
    return text


class Keeper:
    """An executor whose library runs in a process of its own."""

    def __init__(self, order: Order, caller: Caller, grace_s: float = GRACE_S) -> None:
        self._order = order
        self._caller = caller
        self._grace_s = grace_s
        self._name = f"model instance '{order.placement.instance or order.config.name}'"
        self._load = Load(order, frozenset(os.sched_getaffinity(0)))
        self._lock = threading.Lock()
        self._numbers = count(1)
        self._open: dict[int, Replies] = {}
        self._executed: SimpleQueue[EngineError | None] = SimpleQueue()
        self._executing = False
        self._asked: dict[int, SimpleQueue[Said]] = {}
        self._down: str | None = None
        self._pause_s = 0.0
        self._closing = threading.Event()
        self._process = self._started()
        self._thread = threading.Thread(target=self._keep, name=f"{self._name} keeper", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """Number of the process there is now."""
        return self._process.pid

    def execute(self, batch: Sequence[Work]) -> None:
        """Have the process answer requests.

        Raises:
            Unavailable: there is none at the moment.
            EngineError: what the library returned.
        """
        numbered = [(next(self._numbers), work) for work in batch]
        with self._lock:
            if self._down is not None:
                raise Unavailable(
                    f"{self._name}: {self._down}; it is being started anew, try again in a moment"
                )
            self._open.update((number, work.replies) for number, work in numbered)
            self._executing, channel = True, self._process.channel
        with suppress(OSError):  # it died: whoever keeps it notices, and answers for it
            channel.send(Execute(tuple((number, work.request) for number, work in numbered)))
        fault = self._executed.get()
        with self._lock:
            self._pause_s = 0.0 if self._down is None else self._pause_s
            if fault is not None:
                for number, _ in numbered:
                    self._open.pop(number, None)
        if fault is not None:
            raise fault

    def is_ready(self) -> bool:
        """Ask the library, if there is a process."""
        number, answer = next(self._numbers), SimpleQueue[Said]()
        with self._lock:
            if self._down is not None:
                return False
            self._asked[number] = answer
            channel = self._process.channel
        with suppress(OSError):
            channel.send(Ready(number))
        said = answer.get()
        if said.fault is not None:
            raise said.fault
        return said.yes

    def describe(self) -> Mapping[str, str]:
        """Say what runs."""
        return {
            "runtime": "native",
            "library": self._order.path.name,
            "process": "its own",
        }

    def close(self) -> None:
        """End the process."""
        self._closing.set()
        with self._lock:
            process = self._process
        with suppress(OSError):
            process.channel.send(Close())
        process.end(self._grace_s)
        self._thread.join(self._grace_s)

    def _started(self) -> Life:
        process = Life(self._name)
        process.first(self._load)
        return process

    def _keep(self) -> None:
        """Receive what the process says; when it dies, start another."""
        while not self._closing.is_set():
            try:
                while True:
                    self._heard(self._process, self._process.channel.receive())
            except EOFError:
                pass
            if self._closing.is_set():
                break
            self._mourn(self._process.end())
            self._revive()
        self._mourn("it is closed")

    def _mourn(self, cause: str) -> None:
        """Answer for a process that is gone."""
        with self._lock:
            self._down = cause
            left, self._open = list(self._open.values()), {}
            asked, self._asked = self._asked, {}
            waiting, self._executing = self._executing, False
        fault = Internal(f"{self._name}: {cause}, and with it this request; it is started anew")
        if not self._closing.is_set():
            logger.error("%s: %s; it is started anew", self._name, cause)
        for replies in left:
            with suppress(EngineError):  # it has its answer
                replies.send(fault, final=True)
        for number, answer in asked.items():
            answer.put(Said(number, yes=False))
        if waiting:
            self._executed.put(None)

    def _revive(self) -> None:
        while not self._closing.wait(self._pause_s):
            self._pause_s = min(max(FIRST_S, 2 * self._pause_s), SLOWEST_S)
            try:
                process = self._started()
            except EngineError as fault:
                self._down = fault.message
                logger.error("%s: cannot be started anew: %s", self._name, fault)  # noqa: TRY400 - no fault of ours
                continue
            with self._lock:
                self._process, self._down = process, None
            if self._closing.is_set():
                process.channel.close()
                process.end()
            return

    def _heard(self, process: Life, message: object) -> None:
        match message:
            case Sent(number, outputs, final, parameters):
                replies = self._open.pop(number, None) if final else self._open.get(number)
                if replies is not None:
                    with suppress(EngineError):  # answered twice: the first answer stands
                        replies.send(outputs, final=final, parameters=parameters)
            case Executed(fault):
                with self._lock:
                    self._executing = False
                self._executed.put(fault)
            case Wanted(number, request):
                replies = self._open.get(request)
                yes = replies is not None and not replies.cancelled
                with suppress(OSError):
                    process.channel.send(Said(number, yes))
            case Said(number):
                if (answer := self._asked.pop(number, None)) is not None:
                    answer.put(message)
            case Ask(number, model, version, request):
                self._ask(process, number, model, version, request)
            case Logged(level, text):
                logger.log(level, "%s: %s", self._name, text)

    def _ask(
        self, process: Life, number: int, model: str, version: int, request: InferRequest
    ) -> None:
        answers: SimpleQueue[Answered] = SimpleQueue()

        def told(answer: InferResponse | EngineError, final: bool) -> None:  # noqa: FBT001 - Told
            answers.put(Answered(number, answer, final))

        def pass_on() -> None:
            # Not on the thread that answers: it may be the event loop's, and this may wait.
            over = False
            while not over:
                answered = answers.get()
                over = answered.final
                with suppress(OSError):
                    process.channel.send(answered)

        threading.Thread(target=pass_on, name=f"{self._name} answers", daemon=True).start()
        self._caller.call(model, version, request, told)
