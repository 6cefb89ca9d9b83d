"""NVIDIA's gRPC client with one stream open, and what comes back on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import tritonclient.grpc
from tritonclient.utils import np_to_triton_dtype

PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True)
class Came:
    """One message of a stream: a response, or an error."""

    result: Any
    error: Any

    @property
    def final(self) -> bool:
        final: bool = self.result.get_response().parameters["triton_final_response"].bool_param
        return final

    @property
    def id(self) -> str:
        name: str = self.result.get_response().id
        return name

    @property
    def empty(self) -> bool:
        return len(self.result.get_response().outputs) == 0

    def value(self, output: str) -> Any:
        return self.result.as_numpy(output).ravel().tolist()


def spelled(inputs: Mapping[str, Any], module: Any = tritonclient.grpc) -> list[Any]:
    """Write inputs as the client has them."""
    made = []
    for name, array in inputs.items():
        one = module.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
        one.set_data_from_numpy(array)
        made.append(one)
    return made


class Streaming:
    """A client with a stream."""

    def __init__(self, port: int, headers: Mapping[str, str] | None = None) -> None:
        self._came: SimpleQueue[Came] = SimpleQueue()
        self.client = tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{port}")
        self.client.start_stream(self._take, headers=dict(headers or {}))

    def _take(self, result: Any, error: Any) -> None:
        self._came.put(Came(result, error))

    def send(self, model: str, inputs: Mapping[str, Any], name: str = "", **more: Any) -> None:
        self.client.async_stream_infer(model, spelled(inputs), request_id=name, **more)

    def next(self) -> Came:
        return self._came.get(timeout=PATIENCE_S)

    def quiet(self) -> bool:
        """Whether nothing has come that was not read."""
        return self._came.empty()

    def stop(self, *, cancel: bool = False) -> None:
        """Send no more; wait for the rest, or take it back."""
        self.client.stop_stream(cancel_requests=cancel)

    def close(self) -> None:
        self.stop(cancel=True)
        self.client.close()


@contextmanager
def streaming(port: int, headers: Mapping[str, str] | None = None) -> Iterator[Streaming]:
    stream = Streaming(port, headers)
    try:
        yield stream
    finally:
        stream.close()
