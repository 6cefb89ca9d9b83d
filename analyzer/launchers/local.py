"""The local launcher: ``engine serve`` on this machine, in a process of its own.

Owns that process from its start to its end, whatever becomes of the analyzer. Rules:

1. The server runs in a session of its own: Ctrl-C in the terminal is for the analyzer to judge.
2. It is stopped with SIGTERM; what is left of its process group after that gets SIGKILL.
3. A guard, a shell that waits on a pipe from this process, does the same if this process
   dies without a word. (The kernel's own parent-death signal will not do: it follows the
   thread that started the server, and knows nothing of the server's children.)
4. An error quotes the server's own last lines.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from analyzer import v2client
from analyzer.errors import LaunchError
from analyzer.launcher import ALONE, Beside, Endpoint, Launcher
from engine.modelconfig.schema import ModelConfig

RepositoryOf = Callable[[Mapping[str, ModelConfig | None], str], Path]

HOST = "127.0.0.1"
POLL_SECONDS = 0.02
END_SECONDS = 0.2
TAIL_LINES = 30
TAIL_BYTES = 16384
#: keeps the last line it read; when its input ends, it ends that process group
GUARD = """
while read -r group; do kept=$group; done
[ -z "$kept" ] && exit
kill -s TERM -- "-$kept" 2>/dev/null || exit
for _ in 1 2 3 4 5 6 7 8 9 10; do
  sleep 0.5
  kill -s 0 -- "-$kept" 2>/dev/null || exit
done
kill -s KILL -- "-$kept" 2>/dev/null
"""


def make(  # noqa: PLR0913 - what a server is started with has as many parts
    repository_of: RepositoryOf,
    *,
    log_dir: Path,
    python: str = sys.executable,
    server_flags: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    startup_timeout_s: float = 120.0,
    stop_timeout_s: float = 10.0,
) -> Launcher:
    """Make a launcher.

    ``repository_of(configs, variant)`` writes a variant's model repository, which has the models
    that are named (under their own configuration where it is None), and returns its path. The
    server's output goes to ``log_dir``/server-<variant>.log. ``server_flags`` are passed to
    ``engine serve`` after the launcher's own, and ``environment`` is added to this process's. A
    server that does not end within ``stop_timeout_s`` of SIGTERM is killed.
    """
    limits = _Limits(startup_timeout_s, stop_timeout_s)
    how = _Command(
        (python, "-P", "-m", "engine", "serve"), tuple(server_flags), dict(environment or {})
    )
    return _LocalLauncher(repository_of, log_dir, how, limits)


class _Limits(NamedTuple):
    startup_s: float
    stop_s: float


class _Command(NamedTuple):
    """How a server is started: what runs, the user's flags, the variables added."""

    words: tuple[str, ...]
    flags: tuple[str, ...]
    environment: Mapping[str, str]


class _LocalLauncher:
    def __init__(
        self, repository_of: RepositoryOf, log_dir: Path, command: _Command, limits: _Limits
    ) -> None:
        self._repository_of = repository_of
        self._log_dir = log_dir
        self._command = command
        self._limits = limits
        self._server: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._log: Path | None = None
        self._log_start = 0

    def serve(
        self, model: str, config: ModelConfig | None, *, variant: str, beside: Beside = ALONE
    ) -> Endpoint:
        """Stop what runs, start a fresh server, and wait until the model is ready.

        Raises:
            LaunchError: it ended, or was not ready in time.
        """
        self._stop()
        repository = self._repository_of({model: config, **beside}, variant)
        ports_file = self._log_dir / f".ports-{variant}.json"
        try:
            self._start(repository, ports_file, variant)
            deadline = time.monotonic() + self._limits.startup_s
            endpoint = self._await_ready((model, *beside), ports_file, deadline)
        except BaseException:
            self._stop()
            raise
        finally:
            ports_file.unlink(missing_ok=True)
        return endpoint

    def why_ended(self) -> str:
        """Say how the server ended, with its last lines; "" while it runs."""
        if self._server is None:
            return ""
        try:
            # A client hears of the end before the parent does.
            code = self._server.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            return ""
        return self._failed(f"the server ended {_ended(code)}").message

    def log_tail(self) -> str:
        """Return the last lines that the current or latest server wrote."""
        if self._log is None:
            return ""
        with self._log.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(self._log_start, size - TAIL_BYTES))
            text = log.read().decode("utf-8", "replace")
        return "\n".join(text.splitlines()[-TAIL_LINES:])

    def close(self) -> None:
        """Stop the server and the guard."""
        self._stop()
        if self._guard is not None:
            _end_input(self._guard)
            self._guard.wait()
            self._guard = None
        atexit.unregister(self.close)

    def _start(self, repository: Path, ports_file: Path, variant: str) -> None:
        self._log_dir.mkdir(parents=True, exist_ok=True)
        ports_file.unlink(missing_ok=True)
        command = [*self._command.words, f"--model-repository={repository}"]
        for name in ("http", "grpc", "metrics"):
            command += [f"--{name}-port=0", f"--{name}-address={HOST}"]
        command += [f"--ports-file={ports_file}", *self._command.flags]
        self._log = self._log_dir / f"server-{variant}.log"
        guard = self._guarded()
        with self._log.open("ab") as log:
            self._log_start = log.seek(0, os.SEEK_END)
            try:
                self._server = subprocess.Popen(  # noqa: S603 - the engine, or what the user named
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    env={**os.environ, **self._command.environment},
                )
            except OSError as error:
                raise LaunchError(
                    f"cannot start {self._command.words[0]}: {error.strerror}"
                ) from error
        _tell(guard, f"{self._server.pid}\n")

    def _guarded(self) -> subprocess.Popen[bytes]:
        """Return the guard, started if it is not there yet."""
        if self._guard is None or self._guard.poll() is not None:
            atexit.register(self.close)
            self._guard = subprocess.Popen(  # noqa: S603 - our own script
                ["/bin/sh", "-c", GUARD],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        return self._guard

    def _await_ready(self, models: Sequence[str], ports_file: Path, deadline: float) -> Endpoint:
        """Wait for the ports, then for the server, then ask for the models."""
        assert self._server is not None
        endpoint: Endpoint | None = None
        while endpoint is None or not v2client.ready(endpoint):
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self._server.wait(POLL_SECONDS)
                raise self._failed(f"the server ended {_ended(code)}")
            if time.monotonic() > deadline:
                raise self._failed(f"the server was not ready within {self._limits.startup_s:g} s")
            if endpoint is None and ports_file.exists():
                endpoint = _endpoint(json.loads(ports_file.read_text()), self._server.pid)
        for model in models:
            if not v2client.model_ready(endpoint, model):
                raise self._failed(f"the server runs, but {_why_not_ready(endpoint, model)}")
        return endpoint

    def _failed(self, what: str) -> LaunchError:
        tail = self.log_tail() or "(nothing)"
        return LaunchError(f"{what}; its last lines ({self._log}):\n{tail}")

    def _stop(self) -> None:
        """End the server's whole process group."""
        server, self._server = self._server, None
        if server is None:
            return
        if server.poll() is None:
            server.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(self._limits.stop_s)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()
        if self._guard is not None:
            _tell(self._guard, "\n")


def _endpoint(ports: dict[str, int | None], pid: int) -> Endpoint:
    def address(name: str) -> str | None:
        return f"{HOST}:{ports[name]}" if ports.get(name) else None

    http = address("http")
    if http is None:
        raise LaunchError("the server opened no HTTP port; leave --allow-http on")
    return Endpoint(http, grpc=address("grpc"), metrics=address("metrics"), pid=pid)


def _ended(code: int) -> str:
    """Say how a process ended, by its return code."""
    if code >= 0:
        return f"with exit status {code}"
    names = {int(each): each.name for each in signal.Signals}
    return f"by {names.get(-code, f'signal {-code}')}"


def _why_not_ready(endpoint: Endpoint, model: str) -> str:
    """Say what the server's index says of a model that is not ready."""
    entries = [entry for entry in v2client.index(endpoint) if entry.name == model]
    reasons = [f"{entry.state} {entry.reason}".strip() for entry in entries]
    return f"model {model!r} is not ready: {'; '.join(reasons) or 'it is not in the repository'}"


def _tell(guard: subprocess.Popen[bytes], text: str) -> None:
    with contextlib.suppress(BrokenPipeError):
        stdin = _input(guard)
        stdin.write(text.encode())
        stdin.flush()


def _end_input(guard: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(BrokenPipeError):
        _input(guard).close()


def _input(guard: subprocess.Popen[bytes]) -> IO[bytes]:
    assert guard.stdin is not None
    return guard.stdin
