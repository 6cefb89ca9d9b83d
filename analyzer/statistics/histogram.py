"""Latencies kept compactly: how many fell where, to three significant digits. Pure.

In the manner of HdrHistogram: every power of two is cut into 1024 places of equal width. So no
value is off by more than 1 in 2048 (values below 2048 not at all), whatever their range. Only
places where something fell are kept. Histograms of parts add up to that of the whole.

As text, for a journal: ``h1:`` and base64 of deflated numbers, which are of 7 bits a byte, the
lowest first (the varints of Protocol Buffers): for each place, the step from the one before it,
and the count. A million latencies of one server take about 6 KB.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_FINE = 1024
_EXACT = 2 * _FINE
_BITS = 11
_MARK = "h1:"
_LONGEST = 9

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """How many values fell into which places, which rise. Unit: the caller's, in whole numbers."""

    places: Integers
    counts: Integers

    @classmethod
    def of(cls, values: Integers) -> Histogram:
        """Count n values.

        Raises:
            ValueError: one is negative.
        """
        if len(values) and int(values.min()) < 0:
            raise ValueError(f"a histogram holds no negative values, such as {values.min()}")
        places, counts = np.unique(_places(np.asarray(values, np.int64)), return_counts=True)
        return cls(places, counts.astype(np.int64))

    @classmethod
    def from_text(cls, text: str) -> Histogram:
        """Read what ``text`` wrote.

        Raises:
            ValueError: it is something else.
        """
        try:
            if not text.startswith(_MARK):
                raise ValueError("the mark is missing")  # noqa: TRY301 - one text for all of them
            numbers = _read(zlib.decompress(base64.b64decode(text[len(_MARK) :], validate=True)))
            steps, counts = numbers.reshape(-1, 2).T
            if (counts < 1).any() or (steps[1:] < 1).any():
                raise ValueError("a count or a step is 0")  # noqa: TRY301 - likewise
            return cls(np.cumsum(steps), counts.copy())
        except (ValueError, binascii.Error, zlib.error) as error:
            raise ValueError(f"not a histogram: {error}; it begins {text[:20]!r}") from error

    @property
    def text(self) -> str:
        """Write it as one word."""
        numbers = np.column_stack((np.diff(self.places, prepend=0), self.counts)).ravel()
        packed = zlib.compress(_written(numbers.astype(np.uint64)), 9)
        return _MARK + base64.b64encode(packed).decode()

    @property
    def count(self) -> int:
        """How many values there are."""
        return int(self.counts.sum())

    @property
    def values(self) -> npt.NDArray[np.float64]:
        """The middle of each place: what the values in it are taken for."""
        shifts = np.maximum(self.places // _FINE - 1, 0)
        lowest = (self.places - _FINE * shifts) << shifts
        return np.asarray(lowest + ((1 << shifts) - 1) / 2, np.float64)

    @property
    def mean(self) -> float:
        """The mean value; NaN where there is none."""
        return float(self.values @ self.counts / self.count) if self.count else float("nan")

    def quantile(self, share: float) -> float:
        """Return the value below which this share of the others lies; NaN where there is none.

        By nearest rank, as perf_analyzer has its percentiles: of n, the one whose index is
        share * (n - 1), rounded.
        """
        if not self.count:
            return float("nan")
        rank = int(min(max(share, 0.0), 1.0) * (self.count - 1) + 0.5)
        at = int(np.searchsorted(np.cumsum(self.counts), rank, side="right"))
        return float(self.values[at])

    def share_above(self, value: float) -> float:
        """Return which share of the values is greater; NaN where there are none."""
        if not self.count:
            return float("nan")
        return float(self.counts[self.values > value].sum()) / self.count

    def merge(self, *others: Histogram) -> Histogram:
        """Return the histogram of all their values."""
        every = (self, *others)
        places, which = np.unique(
            np.concatenate([each.places for each in every]), return_inverse=True
        )
        counts = np.zeros(len(places), np.int64)
        np.add.at(counts, which, np.concatenate([each.counts for each in every]))
        return Histogram(places, counts)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Histogram)
            and np.array_equal(self.places, other.places)
            and np.array_equal(self.counts, other.counts)
        )

    def __hash__(self) -> int:
        return hash((self.places.tobytes(), self.counts.tobytes()))


EMPTY = Histogram(np.empty(0, np.int64), np.empty(0, np.int64))


def _places(values: Integers) -> Integers:
    # frexp is exact up to 2^53; above, a value just below a power of two may count as that power,
    # which the shift shows.
    shifts = np.maximum(np.frexp(values.astype(np.float64))[1] - _BITS, 0).astype(np.int64)
    shifts -= (values >> shifts < _FINE) & (shifts > 0)
    return np.asarray(_FINE * shifts + (values >> shifts), np.int64)


def _written(numbers: npt.NDArray[np.uint64]) -> bytes:
    lengths = np.digitize(numbers, [1 << 7 * k for k in range(1, _LONGEST)]) + 1
    starts = np.cumsum(lengths) - lengths
    room = np.zeros(int(lengths.sum()), np.uint8)
    for k in range(int(lengths.max(initial=0))):
        longer = lengths > k
        septet = (numbers[longer] >> np.uint64(7 * k)).astype(np.uint8) & 127
        room[starts[longer] + k] = septet | (lengths[longer] > k + 1) * np.uint8(128)
    return room.tobytes()


def _read(data: bytes) -> Integers:
    room = np.frombuffer(data, np.uint8)
    if not len(room):
        return np.empty(0, np.int64)
    ends = np.flatnonzero(room < 128)  # noqa: PLR2004 - the eighth bit says that more follows
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    if not len(ends) or ends[-1] != len(room) - 1 or lengths.max() > _LONGEST:
        raise ValueError("it is cut off, or no numbers")
    places = np.arange(len(room)) - np.repeat(starts, lengths)
    septets = (room & 127).astype(np.int64) << 7 * places
    return np.asarray(np.add.reduceat(septets, starts), np.int64)
