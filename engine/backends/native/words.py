"""What the server and a native model's process say to each other; values only.

The server says ``Complete`` or ``Load`` first, and hears ``Done``. Requests and calls have numbers,
which the one who makes them chooses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.backends.native.executor import Order
from engine.errors import EngineError
from engine.types import InferRequest, InferResponse, Parameter, Tensor


@dataclass(frozen=True, slots=True)
class Complete:
    """Complete a configuration; the answer is ``Done``."""

    order: Order


@dataclass(frozen=True, slots=True)
class Load:
    """Make an instance, on these cores; the answer is ``Done``."""

    order: Order
    cores: frozenset[int]


@dataclass(frozen=True, slots=True)
class Done:
    """What was asked for first was done, or not; ``text`` is a completed configuration."""

    fault: EngineError | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Execute:
    """Execute a batch; the answer, after those of the requests, is ``Executed``."""

    requests: tuple[tuple[int, InferRequest], ...]


@dataclass(frozen=True, slots=True)
class Sent:
    """A request is answered."""

    request: int
    outputs: tuple[Tensor, ...] | EngineError | None
    final: bool
    parameters: Mapping[str, Parameter] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Executed:
    """``execute`` has returned."""

    fault: EngineError | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Is a request still wanted? Asked by the child, answered by ``Said``."""

    number: int
    request: int


@dataclass(frozen=True, slots=True)
class Ready:
    """Can the instance answer? Asked by the server, answered by ``Said``."""

    number: int


@dataclass(frozen=True, slots=True)
class Said:
    """The answer to ``Wanted`` or ``Ready``."""

    number: int
    yes: bool
    fault: EngineError | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask another model, for the child."""

    number: int
    model: str
    version: int
    request: InferRequest


@dataclass(frozen=True, slots=True)
class Answered:
    """What another model answered."""

    number: int
    answer: InferResponse | EngineError
    final: bool


@dataclass(frozen=True, slots=True)
class Logged:
    """A line for the server's log."""

    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Close:
    """Unmake the instance, and end."""
