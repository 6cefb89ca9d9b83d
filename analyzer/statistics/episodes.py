"""A closed loop that is begun anew again and again, and which of its requests count. Pure.

Clients that wait for their answers fall into step with the server: which requests share a batch,
and which instance is how far, may stay for minutes as it came about at first. A run then measures
one of several patterns most precisely, and the next run another. So the loop is drained and begun
anew while it is measured; patterns that chance may bring are met as often as they come, and what
the episodes scatter is how sure the whole is (``batch_means``).

Rules:

1. Before the first episode, and after each, nothing more is sent until all is answered. Then each
   client begins at a moment of its own, drawn from a time as long as the usual latency.
2. An episode lasts a sixth of the longest measurement, but at least 8 and at most 16 usual
   latencies, and in any case ``least_seconds``.
3. Of an episode what ends before all have begun, and two usual latencies or 10 ms more are over,
   does not count: its pattern has to come about. Nor does what ends after the pause began. These
   are moments and no requests' ends: of requests that end together, as those of a batch do, one
   that bounds a time would take its neighbours in or leave them out, always to the same side. And
   they are later by a part of a latency that differs from episode to episode (multiples of the
   golden section, which fill it evenly): batches come at a beat that the beginning sets.
4. The last one does not count if it is cut off, unless it is the only one.
5. Episodes at the beginning that are slower than all others by more than chance has it are the
   server's warm-up, and do not count.
6. A server so slow that there is no time for four episodes is measured in one go, with a remark.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.statistics.batch_means import LEAST_PARTS

Times = npt.NDArray[np.int64]

#: rule 2
SHARE, FEWEST_ROUNDS, MOST_ROUNDS = 6, 8, 16
#: rule 3
SETTLING_ROUNDS, SETTLING_NS = 2, 10_000_000
GOLDEN = (5**0.5 - 1) / 2
#: rule 5: robust standard deviations and share above the others, of which there are so many
_APART, _NOTICEABLE, _OTHERS = 4.0, 0.1, 4


@dataclass(frozen=True, slots=True)
class _Begun:
    """An episode: from when to when, ns, and which request was the first after it began."""

    at_ns: int
    pause_ns: int
    settled_ns: int
    first: int


class Episodes:
    """Keeps the episodes of one measurement by ``slots`` clients.

    ``least_seconds`` is the shortest episode, ``most_seconds`` the longest measurement.
    """

    def __init__(self, slots: int, least_seconds: float, most_seconds: float) -> None:
        self.slots = slots
        self._least_ns = least_seconds * 1e9
        self._most_ns = most_seconds * 1e9
        self._usual_ns = 0.0
        self._warm_ns: int | None = None
        self._begun: list[_Begun] = []
        self._recent: list[Times] = []
        self._count = 0
        self._latest = 0

    def warm(self, latency_ns: Times, now_ns: int) -> None:
        """Take note that the server is warm, and what its latencies were meanwhile."""
        self._usual_ns = float(np.median(latency_ns)) if len(latency_ns) else 0.0
        # Rule 6 is for good: what became of a measurement must not hang on its luck.
        if LEAST_PARTS * self._length_ns() <= self._most_ns:
            self._warm_ns = now_ns

    @property
    def on(self) -> bool:
        """Whether there are any (rule 6), once the server is warm."""
        return self._warm_ns is not None

    @property
    def pause_ns(self) -> int | None:
        """When no more is to be sent for now; None: not at all."""
        return self._begun[-1].pause_ns if self._begun else self._warm_ns

    @property
    def spread_ns(self) -> int:
        """In how long a time the clients are to begin."""
        return round(self._usual_ns)

    @property
    def steady_ns(self) -> tuple[int, int]:
        """From when to when the running episode counts, as far as one can tell beforehand."""
        if not self._begun:
            return 0, 0
        now = self._begun[-1]
        return now.settled_ns, now.pause_ns

    @property
    def remark(self) -> str:
        """Say that there are none, where there should be; "" else."""
        if self.on or not self._usual_ns:
            return ""
        seconds = math.ceil(LEAST_PARTS * FEWEST_ROUNDS * self._usual_ns / 1e9)
        return (
            f"phases: the {self.slots} clients began only once; how their requests fall into step "
            "with the server may stay for a whole run, so that another differs by more than the "
            f"interval says; measure for {seconds} s to have it known"
        )

    def begin(self, at_ns: int) -> None:
        """Take note that an episode begins at a moment."""
        if self._recent:
            self._usual_ns = float(np.median(np.concatenate(self._recent)))
            self._recent.clear()
        later = at_ns + round(self._usual_ns * (len(self._begun) * GOLDEN % 1))
        settling = max(SETTLING_NS, round(SETTLING_ROUNDS * self._usual_ns))
        settled, pause = later + self.spread_ns + settling, later + round(self._length_ns())
        self._begun.append(_Begun(at_ns, pause, settled, self._count))

    def own(self, done_ns: Times, latency_ns: Times) -> npt.NDArray[np.bool_]:
        """Say which of some requests are the running episode's: begun in it and ended in it."""
        if not self._begun:
            return np.zeros(len(done_ns), np.bool_)
        now = self._begun[-1]
        found: npt.NDArray[np.bool_] = done_ns - latency_ns >= now.at_ns
        self._latest = max(self._latest, int(done_ns[-1])) if found.any() else self._latest
        found &= done_ns <= now.pause_ns
        if found.any():
            self._count += int(np.count_nonzero(found))
            self._recent.append(latency_ns[found])
        return found

    def spans(self, done_ns: Times, latency_ns: Times) -> tuple[tuple[int, int], ...]:
        """Return from when to when requests count; given are all that are any episode's."""
        found: list[tuple[tuple[int, int], float]] = []
        ends = [*(each.first for each in self._begun[1:]), len(done_ns)]
        for each, end in zip(self._begun, ends, strict=True):
            done = done_ns[each.first : end]
            cut = int(np.searchsorted(done, each.settled_ns, side="right"))
            whole = each is not self._begun[-1] or self._latest > each.pause_ns
            if cut < len(done) and (whole or not found):
                until = each.pause_ns if whole else int(done[-1])
                found.append(
                    ((each.settled_ns, until), float(latency_ns[each.first + cut : end].mean()))
                )
        return tuple(span for span, _ in found[_warm([mean for _, mean in found]) :])

    def _length_ns(self) -> float:
        usual = self._usual_ns
        wanted = min(max(self._most_ns / SHARE, FEWEST_ROUNDS * usual), MOST_ROUNDS * usual)
        return max(wanted, self._least_ns)


def _warm(means: Sequence[float]) -> int:
    """Return how many episodes to leave out at the front (rule 5)."""
    for cold, mean in enumerate(means):
        rest = np.array(means[cold + 1 :])
        if len(rest) < max(_OTHERS, len(means) / 2):
            return cold
        middle = float(np.median(rest))
        usual = 1.4826 * float(np.median(np.abs(rest - middle)))
        if mean <= max((1 + _NOTICEABLE) * float(rest.max()), middle + _APART * usual):
            return cold
    return 0
