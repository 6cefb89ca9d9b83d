"""Models behind a real server, and what it takes to see which requests ran together.

A request is a number: its input X is full of it, so that what a run was given tells who was in
it, and in which order.
"""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

from engine.execution.host import Host
from engine.options import ServeOptions
from engine.repository.registry import Registry
from support.conditions import within
from support.in_thread import Ports
from support.recorder import Recorder, recording

KITS: dict[str, Any] = {"http": tritonclient.http, "grpc": tritonclient.grpc}
PATIENCE_S = 20.0


@dataclass
class Line:
    """Those who queue at a server; every model has one instance that runs while doors are open."""

    ports: Ports
    recorder: Recorder
    registry: Registry
    workers: ThreadPoolExecutor
    sent: list[Future[Any]] = field(default_factory=list)

    def ask(self, model: str, number: int, *, rows: int = 1, kit: str = "http", **more: Any) -> Any:
        """Send a request on a thread of its own; a future of its result. ``width`` of X is 2."""
        x = np.full((rows, more.pop("width", 2)), number, np.float32)
        future = self.workers.submit(self.infer, model, {"X": x, **more.pop("also", {})}, kit, more)
        self.sent.append(future)
        return future

    def queue(self, model: str, number: int, **more: Any) -> Any:
        """Send a request, and wait until it waits."""
        waiting = self.pending(model) + 1
        future = self.ask(model, number, **more)
        assert within(lambda: self.pending(model) == waiting or future.done()), (
            f"{number} at {model}"
        )
        return future

    def infer(self, model: str, arrays: dict[str, Any], kit: str, more: dict[str, Any]) -> Any:
        """Ask by NVIDIA's client."""
        with self.client(kit) as client:
            return client.infer(model, spelled(KITS[kit], arrays), **more)

    def client(self, kit: str) -> Any:
        port = self.ports.http.port if kit == "http" else self.ports.grpc.port
        return KITS[kit].InferenceServerClient(f"127.0.0.1:{port}")

    def pending(self, model: str) -> int:
        """How many wait at a model."""
        return self.ports.on_loop(lambda: self.registry.get(model).pending)

    @contextmanager
    def occupied(self, model: str, rows: int = 4) -> Iterator[None]:
        """Have the model's instance run request 0 until the end; then wait for all who were sent.

        ``rows`` are so many that it leaves at once.
        """
        self.recorder.forget()
        with self.recorder.doors_closed():
            self.ask(model, 0, rows=rows)
            self.recorder.wait_for(1, model)
            yield
        self.settle()

    def settle(self) -> None:
        """Wait until whoever was sent has an answer."""
        for future in self.sent:
            future.exception(PATIENCE_S)
        self.sent.clear()

    def ran(self, model: str) -> list[list[int]]:
        """Who ran, run by run, request 0 left out."""
        runs = [
            [int(row.flat[0]) for row in inputs["X"]]
            for name, inputs in self.recorder.seen
            if name == model
        ]
        return [run for run in runs if set(run) != {0}]

    def batch_sizes(self, model: str) -> dict[int, int]:
        """How many runs there were of each batch size, by the server's own statistics."""
        with self.client("http") as client:
            (one,) = client.get_inference_statistics(model)["model_stats"]
        stats = one["batch_stats"]
        return {int(size["batch_size"]): size["compute_infer"]["count"] for size in stats}

    def failures(self, model: str, reason: str) -> float:
        """What the metrics say failed for a reason."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports.metrics.port}/metrics") as page:
            lines = page.read().decode().splitlines()
        return sum(
            float(line.rpartition(" ")[2])
            for line in lines
            if line.startswith("nv_inference_request_failure{")
            and f'model="{model}"' in line
            and f'reason="{reason}"' in line
        )


def spelled(kit: Any, arrays: dict[str, Any]) -> list[Any]:
    """Write inputs in a client's terms."""
    kinds = {np.dtype(np.float32): "FP32", np.dtype(np.int32): "INT32"}
    inputs = []
    for name, array in arrays.items():
        one = kit.InferInput(name, list(array.shape), kinds[array.dtype])
        one.set_data_from_numpy(array)
        inputs.append(one)
    return inputs


def refusal(future: Any) -> tuple[str, str]:
    """Wait for a request that is refused; its status and message."""
    error = future.exception(PATIENCE_S)
    assert isinstance(error, InferenceServerException), error
    return str(error.status()), error.message()


@contextmanager
def lining_up(repository: Path) -> Iterator[Line]:
    """Serve a repository."""
    recorder, options = Recorder(), ServeOptions(model_repository=(repository,))
    with (
        recording(options, Host(cores=2), recorder) as (ports, registry),
        ThreadPoolExecutor(32) as workers,
    ):
        yield Line(ports, recorder, registry, workers)
