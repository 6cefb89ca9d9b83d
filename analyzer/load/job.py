"""What one sender is to do. It goes to a process of our own, from its parent, as a pickle."""

from __future__ import annotations

import pickle
import struct
from dataclasses import dataclass
from io import RawIOBase
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analyzer.load.arrivals import Schedule, Staircase
    from analyzer.load.client import Message
    from analyzer.load.sequences import SequencePlan, Step
    from analyzer.tls import Tls

_LENGTH = struct.Struct("<I")
STOP = "stop"
BEGIN = "begin"
PAUSE = "pause"


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    """The messages of one item, sent in rotation; how likely it comes is ``weight``.

    An item of sequences has the requests of each instead.
    """

    weight: float
    messages: tuple[Message, ...] = ()
    sequences: tuple[tuple[Step, ...], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One sender's share of a run. ``index`` is its place among ``senders``.

    With a ``schedule`` it sends every ``senders``-th of its requests, at most ``slots`` at once;
    without, ``stairs`` says how many are in flight, ``slots`` of them its own. ``count`` is how
    many it sends in all, 0: until it is told to stop. It connects ``ahead`` slots before it is
    ready; ``elastic`` says that fewer slots will do where not as many connections can be opened.
    With ``sequences`` each slot has one at a time, and what is due waits for a slot.
    """

    protocol: str
    host: str
    port: int
    supplies: tuple[Supply, ...]
    slots: int
    ahead: int
    elastic: bool = False
    index: int = 0
    senders: int = 1
    schedule: Schedule | None = None
    stairs: Staircase | None = None
    count: int = 0
    checked: bool = False
    seed: int = 0
    sequences: SequencePlan | None = None
    streaming: bool = False
    compression: str = "none"
    headers: tuple[tuple[str, str], ...] = ()
    tls: Tls | None = None


def job_frame(job: Job) -> bytes:
    """Spell a job."""
    plain = pickle.dumps(job, protocol=pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(plain)) + plain


def read_job(pipe: RawIOBase) -> Job:
    """Read a job from the parent's pipe, and nothing behind it.

    Raises:
        EOFError: the parent is gone.
    """
    (length,) = _LENGTH.unpack(_exactly(pipe, _LENGTH.size))
    # Only the parent, who could run anything here anyway, writes to this pipe.
    job: Any = pickle.loads(_exactly(pipe, length))  # noqa: S301 - as said above
    assert isinstance(job, Job)
    return job


def _exactly(pipe: RawIOBase, length: int) -> bytes:
    parts = []
    while length:
        part = pipe.read(length)
        if not part:
            raise EOFError("the analyzer is gone")
        parts.append(part)
        length -= len(part)
    return b"".join(parts)
