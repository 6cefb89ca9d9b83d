"""Where parts work: a place for files, a server, a client that needs nothing but the engine."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Self

import numpy as np

from analyzer import v2client
from analyzer.launcher import Endpoint
from benchmarks.server import Server, running
from engine import examples
from engine.types import Array, InferRequest, RequestedOutput, Tensor
from engine.v2 import http
from engine.v2.call import Call, Infer

#: building a TensorRT engine, or a first look for the fastest convolutions, may take a minute
PATIENCE_S = 150.0
RESNET, MLP = "resnet50", "mlp"
ON_GPU, ON_CPU = "kind: KIND_GPU", "kind: KIND_CPU"


class NotTried(Exception):
    """A part, or a piece of one, that this machine lacks something for; the text says what."""


@dataclass(frozen=True, slots=True)
class Ground:
    """Where a part works: ``scratch`` is its own, ``models`` are examples that all parts share.

    ``gpu`` says whether there is one, ``seconds`` how long a measurement takes.
    """

    scratch: Path
    models: Path
    gpu: bool
    seconds: float

    @property
    def group(self) -> str:
        """The fields of an instance group on the GPU, or on the CPU where there is none."""
        return ON_GPU if self.gpu else ON_CPU

    def need_gpu(self) -> None:
        """Go on only where there is a GPU.

        Raises:
            NotTried: there is none.
        """
        if not self.gpu:
            raise NotTried("no GPU")

    def onnx(self, repository: str, example: str, name: str, more: str, *, batch: int = 0) -> Path:
        """Put an example into a repository, with ``more`` in place of its own instance groups.

        Returns:
            the repository.
        """
        examples.build(example, self.models)
        folder = self.scratch / repository / name
        (folder / "1").mkdir(parents=True)
        source = self.models / example
        (folder / "1" / "model.onnx").symlink_to(source / "1" / "model.onnx")
        text = (source / "config.pbtxt").read_text(encoding="utf-8")
        lines = [one for one in text.splitlines() if not one.startswith(("name:", "#"))]
        if batch:
            own = ("max_batch_size", "dynamic_batching")
            lines = [one for one in lines if not one.startswith(own)]
            lines += [f"max_batch_size: {batch}", "dynamic_batching { }"]
        config = "\n".join((f'name: "{name}"', *lines, more, ""))
        (folder / "config.pbtxt").write_text(config, encoding="utf-8")
        return folder.parent


def groups(fields: str, count: int = 1) -> str:
    """Write an instance group."""
    return f"instance_group {{ {fields} count: {count} }}"


@contextmanager
def served(repository: Path) -> Iterator[Server]:
    """Serve what can be served; what cannot is no fault of the rest."""
    flags = ("--exit-on-error=false", "--allow-client-shm=true", "--metrics-interval-ms=200")
    with running(repository, *flags, patience_s=PATIENCE_S) as server:
        yield server


def states(endpoint: Endpoint) -> Mapping[str, str]:
    """Say why each model is not served; "" for one that is."""
    return {
        one.name: "" if one.state == "READY" else one.reason or one.state
        for one in v2client.index(endpoint)
    }


def must_serve(endpoint: Endpoint, model: str) -> None:
    """Go on only if a model is served.

    Raises:
        AssertionError: it is not, and why.
    """
    if why := states(endpoint).get(model, "not in the repository"):
        raise AssertionError(f"{model} is not served: {why}")


class Client:
    """One connection, kept."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._connection = HTTPConnection(*v2client.split(endpoint.http), timeout=PATIENCE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def ask(self, call: Call) -> Any:  # noqa: ANN401 - each call has its own reply
        """Ask, and raise the server's error if that is the answer."""
        message = http.render_request(call)
        self._connection.request(
            message.method, message.target, message.body, dict(message.headers)
        )
        answer = self._connection.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return http.parse_reply(call, answer.status, headers, answer.read())

    def infer(self, model: str, *inputs: Tensor, outputs: Sequence[str] = ()) -> list[Array]:
        """Run a model; its outputs in order."""
        wanted = tuple(RequestedOutput(name, binary=True) for name in outputs)
        request = InferRequest(inputs=inputs, outputs=wanted, binary_default=True)
        return [one.array for one in self.ask(Infer(model, "", request)).outputs]


def timed(times: int, run: Any) -> Mapping[str, float]:  # noqa: ANN401 - what it returns is not wanted
    """Call something often; its least and middle time in ms."""
    spent = []
    for _ in range(times):
        began = time.perf_counter()
        run()
        spent.append((time.perf_counter() - began) * 1e3)
    return {"least ms": round(min(spent), 3), "median ms": round(float(np.median(spent)), 3)}


def apart(one: Array, other: Array) -> float:
    """How far answers are from each other, to the largest of them."""
    return float(np.abs(one.astype(np.float64) - other).max() / np.abs(other).max())


def said(command: Sequence[str], where: Path | None = None, seconds: float = 120.0) -> str:
    """Run a command and give what it printed.

    Raises:
        AssertionError: it failed, and what it said.
    """
    done = subprocess.run(  # noqa: S603 - our own commands and the driver's
        list(command), cwd=where, capture_output=True, text=True, check=False, timeout=seconds
    )
    if done.returncode:
        raise AssertionError(f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"[-4000:])
    return done.stdout


def nvidia_smi(*fields: str) -> Mapping[str, list[str]]:
    """Ask the driver's own tool, for each GPU by its UUID.

    Raises:
        NotTried: it is not there.
    """
    tool = shutil.which("nvidia-smi")
    if tool is None:
        raise NotTried("no nvidia-smi")
    query = f"--query-gpu={','.join(('uuid', *fields))}"
    lines = said([tool, query, "--format=csv,noheader,nounits"]).splitlines()
    parts = [[one.strip() for one in line.split(",")] for line in lines]
    return {one[0]: one[1:] for one in parts}
