"""What the analyzer and its load client say to one another: one JSON object a line. Pure.

To the client: a ``Job``, then perhaps the line ``stop``. From it: ``Alive`` every second,
``Warmed`` once, each ``WindowSample`` as its window ends, and last either ``Driven`` or
``Failed``. Owns the spelling, both ways; does not own the pipes.
"""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from analyzer.launcher import Endpoint
from analyzer.load.driven import Driven, Times
from analyzer.load.records import Records
from analyzer.load.window import WindowSample
from analyzer.metrics import server_times_of
from analyzer.record.row import LoadSpec, load_of

STOP = "stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to load, and how; ``request`` is the whole message, as it goes over the wire."""

    endpoint: Endpoint
    model: str
    load: LoadSpec
    request: bytes


@dataclass(frozen=True, slots=True)
class Alive:
    """A sign of life: how many requests were answered so far, and how many are in flight."""

    answered: int
    in_flight: int


@dataclass(frozen=True, slots=True)
class Warmed:
    """The warm-up is over; what it took is not counted."""

    requests: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Failed:
    """The run failed; why."""

    message: str


Line = Alive | Warmed | WindowSample | Driven | Failed


def job_to_line(job: Job) -> str:
    """Spell a job as one line, without its line end."""
    plain = {
        "endpoint": asdict(job.endpoint),
        "model": job.model,
        "load": asdict(job.load),
        "request": base64.b64encode(job.request).decode(),
    }
    return json.dumps(plain)


def line_to_job(line: str) -> Job:
    """Read a job.

    Raises:
        ValueError: the line is not one.
    """
    try:
        plain = json.loads(line)
        return Job(
            endpoint=Endpoint(**plain["endpoint"]),
            model=plain["model"],
            load=load_of(plain["load"]),
            request=base64.b64decode(plain["request"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a job: {error!r}") from error


def to_line(said: Line) -> str:
    """Spell what the client says, without its line end."""
    if isinstance(said, Driven):
        said = replace(said, records=Records.none(), service=Times(), send_lag=Times())
    plain = asdict(said)
    if isinstance(said, Driven):
        del plain["records"], plain["service"], plain["send_lag"]
        latency = np.ascontiguousarray(said.latency_ns, dtype="<i8").tobytes()
        plain["latency_ns"] = base64.b64encode(latency).decode()
    return json.dumps({"kind": _KINDS[type(said)], **plain})


def from_line(line: str) -> Line:
    """Read what the client says.

    Raises:
        ValueError: the line is nothing that it says.
    """
    try:
        plain = json.loads(line)
        kind = _BY_KIND[plain.pop("kind")]
        if kind is Driven:
            return _driven(plain)
        said: Line = kind(**plain)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"not a line of the load client: {error!r}") from error
    return said


_KINDS: dict[type, str] = {
    Alive: "alive",
    Warmed: "warmed",
    WindowSample: "window",
    Driven: "result",
    Failed: "failed",
}
_BY_KIND: dict[str, Any] = {kind: said for said, kind in _KINDS.items()}


def _driven(plain: dict[str, Any]) -> Driven:
    server = plain.pop("server")
    return Driven(
        **{
            **plain,
            "latency_ns": np.frombuffer(base64.b64decode(plain["latency_ns"]), dtype="<i8"),
            "window_rates": tuple(plain["window_rates"]),
            "flags": tuple(plain["flags"]),
            "samples": (),
            "server": None if server is None else server_times_of(server),
        }
    )
