"""What a sender tells of itself about ten times a second. Pure.

A frame on the pipe is a length, JSON, a length, and raw records. Owns the spelling, both ways; does
not own the pipe.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

#: a record as the standard library's ``struct`` packs it; ``records.RECORD`` reads it
LAYOUT = "<qqqqqQiIH6x"
RECORD_BYTES = struct.calcsize(LAYOUT)
_LENGTHS = struct.Struct("<II")
#: no head is longer: what seems to be is no frame
_LONGEST = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The sender is connected and waits for its start. ``cpu_ns`` is its CPU time so far."""

    cpu_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """What ended since the last chunk, and how things stand at ``upto_ns``.

    ``records`` are raw, of dtype ``RECORD``; ``errors`` are the texts that are new in it.
    ``in_flight`` were under way; ``area`` is the integral of their number since the start, in ns.
    ``cpu_ns`` is the sender's CPU time so far, ``dropped`` how many requests it dropped so far.
    ``responses`` are raw int64, of all records in order, where they are kept.
    """

    upto_ns: int
    in_flight: int
    area: int
    cpu_ns: int
    dropped: int
    errors: tuple[str, ...] = ()
    records: bytes = b""
    responses: bytes = b""

    @property
    def ended(self) -> int:
        """How many requests ended."""
        return len(self.records) // RECORD_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """The sender was told to pause, and has its answers: it waits for the next beginning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """Nothing is in flight any more, or it was waited for long enough: ``abandoned`` are."""

    abandoned: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The sender cannot go on; why."""

    message: str


Said = Ready | Chunk | Drained | Ended | Failed


def frame(said: Said) -> bytes:
    """Spell what a sender says."""
    raw = b""
    if isinstance(said, Chunk):
        raw = said.records + said.responses
        head = {
            name: getattr(said, name)
            for name in ("upto_ns", "in_flight", "area", "cpu_ns", "dropped", "errors")
        }
        head["records"] = len(said.records)
    else:
        head = asdict(said)
    text = json.dumps({"kind": _NAMES[type(said)], **head}).encode()
    return _LENGTHS.pack(len(text), len(raw)) + text + raw


class Frames:
    """Takes a stream of bytes apart."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[Said]:
        """Yield what became whole.

        Raises:
            ValueError: this is no sender's language.
        """
        self._rest += data
        while len(self._rest) >= _LENGTHS.size:
            head, raw = _LENGTHS.unpack_from(self._rest)
            if head > _LONGEST:
                raise ValueError(f"a head of {head} bytes: {bytes(self._rest[:40])!r}")
            start = _LENGTHS.size + head
            if len(self._rest) < start + raw:
                return
            said = _said(bytes(self._rest[_LENGTHS.size : start]), self._rest[start : start + raw])
            del self._rest[: start + raw]
            yield said


_NAMES: dict[type, str] = {
    Ready: "ready", Chunk: "chunk", Drained: "drained", Ended: "ended", Failed: "failed",
}  # fmt: skip
_BY_NAME: dict[str, Any] = {name: kind for kind, name in _NAMES.items()}


def _said(head: bytes, raw: bytearray) -> Said:
    try:
        plain = json.loads(head)
        kind = _BY_NAME[plain.pop("kind")]
        if kind is Chunk:
            length = plain.pop("records")
            plain["errors"] = tuple(plain["errors"])
            return Chunk(**plain, records=bytes(raw[:length]), responses=bytes(raw[length:]))
        said: Said = kind(**plain)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"not what a sender says: {error!r}") from error
    return said
