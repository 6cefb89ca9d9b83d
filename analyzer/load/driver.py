"""Spawns the load client, listens to it, and never waits for it in vain.

Owns the client's life: it is started in a session of its own (Ctrl-C in the terminal is for
the analyzer to judge), watched, told to stop, and killed where it hangs. Does not own the
measuring (``session``).
"""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from analyzer import v2client
from analyzer.errors import LoadError
from analyzer.load.driven import Driven
from analyzer.load.payload import Shapes, concrete, make
from analyzer.load.request import grpc_message, http_message
from analyzer.load.window import WindowSample
from analyzer.load.wire import STOP, Alive, Failed, Job, Line, from_line, job_to_line

if TYPE_CHECKING:
    from analyzer.launcher import Endpoint
    from analyzer.record.row import LoadSpec
    from engine.modelconfig.schema import ModelConfig

__all__ = ["Driven", "DriverSettings", "drive"]

TAIL_BYTES = 8192
POLL_SECONDS = 0.1
#: how long a client that was told to stop may take: its in-flight requests are waited for
STOP_SECONDS = 20.0
EXIT_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverSettings:
    """How the load client is run.

    ``shapes`` gives input shapes by name, without the batch dimension, where the model leaves
    them open. A client that says nothing for ``silence_s`` is killed; so is one none of whose
    requests is answered for ``stall_s``.
    """

    shapes: Shapes = field(default_factory=dict)
    seed: int = 0
    silence_s: float = 30.0
    stall_s: float = 60.0
    python: str = sys.executable


def drive(
    endpoint: Endpoint,
    model: str,
    load: LoadSpec,
    *,
    stop: Callable[[], bool],
    on_window: Callable[[WindowSample], None],
    settings: DriverSettings | None = None,
) -> Driven:
    """Load ``model`` as ``load`` says, until its windows are steady or there were enough.

    ``on_window`` hears of each window as it ends. When ``stop()`` turns true the run ends
    early, with the windows there are.

    Raises:
        LoadError: nothing was measured; the text holds the server's or the client's own.
        LaunchError: the server does not describe the model.
    """
    settings = settings or DriverSettings()
    job = _job(endpoint, model, load, settings)
    with _Child(settings) as child:
        child.tell(job_to_line(job))
        return _listen(child, stop, on_window)


def _job(endpoint: Endpoint, model: str, load: LoadSpec, settings: DriverSettings) -> Job:
    metadata = v2client.model_metadata(endpoint, model)
    config = _config(endpoint, model)
    if config is not None and config.sequence_batching is not None:
        raise LoadError(
            f"{model} keeps sequences (sequence_batching), and the load client's requests belong to"
            " none: such models are served, and cannot be profiled yet"
        )
    inputs = concrete(metadata.inputs, config, load.batch_size, settings.shapes)
    infer = make(inputs, load.data, settings.seed)
    match load.protocol:
        case "http":
            request = http_message(endpoint.http, model, infer)
        case "grpc":
            if endpoint.grpc is None:
                raise LoadError("the server's gRPC address is not known; give it, or use http")
            request = grpc_message(model, infer)
        case _:
            raise LoadError(f"no protocol {load.protocol!r}; there are: http, grpc")
    return Job(endpoint=endpoint, model=model, load=load, request=request)


def _config(endpoint: Endpoint, model: str) -> ModelConfig | None:
    """Return the model's configuration, or None from a server that has no such extension."""
    try:
        return v2client.model_config(endpoint, model)
    except v2client.Refused:
        return None


def _listen(
    child: _Child, stop: Callable[[], bool], on_window: Callable[[WindowSample], None]
) -> Driven:
    for said in child.lines(stop):
        match said:
            case Driven():
                return said
            case Failed(message=message):
                raise LoadError(message)
            case WindowSample():
                on_window(said)
            case _:
                pass
    raise LoadError(f"the load client ended without a result{child.explanation()}")


class _Child:
    """The load client's process."""

    def __init__(self, settings: DriverSettings) -> None:
        self._settings = settings
        self._errors = b""
        self._done = False

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(  # noqa: S603 - our own module, in our own interpreter
            # -P: a folder named "analyzer" where the user stands is not this package.
            [self._settings.python, "-P", "-m", "analyzer.load"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing behind."""
        if self._process.poll() is None:
            if self._done:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(EXIT_SECONDS)
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

    def tell(self, line: str) -> None:
        """Say a line to it; one that is gone is noticed by its silence."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()

    def lines(self, stop: Callable[[], bool]) -> Iterator[Line]:
        """Yield what it says until it ends; pass ``stop`` on to it.

        Raises:
            LoadError: it hangs, or the server does.
        """
        watch = _Watchdog(self._settings)
        rest = b""
        for chunk in self._chunks():
            if stop() and not watch.stopping:
                watch.told_to_stop()
                self.tell(STOP)
            watch.check(self.explanation)
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                said = self._read(line)
                watch.heard(said)
                self._done = isinstance(said, Driven | Failed)
                yield said

    def explanation(self) -> str:
        """Return what it wrote to its standard error, for the end of a message."""
        text = self._errors.decode("utf-8", "replace").strip()
        code = self._process.poll()
        ended = "" if code is None else f" (exit status {code})"
        return f"{ended}; its last words:\n{text}" if text else ended

    def _read(self, line: bytes) -> Line:
        try:
            return from_line(line.decode())
        except ValueError as error:
            raise LoadError(f"the load client speaks another language: {error}") from error

    def _chunks(self) -> Iterator[bytes]:
        """Yield what comes on standard output, and b"" when nothing did for a moment."""
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        output, errors = self._process.stdout.fileno(), self._process.stderr.fileno()
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            selector.register(errors, selectors.EVENT_READ)
            while output in selector.get_map() or errors in selector.get_map():
                ready = selector.select(POLL_SECONDS)
                if not ready:
                    yield b""
                for key, _ in ready:
                    chunk = os.read(key.fd, 1 << 16)
                    if not chunk:
                        selector.unregister(key.fd)
                    elif key.fd == output:
                        yield chunk
                    else:
                        self._errors = (self._errors + chunk)[-TAIL_BYTES:]


class _Watchdog:
    """Notices that nothing goes on."""

    def __init__(self, settings: DriverSettings) -> None:
        self._settings = settings
        self._heard = time.monotonic()
        #: None until it speaks: to start is no matter of the server's
        self._progress: float | None = None
        self._answered = 0
        self._in_flight = 0
        self._stopped: float | None = None

    @property
    def stopping(self) -> bool:
        """Whether the client was told to stop."""
        return self._stopped is not None

    def told_to_stop(self) -> None:
        """Note that from now on the end is near."""
        self._stopped = time.monotonic()

    def heard(self, said: Line) -> None:
        """Note a sign of life, and of progress."""
        self._heard = time.monotonic()
        idle = isinstance(said, Alive) and said.answered <= self._answered
        if not idle or self._progress is None:
            self._progress = self._heard
        if isinstance(said, Alive):
            self._answered, self._in_flight = said.answered, said.in_flight

    def check(self, explanation: Callable[[], str]) -> None:
        """Check that something goes on.

        Raises:
            LoadError: nothing does.
        """
        now = time.monotonic()
        if now - self._heard > self._settings.silence_s:
            raise LoadError(
                f"the load client said nothing for {self._settings.silence_s:g} s and was killed; "
                f"{self._answered} requests had been answered{explanation()}"
            )
        if self._progress is not None and now - self._progress > self._settings.stall_s:
            raise LoadError(
                f"no request was answered for {self._settings.stall_s:g} s "
                f"({self._answered} had been, {self._in_flight} are in flight): the server hangs, "
                "or one inference takes longer than that"
            )
        if self._stopped is not None and now - self._stopped > STOP_SECONDS:
            raise LoadError("stopped; the load client did not end by itself and was killed")
