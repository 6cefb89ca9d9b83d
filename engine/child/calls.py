"""The calls of a child's code of other models, as the server sees them.

Owns the words of a child's questions and of the answers to them, and the thread that says these:
putting tensors into the child's memory, and waiting for room in its socket, must not hold up the
event loop that answers. Does not own the calls themselves (``engine.calling``). Words of a child:

- ``call``: ``n`` (the child's number), ``b`` (the batch it is made for, or 0), ``model``,
  ``version``, ``decoupled``, ``request``. Answered by ``came`` until ``final``;
- ``uncall``: ``of`` (the number of a call): it is not wanted any more;
- ``ask``: ``n``, ``question``, ``files`` (names, and where their bytes are). Answered by one
  ``came``, with ``value`` or ``error``;
- ``tell``: ``statement``, which has no answer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any

from engine.calling import Calls
from engine.child.channel import Message
from engine.child.life import Child
from engine.child.words import read_files, read_request, tell_error, tell_tensors
from engine.errors import EngineError, Internal
from engine.inside import Inside
from engine.types import InferRequest, InferResponse
from engine.waits import Key


class ChildCalls:
    """What an instance in a child calls (an ``Aside`` of its ``ChildExecutor``)."""

    def __init__(self, inside: Inside, model: Key) -> None:
        self._calls = Calls(inside, model)
        self._name = model[0]
        self._under_way: dict[tuple[Child, int], Callable[[], None]] = {}
        self._later: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def began(
        self, batch: int, requests: Sequence[InferRequest], *, held: bool
    ) -> Callable[[int], None]:
        """Learn that a batch is being executed, and, if it is ``held``, no other meanwhile."""
        return self._calls.began(batch, requests, held=held)

    def ran(self, batch: int) -> None:
        """Learn that ``execute`` has returned."""
        self._calls.ran(batch)

    def heard(self, child: Child, message: Message) -> None:
        """Do what a child asks; on the thread that hears it. Nothing that waits is left waiting."""
        try:
            self._do(child, message)
        except Exception as fault:  # noqa: BLE001 - whoever asked is told, whatever it was
            if "n" in message:
                self._say(partial(_fail, child, message["n"], fault))

    def _do(self, child: Child, message: Message) -> None:
        match message["t"]:
            case "call":
                self._call(child, message)
            case "uncall":
                cancel = self._under_way.get((child, message["of"]))
                if cancel is not None:
                    cancel()
            case "ask":
                files = read_files(message["files"], child.window)
                answer = self._calls.begin(message["question"], files, holder=child)
                answer.add_done_callback(partial(self._asked, child, message["n"]))
            case "tell":
                self._calls.tell(message["statement"], holder=child)

    def lost(self, child: Child) -> None:
        """Take back what a child that died has called."""
        self._under_way.clear()
        self._calls.drop(holder=child)

    def close(self) -> None:
        """End it: there will be no child any more."""
        self._calls.close()
        self._later.put(None)

    def _call(self, child: Child, message: Message) -> None:
        number, over = message["n"], []

        def told(answer: InferResponse | EngineError, final: bool) -> None:  # noqa: FBT001 - Told
            if final:
                over.append(number)
                self._under_way.pop((child, number), None)
            self._say(partial(_tell, child, number, answer, final=final))

        self._under_way[child, number] = self._calls.call(
            message["model"],
            message["version"],
            read_request(message["request"], child.window),
            told,
            decoupled=message["decoupled"],
            batch=message["b"],
        )
        if over:  # before it was written down
            self._under_way.pop((child, number), None)

    def _asked(self, child: Child, number: int, answer: Future[Any]) -> None:
        try:
            value = answer.result()
        except BaseException as fault:  # noqa: BLE001 - whoever asked is told, whatever it was
            self._say(partial(_fail, child, number, fault))
            return
        message = {"t": "came", "n": number, "final": True, "error": None, "value": value}
        self._say(partial(_send, child, message))

    def _say(self, job: Callable[[], None]) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name=f"{self._name} answers", daemon=True
                )
                self._thread.start()
        self._later.put(job)

    def _work(self) -> None:
        while (job := self._later.get()) is not None:
            job()
            del job  # or its arrays would stay alive until the next one comes


def _tell(child: Child, number: int, answer: InferResponse | EngineError, *, final: bool) -> None:
    """Write an answer into a child's memory, and say where it is."""
    if isinstance(answer, EngineError):
        _fail(child, number, answer, final=final)
        return
    try:
        message: Message = {"t": "came", "n": number, "final": final, "error": None}
        message["outputs"] = tell_tensors(answer.outputs, child.arena)
        message["of"] = [answer.model, answer.version, answer.id, answer.empty]
        message["parameters"] = dict(answer.parameters)
        _send(child, message)
    except Exception as fault:  # noqa: BLE001 - as above
        _fail(child, number, fault, final=final)


def _fail(child: Child, number: int, fault: BaseException, *, final: bool = True) -> None:
    """Say an error."""
    error = (
        fault if isinstance(fault, EngineError) else Internal(f"{type(fault).__name__}: {fault}")
    )
    _send(child, {"t": "came", "n": number, "final": final, "error": tell_error(error)})


def _send(child: Child, message: Message) -> None:
    with suppress(OSError):  # it is gone, and nobody waits
        child.send(message)
