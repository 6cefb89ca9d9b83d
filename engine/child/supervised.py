"""A child that is started anew when it dies.

Owns when the next one starts, and who waits for it. Does not own what a child says. Rules:

1. the first child is waited for, and what is wrong with it is raised;
2. the next one follows a death at once; if that dies within ``STEADY_S`` too, or does not start,
   ever later ones wait, up to ``MOST_S``;
3. who needs the child while it restarts waits for it, and others take what comes meanwhile. Once
   what it loads has refused, or ``TRIES`` processes have died before they were ready, he is refused
   with the reason, until a start succeeds. So is everybody when it has taken ``WAIT_S``: whoever
   came late does not wait as long again, behind others who did.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

from engine.child.channel import Message
from engine.child.life import Child, Setup
from engine.child.words import read_error
from engine.errors import EngineError, Internal, Unavailable

logger = logging.getLogger("engine.child")

FIRST_S, MOST_S, STEADY_S = 0.1, 5.0, 1.0
TRIES = 8
#: a busy machine may need this long to start an interpreter, whatever the patience is
START_S = 30.0
#: when a restart takes longer, whoever waits for it had better be told
WAIT_S = 10.0


class _DiedEarly(Internal):
    """A process died before it was ready."""


class Ears(Protocol):
    """Who hears a child; on the child's thread."""

    def heard(self, child: Child, message: Message) -> None:
        """Learn what a child says."""
        ...

    def lost(self, child: Child, how: str) -> None:
        """Learn that a child has died: what it was asked will not be answered."""
        ...


class _Nobody:
    """Hears nothing any more."""

    def heard(self, child: Child, message: Message) -> None:
        pass

    def lost(self, child: Child, how: str) -> None:
        pass


class Supervised:
    """The child of the moment. ``restarts`` counts those that followed another."""

    def __init__(self, setup: Setup, ears: Ears, *, wait_s: float = WAIT_S) -> None:
        self._setup = setup
        self._ears = ears
        self._wait_s = wait_s
        self._changed = threading.Condition()
        self._child: Child | None = None
        self._fault: EngineError | None = None
        self._stopping = False
        self._failures = 0
        self._since = self._down_since = 0.0
        self.restarts = 0

    def start(self) -> Message:
        """Start the first one; returns what it says of itself.

        Raises:
            EngineError: why it does not start.
        """
        child, described = self._start_one()
        with self._changed:
            self._child, self._since = child, time.monotonic()
        self._look(child)
        return described

    @property
    def alive(self) -> bool:
        """Whether there is a child that answers."""
        return self._child is not None

    @property
    def pid(self) -> int | None:
        """Number of the child's process; None while there is none."""
        child = self._child
        return None if child is None else child.pid

    def current(self) -> Child:
        """Give the child; waits while it restarts, until that has taken ``wait_s``.

        Raises:
            Unavailable: it could not be started again, not in that time, or is stopped.
        """
        child = self._child
        if child is not None:
            return child
        with self._changed:
            self._changed.wait_for(
                lambda: self._child is not None or self._fault is not None or self._stopping,
                max(0.0, self._down_since + self._wait_s - time.monotonic()),
            )
            if self._child is not None:
                return self._child
            raise Unavailable(f"model instance '{self._setup.name}' is not available: {self._why}")

    @property
    def _why(self) -> str:
        if self._stopping:
            return "it is stopped"
        if self._fault is not None:
            return f"its restart failed: {self._fault}"
        down_s = time.monotonic() - self._down_since
        return f"it has been starting again for {down_s:.1f} s; ask again later"

    def stop(self) -> None:
        """End it, and let no other follow."""
        with self._changed:
            self._stopping = True
            child, self._child = self._child, None
            self._changed.notify_all()
        if child is not None:
            child.stop()
        self._ears = _Nobody()  # or each would keep the other alive

    def _start_one(self) -> tuple[Child, Message]:
        start = _Start(self._setup, self._ears, self._died)
        return start.child, start.wait()

    def _died(self, child: Child, how: str) -> None:
        with self._changed:
            stopping, known = self._stopping, self._child is child
            if not known and not stopping:
                return
            self._child, self._down_since = None, time.monotonic()
            if self._down_since - self._since >= STEADY_S:
                self._failures = 0
        self._ears.lost(child, how)
        if stopping:
            return
        logger.error(
            "the process %d of model instance '%s' %s; it is started again",
            child.pid,
            self._setup.name,
            how,
        )
        threading.Thread(
            target=self._again, name=f"{self._setup.name} restart", daemon=True
        ).start()

    def _again(self) -> None:
        deaths = 0
        while True:
            pause_s = min(MOST_S, FIRST_S * 2 ** (self._failures - 1)) if self._failures else 0.0
            self._failures += 1
            with self._changed:
                if self._changed.wait_for(lambda: self._stopping, pause_s):
                    return
            try:
                child, _ = self._start_one()
            except Exception as error:  # noqa: BLE001 - whatever it was, it is tried again
                fault = error if isinstance(error, EngineError) else Internal(repr(error))
                text = "model instance '%s' does not start again: %s"
                logger.error(text, self._setup.name, fault)  # noqa: TRY400 - its place is said
                deaths += isinstance(fault, _DiedEarly)
                if not 0 < deaths < TRIES:
                    with self._changed:
                        self._fault = fault
                        self._changed.notify_all()
                continue
            with self._changed:
                late = self._stopping
                if not late:
                    self._child, self._fault, self._since = child, None, time.monotonic()
                    self.restarts += 1
                    self._changed.notify_all()
            if late:
                child.stop()
            else:
                self._look(child)
            return

    def _look(self, child: Child) -> None:
        if child.over.is_set():  # it died while nobody knew it
            self._died(child, "ended as soon as it had started")


class _Start:
    """The first words with a child: until it is there it is this one's, then its ears'."""

    def __init__(self, setup: Setup, ears: Ears, died: Callable[[Child, str], None]) -> None:
        self._setup = setup
        self._ears = ears
        self._died = died
        self._told = threading.Event()
        self._here = threading.Event()
        self._message: Message = {}
        self._ready = False
        self._how = ""
        self.child = Child(setup, self._heard, self._gone)
        self.child.begin()

    def wait(self) -> Message:
        """Wait until it is ready; returns what it says of itself.

        Raises:
            EngineError: why it is not.
        """
        name = self._setup.name
        patience_s = max(START_S, self._setup.patience_s)
        if not self._here.wait(patience_s):
            self.child.kill()
            raise Internal(
                f"model instance '{name}': Timed out occurred while waiting for the stub process:"
                f" {self._setup.python} was not ready after {patience_s:g} s"
            )
        self._told.wait()
        if self._ready:
            return self._message
        if self._message:
            self.child.stop()
            raise read_error(self._message["error"])
        raise _DiedEarly(
            f"model instance '{name}': the process {self.child.pid} {self._how} before it was"
            " ready; what it printed is in the log"
        )

    def _heard(self, message: Message) -> None:
        if message["t"] == "here":
            self._here.set()
        elif message["t"] in {"started", "failed"} and not self._told.is_set():
            self._message = message
            self._ready = message["t"] == "started"
            self._told.set()
        else:
            self._ears.heard(self.child, message)

    def _gone(self, how: str) -> None:
        self._how = how
        self._here.set()
        self._told.set()
        if self._ready:
            self._died(self.child, how)
