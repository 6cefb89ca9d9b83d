"""One child, from its start to its end, as the server sees it.

Owns starting a fresh interpreter, the thread that hears it (messages, what it prints, its death),
and ending it. Does not own what is said, nor whether another child follows (``supervised``). Rules:

1. a child never outlives its server: the kernel kills it with the thread that started it, which
   lives as long as the server; and it leaves when its socket ends;
2. its death is noticed at once, by its pidfd and by its socket, whichever is first; what it had
   said before is heard first;
3. it has the cores of the thread that asked for it.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue

import engine
from engine.child.arena import Arena, Window, open_memory
from engine.child.channel import Channel, Message
from engine.errors import Internal

logger = logging.getLogger("engine.child")

_ENGINE = str(Path(engine.__file__).parent)
# Only the engine's own package is shown to the child: an environment has its own numpy.
_BOOT = """
import ctypes, importlib.util, os, sys
folder, server, cores = sys.argv[1], int(sys.argv[2]), sys.argv[3]
ctypes.CDLL(None).prctl(1, 9)
if os.getppid() != server:
    os._exit(1)
os.sched_setaffinity(0, [int(one) for one in cores.split(",")])
if sys.version_info < (3, 11):
    sys.exit("Python 3.11 or newer is needed, and this is " + sys.version)
sys.path[:] = [one for one in sys.path if one]
spec = importlib.util.spec_from_file_location(
    "engine", folder + "/__init__.py", submodule_search_locations=[folder])
sys.modules["engine"] = package = importlib.util.module_from_spec(spec)
spec.loader.exec_module(package)
from engine.child.entry import main
main(*map(int, sys.argv[4:]))
"""


@dataclass(frozen=True, slots=True)
class Memory:
    """How much shared memory each side of a child has for what it sends, bytes; no limit is 0."""

    size: int = 1 << 20
    growth: int = 1 << 20
    limit: int = 0
    prefix: str = "triton_python_backend_shm_region_"


@dataclass(frozen=True, slots=True)
class Setup:
    """What a child is to be.

    ``make`` (``module:function``) is called in the child with ``given`` and the way out of it, and
    gives an ``Executor``. ``patience_s`` is how long it may take to end.
    """

    name: str
    make: str
    given: Message
    python: str = sys.executable
    environment: Mapping[str, str] = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)
    patience_s: float = 30.0


class Child:
    """A child that runs. ``heard`` and ``died`` are called on its thread; ``died`` is the last."""

    def __init__(
        self, setup: Setup, heard: Callable[[Message], None], died: Callable[[str], None]
    ) -> None:
        self._setup = setup
        self._heard, self._died = heard, died
        self.over = threading.Event()
        with ExitStack() as undo:
            try:
                ours = self._spawned(undo)
            except OSError as fault:
                raise Internal(f"{setup.python} cannot be started: {fault}") from fault
            undo.pop_all()
        self._channel = Channel(ours)
        self.pid = self._popen.pid
        self._thread = threading.Thread(
            target=self._listen, name=f"{setup.name} child", daemon=True
        )

    def _spawned(self, undo: ExitStack) -> socket.socket:
        """Start the process; what is opened for it is closed by ``undo``. Gives our end."""
        memory, name = self._setup.memory, self._setup.memory.prefix + self._setup.name
        ours, theirs = socket.socketpair()
        undo.callback(ours.close)
        with theirs:
            to = open_memory(name)
            self.arena = Arena(to, size=memory.size, growth=memory.growth, limit=memory.limit)
            undo.callback(self.arena.close)
            back = open_memory(name)
            self.window = Window(back)
            undo.callback(self.window.close)
            cores = ",".join(map(str, sorted(os.sched_getaffinity(0))))
            numbers = (theirs.fileno(), to, back)
            self._popen = _nursery.have(lambda: self._spawn(cores, numbers))
        return ours

    def begin(self) -> None:
        """Begin to hear it, and tell it what it is to be."""
        self._thread.start()
        memory, setup = self._setup.memory, self._setup
        with suppress(OSError):  # it died at once, and that will be heard
            self.send(
                {
                    "t": "start",
                    "make": setup.make,
                    "given": setup.given,
                    "memory": [memory.size, memory.growth, memory.limit],
                }
            )

    def send(self, message: Message) -> None:
        """Say something to it.

        Raises:
            OSError: it is gone.
        """
        self._channel.send(message)

    def stop(self) -> None:
        """Let it finish, and end it when it has not after its patience; waits for its end."""
        with suppress(OSError):
            self.send({"t": "stop"})
        if not self.over.wait(self._setup.patience_s):
            logger.warning(
                "%s has not ended within %g s, and is killed",
                self._setup.name,
                self._setup.patience_s,
            )
            self.kill()
            self.over.wait(self._setup.patience_s)

    def kill(self) -> None:
        """End it at once."""
        if not self.over.is_set():
            with suppress(ProcessLookupError):
                self._popen.kill()

    def _spawn(self, cores: str, numbers: tuple[int, ...]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - the python that the model's owner names
            [
                self._setup.python, "-u", "-c", _BOOT,
                _ENGINE, str(os.getpid()), cores, *map(str, numbers),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=numbers,
            env={**os.environ, **self._setup.environment},
        )  # fmt: skip

    def _listen(self) -> None:
        assert self._popen.stdout is not None
        printed = self._popen.stdout.fileno()
        os.set_blocking(printed, False)
        life = os.pidfd_open(self.pid)
        poll = select.poll()
        for number in (self._channel.fileno(), printed, life):
            poll.register(number, select.POLLIN)
        lines = _Lines(self._setup.name)
        try:
            ended = False
            while not ended:
                ready = {number for number, _ in poll.poll()}
                if printed in ready and not lines.read(printed):
                    poll.unregister(printed)
                ended = life in ready
                if self._channel.fileno() in ready:
                    ended = not self._hear() or ended
            self._drain()
            lines.read(printed)
            lines.end()
        finally:
            os.close(life)
            self._end()

    def _hear(self) -> bool:
        messages = self._channel.receive()
        for message in messages or ():
            try:
                self._heard(message)
            except Exception:
                logger.exception("%s: what its child said cannot be understood", self._setup.name)
        return messages is not None

    def _drain(self) -> None:
        """Hear what it said before it died."""
        poll = select.poll()
        poll.register(self._channel.fileno(), select.POLLIN)
        while poll.poll(0) and self._hear():
            pass

    def _end(self) -> None:
        try:
            status = self._popen.wait(1.0)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            status = self._popen.wait()
        assert self._popen.stdout is not None
        self._popen.stdout.close()
        self._channel.close()
        self.arena.close()
        self.window.close()
        self.over.set()
        self._died(_said(status))


class _Lines:
    """What a child prints, line by line, for the log."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._rest = b""

    def read(self, number: int) -> bool:
        """Take what there is; say whether there may be more."""
        while True:
            try:
                chunk = os.read(number, 1 << 16)
            except BlockingIOError:
                return True
            if not chunk:
                return False
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            for line in lines:
                self._log(line)

    def end(self) -> None:
        """Tell the line that has no end."""
        if self._rest:
            self._log(self._rest)

    def _log(self, line: bytes) -> None:
        logger.info("%s: %s", self._name, line.decode("utf-8", "replace").rstrip())


class _Nursery:
    """The thread that starts children: it lives as long as the server (rule 1)."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[tuple[Callable[[], subprocess.Popen[bytes]], _Started]] = (
            SimpleQueue()
        )
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def have(self, start: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        """Start one, and give it; raises what starting raises."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="nursery", daemon=True)
                self._thread.start()
        started: _Started = Future()
        self._jobs.put((start, started))
        return started.result()

    def _work(self) -> None:
        while True:
            start, started = self._jobs.get()
            try:
                started.set_result(start())
            except BaseException as fault:  # noqa: BLE001 - it is raised where it was asked for
                started.set_exception(fault)
            del start, started


_Started = Future[subprocess.Popen[bytes]]
_nursery = _Nursery()


def _said(status: int) -> str:
    """Say how a process ended."""
    if status >= 0:
        return f"exited with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = "unknown"
    return f"was killed by signal {-status} ({name})"
