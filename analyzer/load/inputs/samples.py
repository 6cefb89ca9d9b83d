"""Samples: what one inference takes, and what it is to answer. Pure.

A stream is a list of samples in their order: for a model that keeps sequences each is a sequence,
for any other there is one. Owns the forms only; how they come from files is the readers'.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from analyzer.errors import UsageError

if TYPE_CHECKING:
    from engine.types import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Arrays by input, without the batch dimension, and by output what is to come of them.

    ``place`` is where it stands, for messages: ``requests.json: data[3]``. ``at_ms`` is when it is
    to be sent in a schedule that says so, from the beginning.
    """

    inputs: Mapping[str, Array]
    expected: Mapping[str, Array] = field(default_factory=dict)
    place: str = ""
    at_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Streams of samples; ``nested`` says that the file has more than one, as lists of lists."""

    streams: tuple[tuple[Sample, ...], ...]
    nested: bool = False

    @property
    def count(self) -> int:
        """How many samples there are in all."""
        return sum(map(len, self.streams))


def joined(parts: Sequence[tuple[str, Samples]]) -> Samples:
    """Put the samples of several sources together, in their order.

    Raises:
        UsageError: some have streams and some have not.
    """
    nested = {each.nested for _, each in parts}
    if len(nested) > 1:
        names = {each.nested: name for name, each in parts}
        raise UsageError(
            f"{names[True]} holds lists of samples (a stream each) and {names[False]} samples "
            "without streams; give files of one kind"
        )
    if nested == {True}:
        return Samples(streams=tuple(s for _, each in parts for s in each.streams), nested=True)
    return Samples(streams=(tuple(one for _, each in parts for s in each.streams for one in s),))
