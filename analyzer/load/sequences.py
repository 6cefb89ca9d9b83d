"""Requests that belong to sequences: how they are prebuilt, how many there are, their ids. Pure.

Rules, which ``sequencing`` keeps with these parts:

1. A slot has one sequence at a time, and one request of it in flight: the next is sent when the
   last was answered. So the order holds whatever connections do; in an open loop a request that
   has to wait for its predecessor is late, and its latency says so.
2. Ids are unique in a run: each slot counts on from the range of its sender, in rotation.
3. A sequence of made-up requests has a length drawn around the mean; one of a stream of samples has
   the stream's, or as many as are asked for, around its end.
4. What is prebuilt has a number in the place of the id that takes all the room an id may take; only
   these bytes are written anew, once for each request.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analyzer.errors import LoadError

if TYPE_CHECKING:
    import random

#: stands where an id goes (rule 4): 19 digits, or nine bytes of protobuf
PLACEHOLDER = 1 << 62
_DIGITS, _BYTES = len(str(PLACEHOLDER)), 9
GREATEST_ID = (1 << 32) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A message around an id: what is before it and behind it, and how it is spelled."""

    head: bytes
    tail: bytes
    spell: Callable[[int], bytes]
    seal: Callable[[bytes], bytes] | None = None

    @classmethod
    def of(
        cls,
        message: bytes,
        spell: Callable[[int], bytes],
        seal: Callable[[bytes], bytes] | None = None,
    ) -> Template:
        """Find the placeholder; ``seal`` is done with a message when its id is in it."""
        head, found, tail = message.partition(spell(PLACEHOLDER))
        assert found
        return cls(head=head, tail=tail, spell=spell, seal=seal)

    def message(self, spelled: bytes) -> bytes:
        """Return the message with an id."""
        whole = b"".join((self.head, spelled, self.tail))
        return whole if self.seal is None else self.seal(whole)


def in_json(number: int) -> bytes:
    """Spell an id as JSON, always as long: spaces before a number mean nothing there."""
    return b"%*d" % (_DIGITS, number)


def in_protobuf(number: int) -> bytes:
    """Spell an id as a varint, always as long: it may say that zeros follow."""
    low = [number >> 7 * place & 0x7F | 0x80 for place in range(_BYTES - 1)]
    return bytes([*low, number >> 7 * (_BYTES - 1) & 0x7F])


#: a request in its four forms: within its sequence, at its start, at its end, and both
Step = tuple[Template, Template, Template, Template]


@dataclass(frozen=True, slots=True, kw_only=True)
class SequencePlan:
    """How sequences are made. ``length`` 0 takes each stream as it is; ids are below ``end``.

    ``variation`` is how far a length may be from the mean, in per cent of it.
    """

    length: int = 20
    variation: float = 20.0
    start: int = 1
    end: int = GREATEST_ID

    @classmethod
    def of(cls, length: int, variation: float, ids: str) -> SequencePlan:
        """Read ids as START or START:END.

        Raises:
            LoadError: these are none.
        """
        start, colon, end = ids.partition(":")
        try:
            plan = cls(
                length=length,
                variation=variation,
                start=int(start or 1),
                end=int(end) if colon else GREATEST_ID,
            )
        except ValueError as error:
            raise LoadError(f"expected ids of sequences as START:END, found {ids!r}") from error
        if not 0 < plan.start < plan.end <= PLACEHOLDER:
            raise LoadError(f"expected ids of sequences from 1 on, START below END, found {ids!r}")
        return plan

    def shared(self, index: int, senders: int, slots: int) -> SequencePlan:
        """Return a sender's share of the ids.

        Raises:
            LoadError: they are too few for its slots.
        """
        low, high = (
            self.start + (self.end - self.start) * place // senders for place in (index, index + 1)
        )
        if high - low < slots:
            raise LoadError(
                f"the range of sequence ids, {self.start}:{self.end}, has fewer than there may be "
                "sequences at a time; widen it"
            )
        return SequencePlan(length=self.length, variation=self.variation, start=low, end=high)

    def length_of(self, stream: tuple[Step, ...], chance: random.Random) -> int:
        """Return how many requests a sequence of a stream has."""
        if not self.length:
            return len(stream)
        spread = self.length * self.variation / 100
        return max(1, round(self.length + chance.uniform(-spread, spread)))
