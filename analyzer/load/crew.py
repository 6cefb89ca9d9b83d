"""The sender processes: started, listened to, told to stop, and never waited for in vain.

Owns their life: each is started in a session of its own (Ctrl-C in the terminal is for the analyzer
to judge), watched, and killed where it hangs. Does not own what they say (``chunk``).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

from analyzer.errors import LoadError
from analyzer.load.alongside import Alongside
from analyzer.load.chunk import Chunk, Ended, Failed, Frames, Said
from analyzer.load.job import BEGIN, PAUSE, STOP, Job, job_frame
from analyzer.load.payload import Shapes

TAIL_BYTES = 8192
POLL_SECONDS = 0.05
#: room for what a sender tells while the analyzer is at something else
PIPE_BYTES = 1 << 20
READ_BYTES = 1 << 18
#: how long a sender that was told to stop may take: its in-flight requests are waited for
STOP_SECONDS = 20.0
EXIT_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverSettings:
    """How the load client is run.

    ``composing`` are models that the loaded one calls, whose counters are read as well, as an
    ensemble's are anyway. ``others`` is shared with the runs of other models that are loaded at the
    same time. ``shapes`` gives input shapes by name, without the batch dimension,
    where the model leaves them open. A client that says nothing for ``silence_s`` is killed; so is
    one none of whose requests is answered for ``stall_s``. ``now`` is the monotonic clock.
    """

    shapes: Shapes = field(default_factory=dict)
    composing: tuple[str, ...] = ()
    others: Alongside = field(default_factory=Alongside)
    seed: int = 0
    silence_s: float = 30.0
    stall_s: float = 60.0
    now: Callable[[], int] = time.monotonic_ns
    python: str = sys.executable


class Crew:
    """The senders of one run; entered for as long as they live."""

    def __init__(self, jobs: Sequence[Job], settings: DriverSettings) -> None:
        self._jobs = jobs
        self._settings = settings
        self._senders: list[_Hand] = []
        self._watch = _Watchdog(settings)

    def __enter__(self) -> Self:
        try:
            for job in self._jobs:
                self._senders.append(_Hand(self._settings.python))
                self._senders[-1].tell(job_frame(job))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing behind."""
        for each in self._senders:
            each.end()

    def __len__(self) -> int:
        return len(self._jobs)

    def begin(self, at_ns: int, spread_ns: int = 0) -> None:
        """Have all begin at one moment; after a pause, each slot some time within ``spread_ns``."""
        for each in self._senders:
            each.tell(f"{BEGIN} {at_ns} {spread_ns}\n".encode())

    def pause(self, at_ns: int) -> None:
        """Have all send nothing from a moment on, and say when they have their answers."""
        for each in self._senders:
            each.tell(f"{PAUSE} {at_ns}\n".encode())

    def stop(self) -> None:
        """Have all send nothing more, and end when they have their answers."""
        if not self._watch.stopping:
            self._watch.told_to_stop()
            for each in self._senders:
                each.tell(f"{STOP}\n".encode())

    def says(self) -> Iterator[tuple[int, Said] | None]:
        """Yield what each says until all have ended, and None when nothing came for a moment.

        Raises:
            LoadError: one failed or hangs, or the server does.
        """
        by_fd = {each.output: (index, each) for index, each in enumerate(self._senders)}
        errors = {each.errors: each for each in self._senders}
        with selectors.DefaultSelector() as selector:
            for fd in (*by_fd, *errors):
                selector.register(fd, selectors.EVENT_READ)
            while selector.get_map():
                ready = selector.select(POLL_SECONDS)
                for key, _ in ready:
                    data = os.read(key.fd, READ_BYTES)
                    if not data:
                        selector.unregister(key.fd)
                    if key.fd in errors:
                        errors[key.fd].wrote(data)
                        continue
                    index, sender = by_fd[key.fd]
                    yield from ((index, said) for said in self._heard(index, sender, data))
                self._watch.check(self._senders)
                yield None
        for each in self._senders:
            if not each.done:
                raise LoadError(f"the load client ended without a result{each.explanation()}")

    def _heard(self, index: int, sender: _Hand, data: bytes) -> Iterator[Said]:
        try:
            for said in sender.frames.feed(data):
                if isinstance(said, Failed):
                    sender.done = True
                    raise LoadError(said.message)
                sender.done = sender.done or isinstance(said, Ended)
                self._watch.heard(index, said)
                yield said
        except ValueError as error:
            raise LoadError(f"the load client speaks another language: {error}") from error


class _Hand:
    """One sender's process."""

    def __init__(self, python: str) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own module, in our own interpreter
            # -P: a folder named "analyzer" where the user stands is not this package.
            [python, "-P", "-m", "analyzer.load"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self.output = self._process.stdout.fileno()
        self.errors = self._process.stderr.fileno()
        self.frames = Frames()
        self.done = False
        self._words = b""
        with contextlib.suppress(OSError):
            # Beyond what an unprivileged user may have in pipes it stays as it is.
            fcntl.fcntl(self.output, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def tell(self, data: bytes) -> None:
        """Write to it; one that is gone is noticed by its silence."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(data)
            self._process.stdin.flush()

    def wrote(self, data: bytes) -> None:
        """Keep the end of what it writes to its standard error."""
        self._words = (self._words + data)[-TAIL_BYTES:]

    def explanation(self) -> str:
        """Return what it wrote to its standard error, for the end of a message."""
        text = self._words.decode("utf-8", "replace").strip()
        code = self._process.poll()
        ended = "" if code is None else f" (exit status {code})"
        return f"{ended}; its last words:\n{text}" if text else ended

    def end(self) -> None:
        """Wait for one that has ended, and kill one that has not."""
        if self._process.poll() is None:
            if self.done:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(EXIT_SECONDS)
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


class _Watchdog:
    """Notices that nothing goes on."""

    def __init__(self, settings: DriverSettings) -> None:
        self._settings = settings
        self._heard: dict[int, float] = {}
        self._born = time.monotonic()
        #: when a request was last answered, or none was in flight; None until the load begins
        self._progress: float | None = None
        self._in_flight: dict[int, int] = {}
        self._answered = 0
        self._stopped: float | None = None

    @property
    def stopping(self) -> bool:
        """Whether the senders were told to stop."""
        return self._stopped is not None

    def told_to_stop(self) -> None:
        """Note that from now on the end is near."""
        self._stopped = time.monotonic()

    def heard(self, index: int, said: Said) -> None:
        """Note a sign of life, and of progress."""
        now = self._heard[index] = time.monotonic()
        if isinstance(said, Chunk):
            self._in_flight[index] = said.in_flight
            self._answered += said.ended
            if said.ended or not any(self._in_flight.values()) or self._progress is None:
                self._progress = now

    def check(self, senders: Sequence[_Hand]) -> None:
        """Check that something goes on.

        Raises:
            LoadError: nothing does.
        """
        now = time.monotonic()
        for index, each in enumerate(senders):
            heard = self._heard.get(index, self._born)
            if not each.done and now - heard > self._settings.silence_s:
                raise LoadError(
                    f"the load client said nothing for {self._settings.silence_s:g} s and was "
                    f"killed; {self._answered} requests had been answered{each.explanation()}"
                )
        if self._progress is not None and now - self._progress > self._settings.stall_s:
            raise LoadError(
                f"no request was answered for {self._settings.stall_s:g} s ({self._answered} had "
                f"been, {sum(self._in_flight.values())} are in flight): the server hangs, or one "
                "inference takes longer than that"
            )
        if self._stopped is not None and now - self._stopped > STOP_SECONDS:
            raise LoadError("stopped; the load client did not end by itself and was killed")
