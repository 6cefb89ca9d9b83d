"""A real registry of real models behind both transports, in the test's process."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.clock import SystemClock
from engine.execution.host import Host
from engine.options import ModelControlMode, ServeOptions
from engine.repository.registry import Registry
from support.in_thread import Ports, listening
from support.oracle_clients import Asked, Oracle

CLIENTS = ("http", "grpc", "http.aio", "grpc.aio")
X = np.arange(4, dtype=np.float32).reshape(1, 4)
ECHO = """
backend: "synthetic"
max_batch_size: %d
input [ { name: "INPUT0" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "OUTPUT0" data_type: TYPE_FP32 dims: [ 4 ] } ]
instance_group [ { kind: KIND_CPU count: 1 } ]
"""


def write_echo(
    repository: Path, name: str, more: str = "", versions: tuple[str, ...] = ("1",), size: int = 4
) -> Path:
    """Write a model that gives its input back; ``more`` is appended to its configuration."""
    folder = repository / name
    for version in versions:
        (folder / version).mkdir(parents=True, exist_ok=True)
    folder.mkdir(exist_ok=True)
    (folder / "config.pbtxt").write_text(ECHO % size + more, encoding="utf-8")
    return folder


@dataclass(frozen=True)
class Controlled:
    """A server, and ways to ask it."""

    ports: Ports
    registry: Registry
    repository: Path

    def client(self, kind: str) -> Oracle:
        """Give one of NVIDIA's four clients."""
        return Oracle(kind, self.ports.http.port, self.ports.grpc.port)

    def post(self, path: str, body: object = None) -> tuple[int, bytes]:
        """Post bytes, or JSON, as they are; give the status and the body of the answer."""
        return self._ask("POST", path, body)

    def get(self, path: str) -> tuple[int, bytes]:
        """Ask for a path."""
        return self._ask("GET", path, None)

    def _ask(self, method: str, path: str, body: object) -> tuple[int, bytes]:
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        with closing(http.client.HTTPConnection("127.0.0.1", self.ports.http.port)) as connection:
            connection.request(method, path, content)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def refused(self, path: str, body: object = None) -> tuple[int, str]:
        """Post what is to be refused; give the status and the error's text."""
        status, answer = self.post(path, body)
        return status, json.loads(answer)["error"]

    def index(self) -> dict[tuple[str, str], dict[str, str]]:
        """Read the repository index, by model and version."""
        entries: list[dict[str, str]] = json.loads(self.post("/v2/repository/index")[1])
        return {(one["name"], one.get("version", "")): one for one in entries}

    def echoes(self, name: str, client: str = "http", array: Any = X) -> bool:
        """Say whether a model gives its input back."""
        answer = self.client(client).infer(Asked(name, {"INPUT0": array}))
        return bool(np.array_equal(answer.as_numpy("OUTPUT0"), array))


@contextmanager
def controlled(
    repository: Path,
    mode: ModelControlMode = ModelControlMode.EXPLICIT,
    *,
    host: Host | None = None,
    **options: Any,
) -> Iterator[Controlled]:
    """Serve a repository as it is."""
    held: list[Registry] = []

    async def opened(loop: asyncio.AbstractEventLoop) -> Registry:
        registry = Registry(
            ServeOptions(
                **{
                    "model_repository": (repository,),
                    "model_control_mode": mode,
                    "exit_on_error": False,
                    **options,
                }
            ),
            clock=SystemClock(),
            loop=loop,
            host=host or Host(cores=1),
        )
        held.append(registry)
        await registry.start()
        return registry

    async def closed() -> None:
        await held[0].stop(5.0)

    with listening(opened, closed) as ports:
        yield Controlled(ports, held[0], repository)
