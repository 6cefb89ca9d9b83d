"""What became of every request: one fixed-size record each. Pure.

Times are the machine's monotonic clock in ns, which all its processes share. ``planned`` is when
a request was due, ``began`` and ``sent`` when its first and last byte were handed over, ``first``
and ``last`` when the first and last byte of the answer came (of the last response, where there are
several). Latency is ``last - planned``, so that a server that stalls cannot hide the requests that
its stall kept waiting; service time is ``last - began``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

#: ``error`` is 0 for a success, else 1 + the index of its text; ``item`` is the index of what was
#: sent in the workload; ``responses`` counts what came, without a stream's empty last message
RECORD = np.dtype(
    [
        ("planned", "<i8"),
        ("began", "<i8"),
        ("sent", "<i8"),
        ("first", "<i8"),
        ("last", "<i8"),
        ("sequence", "<u8"),
        ("error", "<i4"),
        ("responses", "<u4"),
        ("item", "<u2"),
    ],
    align=True,
)

_NONE: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Records:
    """Records in the order in which the requests ended.

    ``array`` is of dtype ``RECORD``, ``errors`` the texts of failures. Where responses are kept
    one by one, ``response_ns`` has when each came, and record i's are
    ``response_ns[offsets[i]:offsets[i + 1]]``; else both are empty.
    """

    array: npt.NDArray[np.void]
    errors: tuple[str, ...] = ()
    response_ns: npt.NDArray[np.int64] = field(default_factory=_NONE.copy)
    offsets: npt.NDArray[np.int64] = field(default_factory=_NONE.copy)

    def __len__(self) -> int:
        return len(self.array)

    @classmethod
    def none(cls) -> Records:
        """Return no records."""
        return cls(np.empty(0, dtype=RECORD))

    @classmethod
    def joined(cls, parts: Iterable[Records]) -> Records:
        """Put records of several senders together, in the order in which the requests ended.

        Equal texts of errors become one.
        """
        parts = [part for part in parts if len(part)]
        if not parts:
            return cls.none()
        texts: dict[str, int] = {}
        arrays = []
        for part in parts:
            array = part.array.copy()
            codes = [texts.setdefault(text, len(texts) + 1) for text in part.errors]
            array["error"] = np.array([0, *codes], dtype=np.int32)[array["error"]]
            arrays.append(array)
        whole = np.concatenate(arrays)
        order = np.argsort(whole["last"], kind="stable")
        kept = any(len(part.offsets) for part in parts)
        response_ns, offsets = _responses(parts, order) if kept else (_NONE, _NONE)
        return cls(whole[order], tuple(texts), response_ns, offsets)

    @property
    def succeeded(self) -> npt.NDArray[np.bool_]:
        """Return, of each, whether it succeeded."""
        found: npt.NDArray[np.bool_] = self.array["error"] == 0
        return found

    @property
    def latency_ns(self) -> npt.NDArray[np.int64]:
        """Return, of each, ``last - planned``."""
        return self._difference("last", "planned")

    @property
    def service_ns(self) -> npt.NDArray[np.int64]:
        """Return, of each, ``last - began``."""
        return self._difference("last", "began")

    @property
    def lag_ns(self) -> npt.NDArray[np.int64]:
        """Return how late each was sent: ``began - planned``."""
        return self._difference("began", "planned")

    def _difference(self, late: str, early: str) -> npt.NDArray[np.int64]:
        found: npt.NDArray[np.int64] = self.array[late] - self.array[early]
        return found

    def error_of(self, index: int) -> str:
        """Return the text of the record's error, or "" of a success."""
        code = int(self.array["error"][index])
        return self.errors[code - 1] if code else ""

    def responses_of(self, index: int) -> npt.NDArray[np.int64]:
        """Return when each of the record's responses came, where that was kept."""
        if not len(self.offsets):
            return _NONE
        return self.response_ns[self.offsets[index] : self.offsets[index + 1]]

    def between(self, start_ns: int, end_ns: int) -> Records:
        """Return those that ended after ``start_ns`` and not after ``end_ns``."""
        last = self.array["last"]
        left, right = np.searchsorted(last, (start_ns, end_ns), side="right")
        return self.span(int(left), int(right))

    def within(self, spans_ns: Sequence[tuple[int, int]]) -> Records:
        """Return those that ended in one of some spans, which are in order."""
        if len(spans_ns) == 1:
            return self.between(*spans_ns[0])
        return Records.joined([self.between(*span) for span in spans_ns])

    def span(self, start: int, end: int) -> Records:
        """Return records ``start`` to ``end``, by their place."""
        offsets, response_ns = self.offsets, self.response_ns
        if len(offsets):
            response_ns = response_ns[offsets[start] : offsets[end]]
            offsets = offsets[start : end + 1] - offsets[start]
        return Records(self.array[start:end], self.errors, response_ns, offsets)


def _responses(
    parts: list[Records], order: npt.NDArray[np.intp]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Gather the responses of records that are put in ``order``."""
    each = [part.responses_of(index) for part in parts for index in range(len(part))]
    ordered = [each[index] for index in order]
    offsets = np.zeros(len(ordered) + 1, dtype=np.int64)
    np.cumsum([len(some) for some in ordered], out=offsets[1:])
    return np.concatenate(ordered), offsets
