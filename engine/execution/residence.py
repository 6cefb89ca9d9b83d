"""Where an instance runs its next batch: on its own thread, or inline on the event loop.

Handing a batch to a thread and back costs some 20 to 100 us while the interpreter's lock is
contended, which is more than a small model computes. Owns the decision, from measured times;
does not own the thread or the loop. Rules:

1. an instance starts on its thread, and stays there for at least ``PROBATION`` batches;
2. it moves inline when the moving average of the CPU time a batch takes is under ``ENTER_NS``
   and it does not wait: at its best, a batch's wall time exceeds its CPU time by less than
   ``AWAY_NS`` (a model that sleeps, or waits for a device or other threads, would hold up the
   loop for nothing). CPU time, because on a busy server wall time on a thread is mostly
   waiting for the lock that inline execution does not need;
3. it moves back when the moving average of its wall time is over ``LEAVE_NS``, or one batch
   takes longer than ``AT_ONCE_NS``; each move back doubles the probation, so that a model on
   the border does not go to and fro;
4. an instance that must stay on its thread (it is pinned to cores that the loop is not) does.
"""

from __future__ import annotations

ENTER_NS = 200_000
LEAVE_NS = 400_000
AWAY_NS = 60_000
AT_ONCE_NS = 50_000_000
PROBATION = 16
_LONGEST_PROBATION = 4096
# A preempted run says little about the model: it counts as at most this much.
_MOST_COUNTED_NS = 2_000_000
_WEIGHT = 0.125


class Residence:
    """The decision for one instance; ``inline`` says where its next batch runs."""

    __slots__ = ("_average_ns", "_away_ns", "_left", "_probation", "inline")

    def __init__(self, *, stays: bool = False) -> None:
        self.inline = False
        self._probation = PROBATION
        # Counted down to 0, which -1 never reaches.
        self._left = -1 if stays else PROBATION
        self._average_ns = -1.0
        self._away_ns = _MOST_COUNTED_NS

    def ran_on_thread(self, wall_ns: int, cpu_ns: int) -> None:
        """Learn what a batch took on the instance's thread."""
        self._count(cpu_ns)
        self._away_ns = min(self._away_ns, wall_ns - cpu_ns)
        if self._left == 0 and self._average_ns < ENTER_NS and self._away_ns < AWAY_NS:
            self.inline = True
            self._start_over()

    def ran_inline(self, wall_ns: int) -> None:
        """Learn what a batch took on the event loop."""
        self._count(wall_ns)
        if wall_ns > AT_ONCE_NS or (self._left == 0 and self._average_ns > LEAVE_NS):
            self.inline = False
            self._probation = min(2 * self._probation, _LONGEST_PROBATION)
            self._start_over()

    def _count(self, ns: int) -> None:
        ns = min(ns, _MOST_COUNTED_NS)
        if self._average_ns < 0:
            self._average_ns = float(ns)
        else:
            self._average_ns += _WEIGHT * (ns - self._average_ns)
        if self._left:
            self._left -= 1

    def _start_over(self) -> None:
        self._average_ns = -1.0
        self._away_ns = _MOST_COUNTED_NS
        # Inline, eight batches are enough to know; back on the thread, probation counts.
        self._left = 8 if self.inline else self._probation
