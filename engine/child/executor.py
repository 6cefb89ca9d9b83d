"""An Executor in a child, as the server sees it: an Executor like any other.

Owns which requests are with the child, and that each of them is answered: by the child, or, when it
dies, with an error that says so. Does not own the child's life (``supervised``). Rules:

1. a batch is over when the child says that ``execute`` has returned; one that ``overlaps`` (its
   ``execute`` is asynchronous) when it was sent, while at most ``AT_ONCE`` are on their way;
2. a request that is taken back is, in the child too;
3. when the child dies, the requests it has fail, each with the instance, and how the child ended.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Protocol

from engine.backend import Replies, Work
from engine.child.channel import Message
from engine.child.life import Child, Setup
from engine.child.supervised import Supervised
from engine.child.words import read_error, read_tensors, tell_request
from engine.errors import EngineError, Internal
from engine.types import InferRequest

AT_ONCE = 16


class Aside(Protocol):
    """Who hears what a child says that is no answer (``engine.child.calls``); on any thread."""

    def began(
        self, batch: int, requests: Sequence[InferRequest], *, held: bool
    ) -> Callable[[int], None]:
        """Learn that a batch is being executed, and, if it is ``held``, no other meanwhile.

        Returns:
            what is to be told of a request that is taken back: its place in the batch.
        """
        ...

    def ran(self, batch: int) -> None:
        """Learn that a batch was executed."""
        ...

    def heard(self, child: Child, message: Message) -> None:
        """Learn what a child says."""
        ...

    def lost(self, child: Child) -> None:
        """Learn that a child has died."""
        ...

    def close(self) -> None:
        """Learn that there will be no child any more."""
        ...


class _Flight:
    """A batch that the child has."""

    __slots__ = ("fault", "left", "over", "overlaps")

    def __init__(self, left: int, *, overlaps: bool) -> None:
        self.left = left
        self.overlaps = overlaps
        self.over = threading.Event()
        self.fault: EngineError | None = None


class ChildExecutor:
    """Stands for an Executor that runs in a child; the child is started by making this.

    Raises:
        EngineError: why it could not be started.
    """

    def __init__(self, setup: Setup, aside: Aside | None = None) -> None:
        self._setup = setup
        self._aside = aside
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._open: dict[int, tuple[Replies, _Flight, Child]] = {}
        self._batches: dict[int, tuple[_Flight, Child]] = {}
        self._asked: dict[int, tuple[_Flight, Child]] = {}
        self._said: dict[int, bool] = {}
        self._room = threading.Semaphore(AT_ONCE)
        self._supervised = Supervised(setup, self)
        try:
            started = self._supervised.start()
        except BaseException:
            if aside is not None:
                aside.close()
            raise
        self._described: dict[str, str] = started["described"]
        #: whether several batches may be executed at once
        self.overlaps: bool = started["overlaps"]
        self._checks: bool = started["checks"]

    @property
    def restarts(self) -> int:
        """How often a child was followed by another."""
        return self._supervised.restarts

    @property
    def pid(self) -> int | None:
        """Number of the child's process; None while there is none."""
        return self._supervised.pid

    @property
    def under_way(self) -> int:
        """How many requests the child has and has not answered."""
        return len(self._open)

    def execute(self, batch: Sequence[Work]) -> None:
        """Have the child execute a batch.

        Raises:
            EngineError: what it raised; the child died, or could not be started again.
        """
        if self.overlaps:
            self._room.acquire()
        flight = _Flight(len(batch), overlaps=self.overlaps)
        try:
            self._send(batch, flight)
        except BaseException:
            if self.overlaps:
                self._room.release()
            raise
        if not self.overlaps:
            flight.over.wait()
            if flight.fault is not None:
                raise flight.fault

    def _send(self, batch: Sequence[Work], flight: _Flight) -> None:
        child = self._supervised.current()
        number = next(self._numbers)
        numbers, requests = [next(self._numbers) for _ in batch], []
        taken_back: Callable[[int], None] = _nobody
        if self._aside is not None:
            taken_back = self._aside.began(
                number, [work.request for work in batch], held=not self.overlaps
            )
        with self._lock:
            self._batches[number] = flight, child
            for own, work in zip(numbers, batch, strict=True):
                self._open[own] = work.replies, flight, child
        for own, work in zip(numbers, batch, strict=True):
            try:
                told = tell_request(work.request, child.arena)
                requests.append((own, told, work.replies.cancelled))
            except EngineError as fault:
                self._fail([own], fault)
        try:
            child.send({"t": "run", "batch": number, "requests": requests})
        except OSError:
            child.over.wait(self._setup.patience_s)
            self.lost(child, "has gone")  # unless it was heard to die, which fails them too
            return
        except BaseException:  # it cannot be said, and whoever asked says why
            self._ran({"batch": number, "error": None, "lasting": False})
            self._forget(numbers)
            raise
        for place, (own, work) in enumerate(zip(numbers, batch, strict=True)):
            work.replies.watch(partial(self._cancel, child, own, partial(taken_back, place)))

    def _cancel(self, child: Child, number: int, taken_back: Callable[[], None]) -> None:
        taken_back()
        if number in self._open:
            with suppress(OSError):  # it is gone, and with it the request
                child.send({"t": "cancel", "r": number})

    def heard(self, child: Child, message: Message) -> None:
        """Learn what the child says."""
        match message["t"]:
            case "answer":
                self._answered(child, message)
            case "ran":
                self._ran(message)
            case "told":
                self._told(message)
            case "log":
                logging.getLogger(message["of"]).log(message["level"], "%s", message["text"])
            case _:
                if self._aside is not None:
                    self._aside.heard(child, message)

    def _answered(self, child: Child, message: Message) -> None:
        final = message["final"]
        with self._lock:
            found = self._open.pop(message["r"], None) if final else self._open.get(message["r"])
        if found is None:
            return
        replies, flight, _ = found
        if "error" in message:
            self._reply(replies, read_error(message["error"]), final=final)
        elif message["outputs"] is None:
            self._reply(replies, None, final=final)
        else:
            outputs = read_tensors(message["outputs"], child.window)
            with suppress(EngineError):  # answered already
                replies.send(outputs, final=final, parameters=message["parameters"])
        if final:
            self._one_less(flight)

    @staticmethod
    def _reply(replies: Replies, answer: EngineError | None, *, final: bool) -> None:
        with suppress(EngineError):  # answered already
            replies.send(answer, final=final)

    def _one_less(self, flight: _Flight) -> None:
        with self._lock:
            flight.left -= 1
            last = not flight.left
        if last and flight.overlaps:
            self._room.release()

    def _ran(self, message: Message) -> None:
        with self._lock:
            flight, _ = self._batches.pop(message["batch"], (None, None))
        if flight is None:
            return
        if self._aside is not None:
            self._aside.ran(message["batch"])
        if message["error"] is not None:
            fault = read_error(message["error"])
            self._fail([one for one, of in self._with(flight)], fault)
            flight.fault = fault
        elif not message["lasting"] and not flight.overlaps:
            # Nothing more will come of what was left out; whoever waits for the batch says so.
            self._forget([one for one, _ in self._with(flight)])
        flight.over.set()

    def _with(self, flight: _Flight) -> list[tuple[int, Replies]]:
        with self._lock:
            return [(one, ways) for one, (ways, of, _) in self._open.items() if of is flight]

    def _forget(self, numbers: Sequence[int]) -> None:
        with self._lock:
            for number in numbers:
                self._open.pop(number, None)

    def _fail(self, numbers: Sequence[int], fault: EngineError) -> None:
        for number in numbers:
            with self._lock:
                found = self._open.pop(number, None)
            if found is not None:
                self._reply(found[0], fault, final=True)
                self._one_less(found[1])

    def lost(self, child: Child, how: str) -> None:
        """Learn that the child has died."""
        fault = Internal(
            f"Failed to process the request(s) for model instance '{self._setup.name}', message:"
            f" Stub process '{self._setup.name}' is not healthy: its process {child.pid} {how}"
        )
        with self._lock:
            mine = [one for one, (_, _, of) in self._open.items() if of is child]
            batches = {one: of for one, of in self._batches.items() if of[1] is child}
            asked = {one: of for one, of in self._asked.items() if of[1] is child}
            for one in batches:
                del self._batches[one]
            for one in asked:
                del self._asked[one]
        if self._aside is not None:
            for one in batches:
                self._aside.ran(one)
            self._aside.lost(child)
        self._fail(mine, fault)
        for flight, _ in (*batches.values(), *asked.values()):
            flight.fault = fault
            flight.over.set()

    def is_ready(self) -> bool:
        """Say whether the child is there, and, if its model can tell, whether it can answer."""
        if not self._supervised.alive:
            return False
        if not self._checks:
            return True
        child, number = self._supervised.current(), next(self._numbers)
        flight = _Flight(0, overlaps=False)
        with self._lock:
            self._asked[number] = flight, child
        try:
            child.send({"t": "ready", "n": number})
        except OSError:
            return False
        flight.over.wait()
        if flight.fault is not None:
            raise flight.fault
        return self._said.pop(number)

    def _told(self, message: Message) -> None:
        with self._lock:
            flight, _ = self._asked.pop(message["n"], (None, None))
        if flight is None:
            return
        if message["error"] is not None:
            flight.fault = read_error(message["error"])
        else:
            self._said[message["n"]] = message["value"]
        flight.over.set()

    def describe(self) -> Mapping[str, str]:
        """Say what runs."""
        return {**self._described, "process": "one of its own"}

    def close(self) -> None:
        """Let the child finish, and end it."""
        self._supervised.stop()
        if self._aside is not None:
            self._aside.close()


def _nobody(place: int) -> None:
    """Nobody wants to know of a request that is taken back."""


def said(setup: Setup) -> str:
    """Start a child that makes a ``Saying``, and give what it says.

    Raises:
        EngineError: what was raised instead, or that the child died.
    """
    child = ChildExecutor(setup)
    try:
        return child.describe()["said"]
    finally:
        child.close()
