"""Requests for models that see requests, and what they are answered."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from engine.backend import Work
from engine.errors import EngineError, Internal
from engine.types import Array, DType, InferRequest, Parameter, RequestedOutput, Tensor

Answer = tuple[Tensor, ...] | EngineError | None
_DTYPES = {one.numpy: one for one in DType if one is not DType.BF16}


class Kept:
    """A way out that keeps what it is given; ``over`` is set by the final answer."""

    def __init__(self) -> None:
        self.cancelled = False
        self.watching: Callable[[], None] = lambda: None
        self.answers: list[Answer] = []
        self.parameters: list[Mapping[str, Parameter]] = []
        self.over = threading.Event()

    def watch(self, callback: Callable[[], None]) -> None:
        self.watching = callback

    def cancel(self) -> None:
        self.cancelled = True
        self.watching()

    def send(
        self, outputs: Answer, *, final: bool, parameters: Mapping[str, Parameter] | None = None
    ) -> None:
        if self.over.is_set():
            raise Internal("Response sender has been closed")
        self.answers.append(outputs)
        self.parameters.append(parameters or {})
        if final:
            self.over.set()


@dataclass(frozen=True)
class Asked:
    """A request for an executor, with its way out."""

    request: InferRequest
    kept: Kept = field(default_factory=Kept)

    @property
    def work(self) -> Work:
        return Work(self.request, self.kept)

    @property
    def answers(self) -> list[Answer]:
        return self.kept.answers


def work(inputs: Mapping[str, Array], outputs: Sequence[str] = (), **fields: object) -> Asked:
    """Ask for ``outputs`` of ``inputs``."""
    tensors = tuple(Tensor(name, _DTYPES[array.dtype], array) for name, array in inputs.items())
    wanted = tuple(map(RequestedOutput, outputs))
    return Asked(InferRequest(inputs=tensors, outputs=wanted, **fields))  # type: ignore[arg-type]
