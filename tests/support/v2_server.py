"""A small real V2 server over HTTP: canned metadata, counted statistics, faults on demand.

It speaks the protocol by hand, so that the analyzer's clients are not tested against the
codecs they share with the engine. Run as a program it takes the arguments of
``python -m engine serve`` (see ``main``): a launcher can be given it for an interpreter.
"""

import argparse
import asyncio
import gc
import json
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

Reply = tuple[int, bytes]

#: of the loop, from a connection's being accepted to its being served
TURNS = 5

METADATA: dict[str, Any] = {
    "versions": ["1"],
    "platform": "onnxruntime_onnx",
    "inputs": [
        {"name": "INPUT0", "datatype": "FP32", "shape": [-1, 16]},
        {"name": "TOKENS", "datatype": "INT64", "shape": [-1, -1]},
    ],
    "outputs": [{"name": "OUTPUT0", "datatype": "FP32", "shape": [-1, 16]}],
}
CONFIG: dict[str, Any] = {
    "platform": "onnxruntime_onnx",
    "backend": "onnxruntime",
    "max_batch_size": 8,
    "input": [
        {"name": "INPUT0", "data_type": "TYPE_FP32", "dims": [16]},
        {"name": "TOKENS", "data_type": "TYPE_INT64", "dims": [-1]},
    ],
    "output": [{"name": "OUTPUT0", "data_type": "TYPE_FP32", "dims": [16]}],
}


@dataclass
class Faults:
    """What goes wrong. ``refuse_every`` n: each nth inference is answered with an error."""

    latency_s: float = 0.0
    refuse_every: int = 0
    drop_every: int = 0
    hang_after: int | None = None
    close_each: bool = False
    no_statistics: bool = False
    no_config: bool = False
    no_model_control: bool = False
    load_error: str = ""


@dataclass
class Model:
    config: dict[str, Any]
    ready: bool = True
    requests: int = 0
    failed: int = 0
    loads: list[dict[str, Any] | None] = field(default_factory=list)
    #: what it says of itself instead of what was counted
    statistics: dict[str, Any] | None = None


class _Connection(asyncio.StreamReaderProtocol):
    """A connection that is known from the first: its task may end before it has begun."""

    def __init__(self, known: set[asyncio.Transport], serve: Any) -> None:
        super().__init__(asyncio.StreamReader(), serve)
        self._known = known

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._known.add(cast("asyncio.Transport", transport))
        super().connection_made(transport)


@dataclass
class V2Server:
    """The models it serves (by name) and its faults; ``start`` binds a port of 127.0.0.1."""

    faults: Faults = field(default_factory=Faults)
    models: dict[str, Model] = field(default_factory=dict)
    bodies: list[bytes] = field(default_factory=list)
    port: int = 0
    listening: asyncio.Server | None = None
    open: set[asyncio.StreamWriter] = field(default_factory=set)
    serving: set[asyncio.Task[Any]] = field(default_factory=set)
    connections: set[asyncio.Transport] = field(default_factory=set)

    def add(self, name: str, /, **changes: Any) -> Model:
        self.models[name] = Model({"name": name, **CONFIG, **changes})
        return self.models[name]

    async def start(self) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self._protocol, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        self.listening = server
        return server

    def _protocol(self) -> asyncio.StreamReaderProtocol:
        return _Connection(self.connections, self._serve)

    def vanish(self) -> None:
        """Stop listening and drop every connection, as a server that crashed. Any thread."""
        server, self.listening = self.listening, None
        assert server is not None
        loop = server.get_loop()
        loop.call_soon_threadsafe(server.close)
        for writer in tuple(self.open):
            loop.call_soon_threadsafe(writer.transport.abort)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open.add(writer)
        task = asyncio.current_task()
        assert task is not None
        self.serving.add(task)
        task.add_done_callback(self.serving.discard)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next(
                    (
                        int(line.split(":")[1])
                        for line in head.split("\r\n")
                        if line.lower().startswith("content-length:")
                    ),
                    0,
                )
                body = await reader.readexactly(length)
                method, path = head.split(" ", 2)[:2]
                reply = await self._answer(method, path, body)
                if reply is None:
                    return
                last = self.faults.close_each or "connection: close" in head.lower()
                writer.write(_message(*reply, last=last))
                await writer.drain()
                if last:
                    return
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            return
        finally:
            writer.close()
            with suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()
                self.open.discard(writer)

    async def _answer(self, method: str, path: str, body: bytes) -> Reply | None:
        reply: Reply | None = _error(404, "Not Found")
        match method, path.strip("/").split("/"):
            case "GET", ["v2", "health", "ready" | "live"]:
                reply = 200, b""
            case "GET", ["v2"]:
                reply = _json({"name": "tiny", "version": "1", "extensions": ["statistics"]})
            case "POST", ["v2", "repository", "index"]:
                reply = _json([self._entry(name) for name in self.models])
            case "POST", ["v2", "repository", "models", name, verb]:
                reply = self._control(name, verb, json.loads(body or b"{}"))
            case "GET", ["v2", "models", "stats"]:
                every = [_statistics(name, model) for name, model in self.models.items()]
                reply = _json({"model_stats": every})
            case _, ["v2", "models", name, *rest]:
                reply = await self._ask(name, rest, body)
        return reply

    async def _ask(self, name: str, rest: list[str], body: bytes) -> Reply | None:
        model = self.models.get(name)
        if model is None:
            return _error(404, f"Request for unknown model: '{name}' is not found")
        reply: Reply | None = _error(404, "Not Found")
        match rest:
            case []:
                reply = _json({"name": name, **METADATA})
            case ["ready"]:
                reply = (200, b"") if model.ready else (400, b"")
            case ["config"] if not self.faults.no_config:
                reply = _json(model.config)
            case ["stats"] if not self.faults.no_statistics:
                reply = _json({"model_stats": [_statistics(name, model)]})
            case ["infer"]:
                reply = await self._infer(model, body)
        return reply

    async def _infer(self, model: Model, body: bytes) -> Reply | None:
        faults = self.faults
        self.bodies = [*self.bodies[-3:], body]
        count = model.requests + model.failed + 1
        if faults.hang_after is not None and count > faults.hang_after:
            await asyncio.Event().wait()
        if faults.latency_s:
            waited = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_later(faults.latency_s, waited.set_result, None)
            await waited
        if faults.drop_every and count % faults.drop_every == 0:
            model.failed += 1
            return None
        if faults.refuse_every and count % faults.refuse_every == 0:
            model.failed += 1
            return _error(400, "the model ate it")
        model.requests += 1
        return 200, b"x" * 64

    def _entry(self, name: str) -> dict[str, str]:
        ready = self.models[name].ready
        state = {"state": "READY"} if ready else {"state": "UNAVAILABLE", "reason": "unloaded"}
        return {"name": name, "version": "1", **state}

    def _control(self, name: str, verb: str, asked: dict[str, Any]) -> Reply:
        if self.faults.no_model_control:
            text = "explicit model load / unload is not allowed if polling is enabled"
            return _error(503, text)
        model = self.models.get(name)
        if model is None:
            text = f"failed to load '{name}', failed to poll from model repository"
            return _error(500, text)
        if verb == "unload":
            model.ready = False
            return 200, b""
        if self.faults.load_error:
            return _error(400, f"load failed for model '{name}': {self.faults.load_error}")
        text = asked.get("parameters", {}).get("config")
        override = None if text is None else json.loads(text)
        model.loads.append(override)
        model.config = override or {"name": name, **CONFIG}
        model.ready = True
        return 200, b""


def _statistics(name: str, model: Model) -> dict[str, Any]:
    """1000 ns a request: 100 in the queue, 200, 600 and 100 in the three parts of the compute."""
    if model.statistics is not None:
        return {"name": name, **model.statistics}
    count = model.requests

    def times(ns: int) -> dict[str, int]:
        return {"count": count, "ns": count * ns}

    return {
        "name": name,
        "version": "1",
        "inference_count": count,
        "execution_count": count // 2,
        "inference_stats": {
            "success": times(1000),
            "fail": {"count": model.failed, "ns": 0},
            "queue": times(100),
            "compute_input": times(200),
            "compute_infer": times(600),
            "compute_output": times(100),
        },
    }


def _json(plain: Any) -> Reply:
    return 200, json.dumps(plain).encode()


def _error(status: int, text: str) -> Reply:
    return status, json.dumps({"error": text}).encode()


def _message(status: int, body: bytes, *, last: bool) -> bytes:
    close = "Connection: close\r\n" if last else ""
    return f"HTTP/1.1 {status} X\r\n{close}Content-Length: {len(body)}\r\n\r\n".encode() + body


@contextmanager
def running(server: V2Server) -> Iterator[V2Server]:
    """Run the server in a thread of its own; its fields may be read and faults set meanwhile."""
    started = threading.Event()
    over: list[Callable[[], object]] = []

    async def serve() -> None:
        end = asyncio.Event()
        loop = asyncio.get_running_loop()
        over.append(lambda: loop.call_soon_threadsafe(end.set))
        listening = await server.start()
        started.set()
        await end.wait()
        listening.close()
        # What is just being accepted becomes a connection first: left alone, it would stay open.
        for _ in range(TURNS):
            while others := asyncio.all_tasks() - {asyncio.current_task()}:
                for task in server.serving:
                    task.cancel()
                await asyncio.wait(others, timeout=0.1)
            for transport in server.connections:
                transport.abort()
            turn = loop.create_future()
            loop.call_soon(turn.set_result, None)
            await turn

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert started.wait(10)
    try:
        yield server
    finally:
        over[0]()
        thread.join(10)
        # A connection of a client that was killed may be left; it is nobody's fault later on.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


def main(arguments: list[str]) -> int:
    """Behave as ``[-P] -m engine serve ...`` does, and misbehave as the repository asks.

    The model repository may hold ``faults.json``: ``{"die": text}`` ends the program before it
    is ready, ``{"never_ready": true}`` keeps the ports to itself, ``{"deaf": true}`` ignores
    SIGTERM, ``{"child": true}`` starts a child that would outlive it. A model's ``config.json``
    changes the configuration.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("-P", action="store_true")
    parser.add_argument("-m")
    parser.add_argument("verb")
    parser.add_argument("--model-repository", type=Path, required=True)
    parser.add_argument("--ports-file", type=Path, required=True)
    for name in ("http", "grpc", "metrics"):
        parser.add_argument(f"--{name}-port", type=int)
    asked, _ = parser.parse_known_args(arguments)
    faults_file = asked.model_repository / "faults.json"
    faults = json.loads(faults_file.read_text()) if faults_file.exists() else {}
    sys.stderr.write(f"tiny server: {' '.join(arguments)}\n")
    sys.stderr.flush()
    if "die" in faults:
        sys.stderr.write(f"{faults['die']}\n")
        return 1
    if faults.get("deaf"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if faults.get("child"):
        child = subprocess.Popen(["tail", "-f", "/dev/null"])
        (asked.model_repository / "child.pid").write_text(str(child.pid))
    server = V2Server()
    for path in asked.model_repository.iterdir():
        if path.is_dir():
            config = path / "config.json"
            server.add(path.name, **(json.loads(config.read_text()) if config.exists() else {}))
    asyncio.run(_serve_forever(server, None if faults.get("never_ready") else asked.ports_file))
    return 0


async def _serve_forever(server: V2Server, ports_file: Path | None) -> None:
    listening = await server.start()
    if ports_file is not None:
        fresh = ports_file.with_suffix(".new")
        ports = {"http": server.port, "grpc": None, "metrics": None}
        fresh.write_text(json.dumps(ports))
        fresh.rename(ports_file)
    async with listening:
        await listening.serve_forever()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
